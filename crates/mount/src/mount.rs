//! A mounted tree, as a program has it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use forebay_cache::Refutations;
use forebay_reader::Reader;
use forebay_source::Source;
use forebay_vfs::{Ino, Notice, Tree};
use tokio::runtime::Handle as Runtime;

use crate::abi::notify;
use crate::device::Device;
use crate::fs::Fs;
use crate::mountpoint::Mountpoint;
use crate::options::MountOptions;
use crate::session::{self, Session};
use crate::stats::MountStats;
use crate::wire::Out;

/// Why something could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is no FUSE here, or it is not ours to use.
    #[error("/dev/fuse cannot be used: {source}; load the module fuse, or run as root")]
    Device {
        /// What the system says.
        source: io::Error,
    },
    /// Not on this directory.
    #[error("cannot mount on {path}: {source}")]
    Mount {
        /// The directory.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Kernel and daemon do not understand each other.
    #[error("the kernel does not answer: {source}")]
    Session {
        /// What went wrong.
        source: io::Error,
    },
}

/// A mounted tree. Dropping it unmounts.
#[derive(Debug)]
pub struct Mount {
    pub(crate) fs: Arc<Fs>,
    pub(crate) dir: PathBuf,
    mountpoint: Mutex<Mountpoint>,
    threads: Mutex<Vec<JoinHandle<io::Result<()>>>>,
}

impl Mount {
    /// Mounts `tree` on the directory `path`. It answers as soon as this returns. What has to be waited for runs in
    /// `runtime`, which needs threads of its own.
    ///
    /// # Errors
    /// [`MountError`]; nothing is mounted then.
    pub fn start(
        path: &Path,
        tree: Tree,
        reader: Reader,
        source: Source,
        options: MountOptions,
        runtime: &Runtime,
    ) -> Result<Self, MountError> {
        let session = Session::open(path, &options)?;
        let broken = |source| MountError::Session { source };
        let (threads, read_ahead) = (options.threads, options.max_readahead);
        let mut changes = tree.changes();
        let passthrough = session.agreed.passthrough;
        let fs = Arc::new(Fs::new(
            tree,
            reader,
            source,
            options,
            passthrough,
            runtime.clone(),
        ));
        if let Some(cache) = fs.reader.cache() {
            runtime.spawn(heed(Arc::downgrade(&fs), cache.refutations()));
        }
        let threads = session::start(&session.device, &fs, threads).map_err(broken)?;
        session.read_ahead(read_ahead);
        let Session {
            device, mountpoint, ..
        } = session;
        // A thread of its own: the kernel may hold locks while it waits for an answer of ours.
        let telling = std::thread::Builder::new()
            .name("forebay-notify".to_owned())
            .spawn(move || {
                while let Some(notice) = changes.blocking_recv() {
                    tell(&device, &notice);
                }
            });
        telling.map_err(broken)?;
        Ok(Self {
            fs,
            dir: mountpoint.path().to_owned(),
            mountpoint: Mutex::new(mountpoint),
            threads: Mutex::new(threads),
        })
    }

    /// Figures so far.
    pub fn stats(&self) -> MountStats {
        MountStats {
            handed_over: self.fs.passthrough.handed_over(),
            handed_over_now: self.fs.passthrough.handed_over_now(),
            waiting: self.fs.parked.len() as u64,
            ..self.fs.counters.snapshot()
        }
    }

    /// The tree that is mounted.
    pub fn tree(&self) -> &Tree {
        &self.fs.tree
    }

    /// Asks the source how the open files are doing, once for each file, for [`Self::status`] to tell: of a torrent, what is
    /// there of it and who gives more. Does nothing for sources that know nothing of the kind. What cannot be found out is
    /// not known any more.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the question under way; files that were not asked about keep what was known.
    pub async fn refresh_facts(&self) {
        self.fs.refresh_facts().await;
    }

    /// Takes it away; programs that have files open in it go on with them until they close.
    ///
    /// # Errors
    /// What the system says; it is mounted still.
    pub fn unmount(&self) -> io::Result<()> {
        self.mountpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unmount()
    }

    /// Waits until it is unmounted, by whomever, and nobody has anything open in it.
    ///
    /// # Errors
    /// If the kernel ended the session in another way.
    pub fn wait(&self) -> io::Result<()> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = session::join(threads);
        self.mountpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_gone();
        outcome
    }
}

/// Has the kernel forget pages of contents that turned out to be wrong.
async fn heed(fs: Weak<Fs>, mut refutations: Refutations) {
    while let Some(id) = refutations.recv().await {
        let Some(fs) = fs.upgrade() else { return };
        fs.refuted(&id);
    }
}

/// Tells the kernel what it believes wrongly. That it does not know it any more is as good.
fn tell(device: &Device, notice: &Notice) {
    let (code, body) = match notice {
        Notice::Content { ino: Ino(ino) } => {
            // All of it: from byte 0 on, without an end.
            (notify::INVAL_INODE, Out::default().u64(*ino).u64(0).u64(0))
        }
        Notice::Entry { parent, name } => {
            let out = Out::default().u64(parent.0).u32(name.len() as u32).u32(0);
            (notify::INVAL_ENTRY, out.bytes(name.as_bytes()).bytes(b"\0"))
        }
    };
    if let Err(error) = device.send(0, code, &[&body.0]) {
        tracing::debug!(%error, ?notice, "the kernel did not know it");
    }
}
