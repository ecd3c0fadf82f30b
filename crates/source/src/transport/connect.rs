//! New connections: name look-up, TCP, TLS, HTTP/1.1 handshake.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TransportOptions;
use super::failure::Failure;
use super::pool::{Connection, Key};

/// Makes connections.
#[derive(Debug)]
pub(super) struct Dialer {
    options: TransportOptions,
    /// Built at the first https request: reading the system's certificates takes some milliseconds.
    tls: OnceLock<Result<Arc<rustls::ClientConfig>, String>>,
}

impl Dialer {
    pub(super) fn new(options: TransportOptions) -> Self {
        Self {
            options,
            tls: OnceLock::new(),
        }
    }

    pub(super) async fn dial(&self, key: &Key) -> Result<Connection, Failure> {
        let after = self.options.connect_timeout;
        tokio::time::timeout(after, self.dial_without_deadline(key))
            .await
            .unwrap_or_else(|_| {
                Err(Failure::ConnectTimeout {
                    host: key.to_string(),
                    after,
                })
            })
    }

    async fn dial_without_deadline(&self, key: &Key) -> Result<Connection, Failure> {
        let refused = |source| Failure::Connect {
            host: key.to_string(),
            source,
        };
        let tcp = connect_tcp(key).await.map_err(refused)?;
        // Requests are one small write: waiting for more to send (Nagle) only delays them.
        tcp.set_nodelay(true).map_err(refused)?;
        let stream = if key.tls {
            let config = self.tls_config().map_err(|why| Failure::Tls {
                host: key.to_string(),
                why,
            })?;
            let name = ServerName::try_from(key.host.clone()).map_err(|e| Failure::Tls {
                host: key.to_string(),
                why: e.to_string(),
            })?;
            let tls = TlsConnector::from(config)
                .connect(name, tcp)
                .await
                .map_err(|e| handshake_failure(key, e))?;
            Stream::Tls(Box::new(tls))
        } else {
            Stream::Plain(tcp)
        };
        let (sender, wire) = http1::Builder::new()
            .max_buf_size(self.options.read_buffer)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| Failure::Broken {
                host: key.to_string(),
                source,
            })?;
        Ok(Connection::new(sender, wire))
    }

    fn tls_config(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        self.tls
            .get_or_init(|| build_tls(self.options.extra_roots.as_deref()).map(Arc::new))
            .clone()
    }
}

/// No trust, or only a connection that broke off in the middle: the next one may hold.
fn handshake_failure(key: &Key, error: io::Error) -> Failure {
    let host = key.to_string();
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        Failure::Tls {
            host,
            why: error.to_string(),
        }
    } else {
        Failure::Connect { host, source: error }
    }
}

/// Tries the host's addresses in random order, so that many connections spread over all of S3's.
async fn connect_tcp(key: &Key) -> io::Result<TcpStream> {
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((key.host.as_str(), key.port))
        .await?
        .collect();
    fastrand::shuffle(&mut addresses);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn build_tls(extra: Option<&std::path::Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a system certificate could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra {
        let unreadable =
            |e: &dyn std::fmt::Display| format!("cannot read the certificates in {}: {e}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))? {
            let certificate = certificate.map_err(|e| unreadable(&e))?;
            roots.add(certificate).map_err(|e| unreadable(&e))?;
        }
    }
    if roots.is_empty() {
        return Err("no trusted certificates on this machine; install ca-certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// A socket, with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
