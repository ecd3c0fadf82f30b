//! A mounted tree, as a program has it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use forebay_cache::Refutations;
use forebay_reader::Reader;
use forebay_source::Source;
use forebay_vfs::merged::Merged;
use forebay_vfs::{Changes, Ino, Notice, Tree};
use tokio::runtime::Handle as Runtime;
use tokio::task::AbortHandle;

use crate::abi::notify;
use crate::device::Device;
use crate::fs::Fs;
use crate::mountpoint::Mountpoint;
use crate::options::{MountOptions, WritableOptions};
use crate::session::{self, Access, Serve, Session};
use crate::stats::MountStats;
use crate::wire::Out;
use crate::writable::{Writable, open_overlay};

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
    /// With changes on top, if it can be written to.
    pub(crate) writable: Option<Arc<Writable>>,
    /// Makes those durable.
    syncing: Option<AbortHandle>,
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
        let session = Session::open(path, &options, Access::ReadOnly)?;
        let changes = tree.changes();
        let passthrough = session.agreed.passthrough;
        let fs = Fs::new(tree, reader, source, options, passthrough, runtime.clone());
        let fs = Arc::new(fs);
        heed_refutations(&fs, runtime);
        Self::begin(session, Access::ReadOnly, fs.clone(), &fs, changes, Heard::Plain)
    }

    /// Mounts `merged` on the directory `path`, to be read and to be changed. `reader` and `source` are those of the tree
    /// below. Changes are where `merged` has them; those of names and attributes are made durable every so often, and all
    /// when the mount is taken away.
    ///
    /// # Errors
    /// [`MountError`]; nothing is mounted then.
    pub fn start_writable(
        path: &Path,
        merged: Merged,
        reader: Reader,
        source: Source,
        options: WritableOptions,
        runtime: &Runtime,
    ) -> Result<Self, MountError> {
        let overlay = open_overlay(&options.overlay).map_err(|source| MountError::Mount {
            path: forebay_types::printable(&path.to_string_lossy()).into_owned(),
            source,
        })?;
        let session = Session::open(path, &options.mount, Access::Writable)?;
        let tree = merged.lower().clone();
        let changes = tree.changes();
        let passthrough = session.agreed.passthrough;
        let fs = Fs::new(tree, reader, source, options.mount, passthrough, runtime.clone());
        let fs = Arc::new(fs.below(merged.clone()));
        heed_refutations(&fs, runtime);
        let writable = Arc::new(Writable::new(fs.clone(), merged, overlay));
        // Weakly: the tree would live for as long as somebody waits for what changes in it.
        let heard = Heard::Below(Arc::downgrade(&writable));
        let mut mount = Self::begin(session, Access::Writable, fs, &writable, changes, heard)?;
        mount.syncing = Some(writable.keep_durable(options.sync_interval, runtime));
        mount.writable = Some(writable);
        Ok(mount)
    }

    fn begin(
        session: Session,
        access: Access,
        fs: Arc<Fs>,
        who: &Arc<impl Serve>,
        mut changes: Changes,
        heard: Heard,
    ) -> Result<Self, MountError> {
        let broken = |source| MountError::Session { source };
        let (threads, read_ahead) = (fs.options.threads, fs.options.max_readahead);
        let threads = session::start(&session.device, who, access, threads).map_err(broken)?;
        session.read_ahead(read_ahead);
        let Session {
            device, mountpoint, ..
        } = session;
        // A thread of its own: the kernel may hold locks while it waits for an answer of ours.
        let telling = std::thread::Builder::new()
            .name("forebay-notify".to_owned())
            .spawn(move || {
                while let Some(notice) = changes.blocking_recv() {
                    if let Some(notice) = heard.meaning(notice) {
                        tell(&device, &notice);
                    }
                }
            });
        telling.map_err(broken)?;
        Ok(Self {
            fs,
            writable: None,
            syncing: None,
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

    /// Takes it away; programs that have files open in it go on with them until they close. What was changed until then is
    /// durable when this returns.
    ///
    /// # Errors
    /// What the system says: it is mounted still, or it is not and the last changes are not safe from a power loss.
    pub fn unmount(&self) -> io::Result<()> {
        self.mountpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unmount()?;
        self.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        match &self.writable {
            Some(writable) => writable.sync_all(),
            None => Ok(()),
        }
    }

    /// Waits until it is unmounted, by whomever, and nobody has anything open in it. All changes are durable then.
    ///
    /// # Errors
    /// If the kernel ended the session in another way, or the last changes are not safe from a power loss.
    pub fn wait(&self) -> io::Result<()> {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = session::join(threads);
        self.mountpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_gone();
        if let Some(syncing) = &self.syncing {
            syncing.abort();
        }
        outcome.and(self.sync_all())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(syncing) = &self.syncing {
            syncing.abort();
        }
    }
}

/// What a notice of the tree means to the kernel.
enum Heard {
    /// What it says.
    Plain,
    /// Something else, or nothing, since there are changes on top.
    Below(Weak<Writable>),
}

impl Heard {
    fn meaning(&self, notice: Notice) -> Option<Notice> {
        match self {
            Self::Plain => Some(notice),
            Self::Below(writable) => writable.upgrade()?.merged.seen(notice),
        }
    }
}

/// Has the kernel forget pages of contents that turn out to be wrong, as long as it is mounted.
fn heed_refutations(fs: &Arc<Fs>, runtime: &Runtime) {
    if let Some(cache) = fs.reader.cache() {
        runtime.spawn(heed(Arc::downgrade(fs), cache.refutations()));
    }
}

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
