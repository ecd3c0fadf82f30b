//! The block cache: objects as files in one directory, shared by processes, within a byte budget.
//!
//! [`Cache::open`] opens the directory (`dir`), starts a thread that looks through it (`scan`) and keeps the figures
//! (`keeper`). A reader asks [`Cache::lookup`] which version of a name is there, and [`Cache::object`] for the bytes of one
//! version: a [`CachedObject`].
//!
//! *Reading.* [`CachedObject::presence`] tells which blocks are there, [`CachedObject::read`] reads them (`read`): blocks that this
//! process knows to be good (`known`) with one `pread`, others after a look at their checksums in the map (`map`, `table`). A block
//! that is not as it should be is missing; a read never fails.
//!
//! *Writing.* [`CachedObject::store`] puts a [`Fill`] into a bounded queue (`queue`); a thread reserves room in the ledger
//! (`reservation`, `ledger`), makes the files if need be (`files`), writes the bytes (`write`), then the table, and tells the fill's
//! owner whether they were [`Stored::Written`] or [`Stored::Dropped`]. A complete object is synced and sealed (`seal`): from
//! then on its checksums need not be looked at. If it is known what its bytes must come to ([`CachedObject::must_prove`]), they are
//! checked before that (`prove`), and the copy is thrown away if they are wrong.
//!
//! *Leaving.* When the budget is spent, `policy` names who leaves first; whole objects are unlinked (`room`), objects larger than
//! their share lose their longest-unused extents (`shrink`). Who has a file open holds a shared lock on it, and is left alone.
//! [`Cache::clear`] removes everything, [`Cache::verify`] reads everything again, [`Cache::stats`] tells what happened.
//!
//! On the way to the disk, bytes stand in [`Staging`]: readers take them from there. [`SegmentCache`] is the same cache with
//! the face of a map from names to whole values.
//!
//! What holds, whoever is killed and whatever is damaged: data is written before the table says so, a table's entry vouches for
//! itself, a seal is written after data and table are on disk and is gone from the disk before a block goes, and bytes are counted
//! before they are written.

mod buffer;
mod cache;
mod clear;
mod damage;
mod dir;
mod error;
mod files;
mod fill;
mod index;
mod keeper;
mod known;
mod ledger;
mod map;
mod name;
mod object;
mod options;
mod pages;
mod policy;
mod prove;
mod queue;
mod read;
mod registry;
mod reservation;
mod room;
mod said;
mod scan;
mod seal;
mod segment;
mod shared;
mod shrink;
mod staging;
mod stats;
mod sys;
mod table;
mod verify;
mod write;

pub use cache::{Cache, Cached};
pub use clear::Cleared;
pub use error::CacheError;
pub use fill::{Fill, Stored};
pub use object::{CachedObject, HandedOut, ReadOutcome, Wait};
pub use options::{Accounting, CacheOptions, WriteMode};
pub use prove::{Proven, Refutations};
pub use segment::SegmentCache;
pub use staging::{Claim, Claimed, Hold, Purpose, Reclaimed, Staging, Waited, Waiting};
pub use stats::CacheStats;
pub use verify::{BadObject, Progress, Verified};
