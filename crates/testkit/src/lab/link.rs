//! One connection, from below: how a fault ends it at an exact point.
//!
//! The HTTP codec owns the socket while it runs. So the body (or the layer above) only *asks* for an end through the
//! shared [`Link`]; the [`Wire`] below the codec notices when everything before that point went into the socket; then
//! the task of the connection takes the socket back and ends it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::stream::Stream;

/// How a fault ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// RST.
    Reset = 1,
    /// FIN.
    Close = 2,
}

/// What all who handle one connection share.
#[derive(Debug, Default)]
pub(crate) struct Link {
    wanted: AtomicU8,
    fired: Notify,
    /// How late the last body ended, in nanoseconds; see [`Link::take_lateness`].
    lateness: AtomicU64,
}

/// Lateness beyond this is not made good: it was no timer tick.
const MAX_LATENESS: Duration = Duration::from_millis(3);

impl Link {
    /// Ends the connection at once.
    pub(crate) fn end_now(&self, ending: Ending) {
        self.wanted.store(ending as u8, Ordering::Release);
        self.fired.notify_one();
    }

    /// Ends the connection when all that was written so far is in the socket.
    pub(crate) fn end_after_flush(&self, ending: Ending) {
        self.wanted.store(ending as u8, Ordering::Release);
    }

    /// Waits for an end. Cancel safe.
    pub(crate) async fn ended(&self) -> Ending {
        self.fired.notified().await;
        if self.wanted.load(Ordering::Acquire) == Ending::Reset as u8 {
            Ending::Reset
        } else {
            Ending::Close
        }
    }

    /// A paced body ended so late.
    pub(crate) fn set_lateness(&self, late: Duration) {
        let late = late.min(MAX_LATENESS).as_nanos();
        self.lateness
            .store(u64::try_from(late).unwrap_or(0), Ordering::Relaxed);
    }

    /// How late the last body ended. The next answer on the connection begins as much earlier, so that a keep-alive
    /// connection keeps its pace over many requests although each timer ends late (by 0.5 to 1 ms: 1 % of 8 MiB).
    pub(crate) fn take_lateness(&self) -> Duration {
        Duration::from_nanos(self.lateness.swap(0, Ordering::Relaxed))
    }

    fn flushed(&self) {
        if self.wanted.load(Ordering::Acquire) != 0 {
            self.fired.notify_one();
        }
    }
}

/// The socket below the codec.
pub(crate) struct Wire {
    io: TokioIo<Stream>,
    link: Arc<Link>,
}

impl Wire {
    pub(crate) fn new(stream: Stream, link: Arc<Link>) -> Self {
        Self {
            io: TokioIo::new(stream),
            link,
        }
    }

    /// Ends the connection so that the other side sees it, after it could take what was sent.
    pub(crate) async fn end(self, ending: Ending) {
        let mut stream = self.io.into_inner();
        match ending {
            Ending::Close => drop(stream.shutdown().await),
            Ending::Reset => {
                drained(stream.tcp()).await;
                drop(stream.tcp().set_zero_linger());
            }
        }
    }
}

/// A reset throws away what the kernel has not sent yet. Waits until it has, so that a fault "after N bytes" lets N
/// bytes arrive; not longer than a second, because the other side may have stopped reading.
async fn drained(stream: &TcpStream) {
    for _ in 0..1000 {
        match unsent(stream) {
            Ok(0) | Err(_) => break,
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Bytes in the send queue that were not sent yet.
#[cfg(target_os = "linux")]
fn unsent(stream: &TcpStream) -> io::Result<u32> {
    /// `SIOCOUTQNSD` of linux/sockios.h. (`SIOCOUTQ` would count what waits for a delayed acknowledgement too.)
    const SIOCOUTQNSD: rustix::ioctl::Opcode = 0x894B;
    // SAFETY: SIOCOUTQNSD writes one C int, which is non-negative, to the address given, and reads nothing.
    let unsent = unsafe { rustix::ioctl::ioctl(stream, rustix::ioctl::Getter::<SIOCOUTQNSD, u32>::new()) };
    Ok(unsent?)
}

#[cfg(not(target_os = "linux"))]
fn unsent(_: &TcpStream) -> io::Result<u32> {
    Ok(0)
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The codec flushes the socket only when its own buffer is empty.
        let result = ready!(Pin::new(&mut self.io).poll_flush(cx));
        self.link.flushed();
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
