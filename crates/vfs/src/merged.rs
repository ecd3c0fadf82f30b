//! What the kernel sees of a lower tree with the changes above it: a copy-on-write file system without the kernel.
//!
//! A question comes in at the [`Merged`] with a number of the kernel. `numbers` tells what the number is: a lower thing,
//! for the [`Tree`] to answer; or a node above, for the [`Upper`]. A name is looked for above first and below then
//! (`find`). What is to be changed is made known above with all that leads to it (`raise`); no byte is copied by that.
//! `lookup`, `attr`, `read_dir` and `xattr` answer questions, `create`, `remove` and `rename` change names, and
//! `open` gives a [`MergedFile`], which reads and writes, and brings what it lacks from below. `path` tells names for
//! messages.
//!
//! # What holds
//!
//! **Waiting.** What is known above, or remembered below, is answered at the first poll and waits for the local disk only.
//! No lock is held while anything else is waited for.
//!
//! **Numbers.** A lower thing has the number that the tree gave it, and keeps it when it comes up, for as long as the kernel
//! holds it. What the kernel did not know before it came up has the number of its node, with bit 62 set. A node stays for as
//! long as the kernel holds its number, though its last name goes.
//!
//! **Files.** Of a file that came up there is nothing here at first. A file that is read only stays so: it is read like a
//! lower one. The first write gives it a data file; from then on what is read is kept there, in blocks of 64 KiB, and only
//! what a write covers partly is brought for it. Lower bytes are those of the version that came up: if the object is another
//! by now, that is an error and never a mixture.
//!
//! **Symbolic links** of the lower tree that are to be moved, linked or changed are made anew above, in one step. A process
//! that is killed before their times are set leaves them with the time of that moment.
//!
//! **Changes below.** What comes to be in the lower tree under a name that is free above is seen; a name that was removed
//! stays removed. A lower directory that is gone has no names: those above stay.

mod attr;
mod commit;
mod create;
mod error;
mod file;
mod find;
mod lookup;
mod numbers;
mod open;
mod path;
mod raise;
mod read_dir;
mod remove;
mod rename;
mod xattr;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use forebay_reader::Reader;

use self::file::Files;
use self::numbers::Numbers;
use crate::ino::Ino;
use crate::overlay::{NodeId, Upper};
use crate::tree::{Notice, Tree};

pub use attr::{MergedAttr, MergedSet};
pub use error::MergedError;
pub use file::{MergedFile, WholeFile};
pub use open::{MergedOpen, OpenHow};
pub use read_dir::{MergedDir, MergedEntry};

/// How often a question is begun anew because what it is about came up or went meanwhile. Each time something was changed
/// by somebody else, so this is never reached but by a fault.
const TRIES: u32 = 64;

/// What lower things show that have no owner and no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedOptions {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits of files; one that may be executed has x wherever this has r.
    pub file_mode: u32,
    /// Permission bits of directories.
    pub dir_mode: u32,
}

impl MergedOptions {
    /// Files `rw-r--r--` and directories `rwxr-xr-x` of one owner.
    pub fn of(uid: u32, gid: u32) -> Self {
        Self {
            uid,
            gid,
            file_mode: 0o644,
            dir_mode: 0o755,
        }
    }
}

/// A lower tree and the changes above it, as the kernel sees them. Cheap to clone; clones share everything. See the
/// module's text.
///
/// Only numbers are understood that the kernel holds. Names are bytes. Futures may be dropped at any time: what they were to
/// change is changed or not, and no reference is counted.
#[derive(Clone)]
pub struct Merged {
    shared: Arc<Shared>,
}

struct Shared {
    numbers: Arc<Numbers>,
    upper: Arc<Upper>,
    reader: Reader,
    options: MergedOptions,
    files: Files,
    /// Commits change what is below: no name is known to be free there.
    is_put_below: AtomicBool,
}

impl Merged {
    /// `lower` with the changes of `upper`; what those lack is read by `reader`.
    pub fn new(lower: Tree, upper: Upper, reader: Reader, options: MergedOptions) -> Self {
        let shared = Shared {
            numbers: Arc::new(Numbers::new(lower)),
            upper: Arc::new(upper),
            reader,
            options,
            files: Files::default(),
            is_put_below: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The tree below. Its numbers are the kernel's, but references are given back by [`Self::forget`] alone.
    pub fn lower(&self) -> &Tree {
        &self.shared.numbers.tree
    }

    /// The changes above.
    pub fn upper(&self) -> &Upper {
        &self.shared.upper
    }

    /// The mode that a lower file is shown with.
    pub fn lower_mode(&self, executable: bool) -> u32 {
        attr::file_mode(&self.shared.options, executable)
    }

    /// Whether a number stands for a lower thing of which nothing is known above.
    pub fn still_lower(&self, ino: Ino) -> bool {
        self.shared.numbers.is_lower(ino)
    }

    /// What a notice of the lower tree means to the kernel; `None`: nothing, because what it is about is above, or hidden.
    pub fn seen(&self, notice: Notice) -> Option<Notice> {
        match notice {
            Notice::Content { ino } => self.still_lower(ino).then_some(Notice::Content { ino }),
            Notice::Entry { parent, name } => {
                let Some((node, ino)) = self.shared.numbers.over(parent) else {
                    return Some(Notice::Entry { parent, name });
                };
                let known = self.shared.upper.entry(node, name.as_bytes());
                matches!(known, Ok(None)).then_some(Notice::Entry { parent: ino, name })
            }
        }
    }

    /// The node above that a number stands for, if there is one.
    pub fn node(&self, ino: Ino) -> Option<NodeId> {
        self.shared.numbers.node(ino)
    }

    /// How many nodes above the kernel holds.
    pub fn held(&self) -> usize {
        self.shared.numbers.held()
    }

    /// Makes names and attributes durable, on a thread that may wait: see [`Upper::sync`].
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn sync(&self) -> Result<(), MergedError> {
        self.blocking(Upper::sync).await
    }

    /// Makes everything durable, on a thread that may wait: see [`Upper::sync_all`].
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn sync_all(&self) -> Result<(), MergedError> {
        self.blocking(Upper::sync_all).await
    }

    async fn blocking(
        &self,
        work: fn(&Upper) -> Result<(), crate::overlay::UpperError>,
    ) -> Result<(), MergedError> {
        let upper = self.shared.upper.clone();
        let done = tokio::task::spawn_blocking(move || work(&upper)).await;
        done.map_err(MergedError::task)?.map_err(MergedError::Upper)
    }

    fn tree(&self) -> &Tree {
        &self.shared.numbers.tree
    }
}

impl fmt::Debug for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged")
            .field("lower", self.lower())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
