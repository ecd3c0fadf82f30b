//! Accepts connections and runs each as one task.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::layer::Shared;
use super::link::{Link, Wire};
use super::stream::Stream;

/// The codec's buffer, in bytes. It takes frames for a vectored write until it holds so many.
const CODEC_BUFFER: usize = 1024 * 1024;

/// Serves on a thread of its own until `stop` resolves (or its sender is dropped); all connections are closed when it
/// returns. Tells `ready` the address, or why there is none.
pub(crate) fn run(
    shared: &Arc<Shared>,
    addr: SocketAddr,
    threads: usize,
    ready: &std::sync::mpsc::Sender<io::Result<SocketAddr>>,
    stop: oneshot::Receiver<()>,
) {
    let runtime = if threads <= 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("lab-worker")
            .enable_all()
            .build()
    };
    let serve = |runtime: tokio::runtime::Runtime| -> io::Result<()> {
        let listener = runtime.block_on(TcpListener::bind(addr))?;
        // The other side may have given up; then `stop` is closed as well.
        drop(ready.send(listener.local_addr()));
        // Spawned, so that accepting runs on a worker and not on this thread across a futex.
        let accepting = runtime.spawn(accept(listener, Arc::clone(shared)));
        drop(runtime.block_on(stop));
        accepting.abort();
        Ok(())
    };
    if let Err(error) = runtime.and_then(serve) {
        drop(ready.send(Err(error)));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
            Err(error) => {
                // Out of descriptors, most likely; others will be closed.
                tracing::warn!(%error, "the lab could not accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    shared.counters.connections.fetch_add(1, Ordering::Relaxed);
    shared.counters.open_connections.fetch_add(1, Ordering::Relaxed);
    drop(stream.set_nodelay(true));
    match secured(stream, &shared).await {
        Ok(stream) => serve(stream, &shared).await,
        Err(error) => tracing::debug!(%error, "a TLS handshake with the lab failed"),
    }
    shared.counters.open_connections.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(feature = "full")]
async fn secured(stream: TcpStream, shared: &Shared) -> io::Result<Stream> {
    match &shared.tls {
        Some(tls) => Ok(Stream::Tls(Box::new(tls.acceptor.accept(stream).await?))),
        None => Ok(Stream::Plain(stream)),
    }
}

#[cfg(not(feature = "full"))]
async fn secured(stream: TcpStream, _: &Shared) -> io::Result<Stream> {
    Ok(Stream::Plain(stream))
}

async fn serve(stream: Stream, shared: &Arc<Shared>) {
    let link = Arc::new(Link::default());
    let service = {
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        service_fn(move |request| {
            let (shared, link) = (Arc::clone(&shared), Arc::clone(&link));
            async move { Ok::<_, Infallible>(shared.answer(&link, request).await) }
        })
    };
    // Boxed: the service's future is large, and `into_parts` needs the connection by value.
    let mut connection = Box::new(
        http1::Builder::new()
            .max_buf_size(CODEC_BUFFER)
            .writev(true)
            .serve_connection(Wire::new(stream, Arc::clone(&link)), service),
    );
    tokio::select! {
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the lab ended");
            }
        }
        ending = link.ended() => connection.into_parts().io.end(ending).await,
    }
}
