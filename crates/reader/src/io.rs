//! `AsyncRead + AsyncSeek` over a handle.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use futures::{FutureExt, ready};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use crate::error::ReadError;
use crate::handle::Handle;

/// Least that is read at a time: readers that take a few bytes must not cause a call for each.
const AT_LEAST: usize = 128 * 1024;

/// A position in an object. Read-ahead follows it.
///
/// # Cancel safety
/// A read that is dropped has taken nothing; the next one goes on where the last one ended.
pub struct HandleReader {
    handle: Handle,
    position: u64,
    /// Bytes from the position on.
    chunk: Bytes,
    next: Option<BoxFuture<'static, Result<Bytes, ReadError>>>,
}

impl std::fmt::Debug for HandleReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandleReader")
            .field("id", self.handle.id())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// A reader with a position of its own, at the start.
    pub fn reader(&self) -> HandleReader {
        HandleReader {
            handle: self.clone(),
            position: 0,
            chunk: Bytes::new(),
            next: None,
        }
    }
}

impl AsyncRead for HandleReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buf.remaining() == 0 || this.position >= this.handle.size() {
            return Poll::Ready(Ok(()));
        }
        if this.chunk.is_empty() {
            let (handle, at, len) = (&this.handle, this.position, buf.remaining().max(AT_LEAST));
            let next = this.next.get_or_insert_with(|| {
                let handle = handle.clone();
                async move { handle.read_at(at, len).await }.boxed()
            });
            let outcome = ready!(next.poll_unpin(cx));
            this.next = None;
            this.chunk = outcome?;
        }
        let len = buf.remaining().min(this.chunk.len());
        buf.put_slice(&this.chunk[..len]);
        this.chunk.advance(len);
        this.position += len as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for HandleReader {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let this = &mut *self;
        let target = match position {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => this.handle.size().checked_add_signed(by),
            SeekFrom::Current(by) => this.position.checked_add_signed(by),
        };
        let target = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a seek to before the start of the object",
            )
        })?;
        // What is here stays if the new place is in it.
        match target.checked_sub(this.position) {
            Some(ahead) if ahead <= this.chunk.len() as u64 => this.chunk.advance(ahead as usize),
            _ => this.chunk = Bytes::new(),
        }
        if target != this.position {
            this.next = None;
        }
        this.position = target;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}
