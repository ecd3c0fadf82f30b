//! Files that the kernel reads by itself.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_cache::HandedOut;
use forebay_types::Version;
use forebay_vfs::Ino;

use crate::device::Device;

/// How a node is read as long as somebody has it open: the kernel refuses to mix (EIO).
#[derive(Debug)]
enum Mode {
    /// By the kernel, from this file, which has this version.
    Backed(Arc<Backing>, Version),
    /// By us, through the kernel's page cache.
    Served,
}

/// Something that the kernel can read without us.
#[derive(Debug)]
pub(crate) enum Whole {
    /// A file of this machine.
    File(Arc<File>),
    /// In the cache, which keeps it as it is for as long as this lives.
    Cached(HandedOut),
}

impl AsFd for Whole {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(file) => file.as_fd(),
            Self::Cached(handed) => handed.file(),
        }
    }
}

/// A file that the kernel was given; taken back when nobody has it open any more.
#[derive(Debug)]
pub(crate) struct Backing {
    device: Arc<Device>,
    pub(crate) id: u32,
    _whole: Whole,
}

impl Drop for Backing {
    fn drop(&mut self) {
        self.device.unback(self.id);
    }
}

/// A program has another version of the file open, and the kernel reads that by itself: it cannot read two files for one
/// node, nor would its pages be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overtaken;

/// Which files are handed over.
#[derive(Debug)]
pub(crate) struct Passthrough {
    /// Not any more once it was refused: it needs a right that a process has or has not.
    possible: AtomicBool,
    modes: Mutex<HashMap<Ino, (Mode, u64)>>,
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

    /// Whether it is worth looking for a file to hand over.
    pub(crate) fn is_possible(&self) -> bool {
        self.possible.load(Relaxed)
    }

    /// Files handed over so far.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over.load(Relaxed)
    }

    /// Counts one more open of `ino` in this version. If the kernel is to read it, from the file that it has for it already
    /// or else from `whole`, the answer is that file.
    ///
    /// # Errors
    /// [`Overtaken`] if the kernel has a file of another version for it; nothing is counted then.
    pub(crate) fn open(
        &self,
        ino: Ino,
        version: &Version,
        device: &Arc<Device>,
        whole: Option<Whole>,
    ) -> Result<Option<Arc<Backing>>, Overtaken> {
        let mut modes = self.lock();
        if let Some((mode, opens)) = modes.get_mut(&ino) {
            let backing = match mode {
                Mode::Backed(_, other) if other != version => return Err(Overtaken),
                Mode::Backed(backing, _) => Some(backing.clone()),
                Mode::Served => None,
            };
            *opens += 1;
            return Ok(backing);
        }
        let backing =
            whole
                .filter(|_| self.is_possible())
                .and_then(|whole| match device.back(whole.as_fd()) {
                    Ok(id) => {
                        self.handed_over.fetch_add(1, Relaxed);
                        let device = device.clone();
                        Some(Arc::new(Backing {
                            device,
                            id,
                            _whole: whole,
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
                });
        let mode = match &backing {
            Some(backing) => Mode::Backed(backing.clone(), version.clone()),
            None => Mode::Served,
        };
        modes.insert(ino, (mode, 1));
        Ok(backing)
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Ino, (Mode, u64)>> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
