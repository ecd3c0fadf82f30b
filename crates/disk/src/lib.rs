//! Local disks without the page cache.
//!
//! A file that was opened with O_DIRECT becomes a [`DirectFile`] of a [`Disk`]. The disk is asked once what it wants
//! ([`Geometry`]: the kernel tells by statx). A read of any bytes is widened to whole units, gets a [`Buffer`] from the
//! [`Pool`] (aligned, in huge pages, used again), waits for a neighbour's edge instead of reading it twice where one
//! is in flight, and goes to the engine: io_uring where the kernel lets us, else threads with pread
//! ([`EngineKind`]). What comes back is trimmed to the bytes that were asked for and handed out as [`bytes::Bytes`] in
//! the memory that the disk wrote to. A file system that refuses is read through the page cache, said once for each
//! mount point and counted ([`DiskStats`]). What is written goes the same way in whole units ([`DirectWriter`]).
//!
//! Nothing here knows names, versions or stores: that is for the callers. Those that keep files of their own through the page
//! cache find the system calls for that in [`sys`].

mod buffer;
mod disk;
mod edges;
mod engine;
mod file;
mod flag;
mod geometry;
mod op;
mod pool;
mod pread;
mod refusal;
mod slab;
mod stats;
pub mod sys;
#[cfg(target_os = "linux")]
mod uring;
mod write;

pub use buffer::Buffer;
pub use disk::{Disk, DiskOptions};
pub use engine::{EngineChoice, EngineKind};
pub use file::{DirectFile, MAX_READ, Wanted};
pub use flag::ask_direct;
pub use geometry::Geometry;
pub use pool::{Pool, PoolStats};
pub use stats::DiskStats;
pub use write::DirectWriter;
