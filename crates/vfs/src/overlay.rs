//! Changes on top of a lower tree that is never written to: a copy-on-write overlay, kept on the local disk.
//!
//! [`Upper::open`] opens a directory and gives the [`Upper`], which knows everything that was changed and nothing of the
//! lower tree. Things have numbers ([`NodeId`]). [`Upper::entry`] tells what a name stands for above: a node, nothing
//! ([`UpperEntry::Whiteout`]), or that the lower directory says ([`Upper::dir_origin`]). A lower thing that is to be
//! changed or moved is made known first ([`Upper::adopt_dir`], [`Upper::adopt_file`]); then it can be renamed, linked,
//! removed and given attributes like one that was made here ([`Upper::create`] and its like). [`Upper::data`] gives the
//! content of a file, a [`DataFile`]. What it has not, it says ([`ReadData::Absent`], [`Changed::Fill`]), and the caller
//! brings it from below ([`DataFile::fill`]). [`Upper::changes`] tells all that differs, for a commit. Errors are
//! [`UpperError`]s, with the answer of a system call ([`UpperError::errno`]); a directory that cannot be opened is an
//! [`OverlayError`].
//!
//! Everything here is synchronous and waits for the local disk only. What the lower tree has is for the caller to ask: whether
//! a name is taken below, whether names shine through a directory that is to be removed, whether a whiteout is needed.
//!
//! ```text
//! format           what this is, and what the changes lie on
//! lock             locked by the process that has it open, whose number is in it
//! boot             under which start of the machine it was last open
//! names            the journal of names: see `journal`, `record`
//! data/XX/ID       the content of a file; mode, owner, times and extended attributes are on it
//! data/XX/ID.map   which of its blocks are here, if some are below: see `map`
//! ```
//!
//! # What holds
//!
//! **Transactions.** What one call changes is one record of the journal, one write to its end: after `kill -9` at any
//! moment it was done or not. A record that is not whole at the end of the journal is cut off. One that is not whole with
//! whole ones behind it is damage: the overlay is not opened, nothing is touched, and the error says where. A write that
//! fails, of a full disk say, is taken back; if even that fails, nothing is changed any more before the next start. The
//! journal is in memory what it is on disk: a change is written first and done then.
//!
//! **Content.** A block of a file is absent, clean or dirty. Bytes of an absent block are written before the map says
//! that they are here; a clean block is marked as dirty before its bytes change. So a killed process leaves a block that is
//! as below or new, and every change is known for one. A block is filled under the file's lock and only while it is absent, so
//! a fill never undoes a write, however late it comes. What is here never becomes absent again, so reads need no lock
//! while they read.
//!
//! **Length.** Lower bytes end at a limit, which only goes down. A file is cut first and the journal told then: a killed
//! process leaves a file that is shorter than the limit in the journal, which counts as cut. The file grows again only
//! when the journal has the limit; so bytes that were cut off never come back.
//!
//! **Power.** What was changed before [`Upper::sync`] or [`DataFile::sync`] came back is there after a power loss, content only
//! after the latter or [`Upper::sync_all`]. A sync writes the files that records lead to, then a marker into the journal,
//! then the journal. When the machine was started again meanwhile (`boot`), records behind the last marker are believed as
//! long as the files they lead to are there, and blocks that were not synced as long as the file system has data for
//! all of each; the others are as before, or as below. Blocks that came from below count as changed then. Files whose last
//! name is gone are removed when the journal that says so is durable, so that an older journal never leads to
//! nothing; many of them, or large ones, or a full disk, bring that about at once. (On a full disk there may be no room
//! for the marker: then a power loss before the next sync takes the changes behind the last one.) After a sync that failed
//! the journal is written anew, because what did not reach the disk may count as written.
//!
//! **Numbers.** A node's number is never used again, whatever becomes of the node.
//!
//! **Life.** A node lives as long as it has a name, a [`Hold`] or a [`DataFile`]. The journal knows only nodes with names: what
//! changes on the others ends with the process.
//!
//! **Attributes.** Files with content have theirs on the data file, which always lets its owner, us, read and write; what
//! of that is not in its mode, the journal says. A fill leaves the mtime as it is, but not the ctime; a process that is killed
//! in the middle of a fill may leave the mtime of that moment. Only extended attributes that begin with `user.` are kept;
//! those that begin with `user.forebay.` are ours.
//!
//! **What is hidden.** Over a lower tree that can change ([`Upper::open_with_ledger`]) the version of each lower file that is
//! hidden is known, noted in the record that hides it, and what a commit put below is known as such
//! ([`Upper::record_put`]), until it is let go of ([`Upper::settle`]).
//!
//! **Locks.** The names are under one lock, held while a record is written and never while content is read or written.
//! Each file has its own. They are taken in this order: the table of open files, a file, the one who syncs, the names.

mod attrs;
mod changes;
mod compact;
mod data;
mod error;
mod journal;
mod layout;
mod map;
mod names;
mod record;
mod recover;
mod shared;
mod state;
mod stats;
mod survey;
mod sys;
#[cfg(test)]
mod tests;
mod upper;
mod xattr;

pub use attrs::{
    Attrs, Data, DataStamp, NodeAttrs, NodeId, NodeKind, Origin, SetAttrs, SetTime, SpecialKind, UpperEntry,
};
pub use changes::{Changes, ContentChange, UpperChange, What, Whence};
pub use data::{Changed, Copied, DataFile, Present, ReadData};
pub use error::{OverlayError, UpperError};
pub use stats::UpperStats;
pub use survey::{Survey, Surveyed, Thing};
pub use upper::{
    DIR_VERSION, Found, Hold, KnownVersion, NamedEntry, NewNode, Recorded, Removed, Rename, Upper,
};
pub use xattr::SetXattr;

pub(crate) use names::{check, join_lower, shown};
pub(crate) use xattr::is_kept;
