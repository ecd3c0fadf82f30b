//! What the kernel believes and should not any more.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::ino::Ino;
use crate::stats::Counter;

/// Something that the kernel was told is not so any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A file has other bytes, or a symbolic link another target: attributes and pages are of no use.
    Content {
        /// Which.
        ino: Ino,
    },
    /// A name stands for something else, or for nothing, or for something at last.
    Entry {
        /// The directory.
        parent: Ino,
        /// The name in it.
        name: Box<str>,
    },
}

/// Where notices come out. They are sent while an operation is being answered, which the kernel may hold locks for:
/// pass them on from a thread that answers nothing. There is at most one for each node that the kernel holds and each
/// answer that changes it.
#[derive(Debug)]
pub struct Changes {
    receiver: UnboundedReceiver<Notice>,
}

impl Changes {
    /// The next notice; `None` when the tree is gone, or somebody else listens now.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Notice> {
        self.receiver.recv().await
    }

    /// The same on a thread of its own, outside the runtime.
    pub fn blocking_recv(&mut self) -> Option<Notice> {
        self.receiver.blocking_recv()
    }

    /// The next notice, if there is one already.
    pub fn try_recv(&mut self) -> Option<Notice> {
        self.receiver.try_recv().ok()
    }
}

/// Where they go in. Without a listener they go nowhere.
#[derive(Debug, Default)]
pub(super) struct Notices {
    sender: Mutex<Option<UnboundedSender<Notice>>>,
    sent: Counter,
}

impl Notices {
    /// From now on this one hears them.
    pub(super) fn listen(&self) -> Changes {
        let (sender, receiver) = unbounded_channel();
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Changes { receiver }
    }

    pub(super) fn send(&self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        self.sent.add(notices.len() as u64);
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            for notice in notices {
                // Fails if the listener has gone, and then nobody wants it.
                let _ = sender.send(notice);
            }
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }
}
