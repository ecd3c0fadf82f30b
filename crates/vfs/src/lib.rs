//! Which files a mounted tree has, and what their attributes are. Bytes are read elsewhere.
//!
//! A question comes in at the [`Tree`]: [`Tree::lookup`] turns a directory's number ([`Ino`]) and a name into an
//! [`Attr`], [`Tree::attr`] tells what became of a number, [`Tree::read_dir`] gives a [`DirSnapshot`]. What is known, and
//! still believed, is answered at once, on the calling thread and without any runtime (`try_…`). What is not, one
//! question for all who ask the same is put to the [`Namespace`], which knows files but remembers nothing:
//! [`BucketNamespace`] is that of buckets, prefixes and local directories, [`ManifestNamespace`] that of a manifest. A [`DirPath`] says where, an [`Entry`] of
//! name and [`Node`] what there is; [`Freshness`] and [`TreeOptions`] say for how long that is believed. When a newer
//! answer differs from what the kernel was told, [`Changes`] has a [`Notice`] for it. When the kernel opens a file, the
//! [`OpenTarget`] says what a reader is to read, in which version. What went wrong is a [`VfsError`], what was done is in
//! [`TreeStats`].
//!
//! Local changes on top of such a tree are in [`overlay`]: names and attributes in a journal, written files as files with a
//! map of what is still below. It survives `kill -9` at any moment, and asks nothing of the lower tree by itself. What the
//! kernel sees of both is in [`merged`]: the same questions as to a tree, everything that changes names, and files that can
//! be written. Changes on top of a manifest become a new manifest in [`commit`](mod@commit),
//! those on top of a bucket its objects.
//!
//! # What holds
//!
//! **Names.** A tree has the names that a file system can have: not empty, not `.` or `..`, without a slash or NUL, at
//! most [`MAX_NAME_BYTES`] bytes. Others are left out of listings with all that lies below them, counted, and said once.
//! Names are UTF-8; one that is not is not found. Where a directory and a file have the same name, the directory is
//! seen and the file is not; that is counted and said once too. What [`BucketNamespace`] makes of keys it says itself.
//!
//! **Numbers.** A number stands for one name in one directory and one kind of thing, for as long as the kernel holds it
//! or a listing has it; it stays when the content changes, unless the file is open: then it stands for
//! the version that was opened, and the newer one gets another number. A name that vanishes and comes back, or becomes something of
//! another kind, gets a new number. A number is never used again, so generations need not be told apart. One whose name
//! is gone answers [`VfsError::Stale`] to everything.
//!
//! **Belief.** A name and its attributes are believed for a TTL, counted from the answer; a name that is not there for
//! another. A listing is believed for the TTL, or for twice the time that it took if that is longer, and with it all its
//! names, and that there are no others: `ls -l` costs one listing. [`Attr::valid`] and [`VfsError::NotFound`] say how
//! much of that is left, so that a kernel's cache adds nothing to it. What is asked later is believed over what was
//! asked earlier, whichever answer comes first. Names that never change are believed for ever.
//!
//! **Requests.** One name costs one [`Namespace::look`], one directory one [`Namespace::list`], however many ask at the
//! same time. Where the looks in a directory that was listed before have taken as long as listing it did, it is listed
//! instead. A dropped future gives up its own wait; a request ends when nobody waits for it any more. Errors are not
//! remembered, except that a name does not exist.
//!
//! **Times.** A directory has the time of the newest entry of its last listing, else that of the tree's beginning, and
//! two links whatever is in it; a symbolic link has the time of the tree's beginning. Of one content the time stays what was heard first, if a later answer only has another
//! precision.
//!
//! **Memory.** Remembered are the nodes that the kernel holds, and beside them
//! [`max_entries`](TreeOptions::max_entries) names at most; directories that were used least lately are forgotten first.

mod attr;
mod bucket;
#[cfg(target_os = "linux")]
pub mod commit;
mod difference;
mod entry;
mod error;
mod freshness;
mod ino;
mod inode;
mod manifest;
#[cfg(target_os = "linux")]
pub mod merged;
mod names;
mod namespace;
mod options;
#[cfg(target_os = "linux")]
pub mod overlay;
mod path;
mod place;
mod snapshot;
mod stats;
mod tree;

pub use attr::Attr;
pub use bucket::BucketNamespace;
pub use entry::{Entry, FileMeta, Node};
pub use error::VfsError;
pub use freshness::Freshness;
pub use ino::{Ino, Kind};
pub use manifest::{ManifestMountError, ManifestNamespace};
pub use names::{BadName, MAX_NAME_BYTES};
pub use namespace::Namespace;
pub use options::TreeOptions;
pub use path::DirPath;
pub use snapshot::{DirEntry, DirSnapshot};
pub use stats::TreeStats;
pub use tree::{Changes, Notice, OpenTarget, Tree};
