//! Files that the kernel reads by itself.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_cache::HandedOut;
use forebay_vfs::Ino;
use forebay_vfs::merged::WholeFile;

use crate::device::Device;
use crate::options::IoMode;

/// How a node is read as long as somebody has it open. The kernel refuses to mix (EIO); also one that is read request by
/// request stays so: it may have been mapped, or will be, and the kernel allows no mapping beside a file of its own
/// (ENODEV), nor such a file beside a mapping (EIO).
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    /// By the kernel, from this file.
    Backed(Arc<Backing>),
    /// By us.
    Served(IoMode),
}

/// Something that the kernel can read without us.
#[derive(Debug)]
pub(crate) enum Whole {
    /// A file of this machine.
    File(Arc<File>),
    /// In the cache, which keeps it as it is for as long as this lives.
    Cached(HandedOut),
    /// Above: all of it is there, and may be written past us.
    Above(WholeFile),
}

impl AsFd for Whole {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(file) => file.as_fd(),
            Self::Cached(handed) => handed.file(),
            Self::Above(whole) => whole.as_fd(),
        }
    }
}

/// A file that the kernel was given; taken back when nobody has it open any more.
#[derive(Debug)]
pub(crate) struct Backing {
    device: Arc<Device>,
    pub(crate) id: u32,
    _whole: Option<Whole>,
}

impl Drop for Backing {
    fn drop(&mut self) {
        self.device.unback(self.id);
    }
}

/// Which files are handed over.
#[derive(Debug)]
pub(crate) struct Passthrough {
    /// Not any more once it was refused: it needs a right that a process has or has not.
    possible: AtomicBool,
    modes: Mutex<HashMap<Ino, (Opened, u64)>>,
    handed_over: AtomicU64,
}

impl Passthrough {
    pub(crate) fn new(possible: bool) -> Self {
        Self {
            possible: AtomicBool::new(possible),
            modes: Mutex::default(),
            handed_over: AtomicU64::new(0),
        }
    }

    /// Files handed over so far.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over.load(Relaxed)
    }

    /// Files that the kernel reads by itself now.
    pub(crate) fn handed_over_now(&self) -> u64 {
        let modes = self.lock();
        let backed = |(opened, _): &&(Opened, u64)| matches!(opened, Opened::Backed(_));
        modes.values().filter(backed).count() as u64
    }

    /// Counts one more open of `ino`, and tells how it is to be read: by the kernel, from the file that it
    /// has for the node already or else from `whole`, or by us, as it is served already or else as is `liked`. A file that
    /// the kernel was not given stays in `whole`.
    pub(crate) fn open(
        &self,
        ino: Ino,
        device: &Arc<Device>,
        whole: &mut Option<Whole>,
        liked: IoMode,
    ) -> Opened {
        let mut modes = self.lock();
        if let Some((opened, opens)) = modes.get_mut(&ino) {
            *opens += 1;
            return opened.clone();
        }
        let opened = match self.back(device, whole) {
            Some(backing) => Opened::Backed(backing),
            None => Opened::Served(liked),
        };
        modes.insert(ino, (opened.clone(), 1));
        opened
    }

    /// Hands a file to the kernel, if there is one and that is possible here.
    fn back(&self, device: &Arc<Device>, whole: &mut Option<Whole>) -> Option<Arc<Backing>> {
        if !self.possible.load(Relaxed) {
            return None;
        }
        match device.back(whole.as_ref()?.as_fd()) {
            Ok(id) => {
                self.handed_over.fetch_add(1, Relaxed);
                Some(Arc::new(Backing {
                    device: device.clone(),
                    id,
                    _whole: whole.take(),
                }))
            }
            Err(error) => {
                if self.possible.swap(false, Relaxed) {
                    tracing::warn!(
                        %error,
                        "files cannot be handed to the kernel here: all reads go through this process"
                    );
                }
                None
            }
        }
    }

    /// One open less.
    pub(crate) fn release(&self, ino: Ino) {
        let mut modes = self.lock();
        if let Some((_, opens)) = modes.get_mut(&ino) {
            *opens -= 1;
            if *opens == 0 {
                modes.remove(&ino);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ino, (Opened, u64)>> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
