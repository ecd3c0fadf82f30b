//! Standard output, written by a thread of its own: whoever reads it may take as long as it likes, and an interrupt is
//! heard all the same.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use crate::exit::{CliError, Result};

/// The way there.
#[derive(Debug)]
pub(super) struct Out {
    to: std::sync::mpsc::Sender<Vec<u8>>,
    /// Buffers come back when they are written.
    written: mpsc::Receiver<io::Result<Vec<u8>>>,
    spare: Vec<u8>,
}

impl Out {
    pub(super) fn begin() -> Result<Self> {
        // Not std's handle: its line buffer would cut large pieces at the last newline.
        let mut file =
            File::from(rustix::io::dup(rustix::stdio::stdout()).map_err(|e| CliError::stdout(&e.into()))?);
        let (to, buffers) = std::sync::mpsc::channel::<Vec<u8>>();
        let (done, written) = mpsc::channel(1);
        // Not joined: it may stand in a pipe that nobody reads when the program ends.
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                for buffer in buffers {
                    let outcome = file.write_all(&buffer).map(|()| buffer);
                    if done.blocking_send(outcome).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| CliError::new(e.kind().into(), format!("cannot start a thread: {e}")))?;
        Ok(Self {
            to,
            written,
            spare: Vec::new(),
        })
    }

    /// An empty buffer.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.spare);
        buffer.clear();
        buffer
    }

    /// Writes all of it. Dropped in between, it may be written or not, and nothing may be written after that.
    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let gone = || {
            CliError::new(
                forebay_types::ErrorKind::Internal,
                "the thread that writes is gone",
            )
        };
        self.to.send(bytes).map_err(|_| gone())?;
        let written = self.written.recv().await.ok_or_else(gone)?;
        self.spare = written.map_err(|e| CliError::stdout(&e))?;
        Ok(())
    }

    /// Whether whoever read it is gone, as far as that can be seen without writing.
    pub(super) fn is_closed(&self) -> bool {
        let stdout = rustix::stdio::stdout();
        let stdout = stdout.as_fd();
        let mut looked_at = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // POLLERR of a pipe says that its other end is closed.
        poll(&mut looked_at, Some(&at_once)).is_ok_and(|found| found > 0)
            && looked_at[0]
                .revents()
                .intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
    }
}
