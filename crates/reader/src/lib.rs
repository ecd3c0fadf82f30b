//! The read path: every front end reads through here.
//!
//! A [`Reader`] joins range engine, cache and read-ahead, one per process. [`Reader::open`] turns a
//! [`forebay_range::Target`] into a [`Handle`]: the version is known from the cache, from a listing, or from the first
//! ranged GET ([`Freshness`] says when the server is asked again). A read tells read-ahead, takes what is here at once
//! ([`Handle::try_read_at`], on the calling thread, without the runtime), and goes for the rest through the one door of
//! `blocks`: bytes on their way (the cache's staging table, which is also the single flight), else the disk cache, else
//! the range engine, whose chunks fill both. [`Handle::read_at`] gives bytes, [`ReadStream`] gives them in order,
//! [`HandleReader`] is `AsyncRead + AsyncSeek`, [`Handle::copy_to`] puts them into a sink, [`Reader::warm`] into the
//! cache alone. Where it is known what the bytes of an object must come to, [`Verify`] says when that is checked (`proof`).
//! [`CachedStore`] is all of that as an `object_store::ObjectStore`.
//!
//! Dropping a future gives up its own wait; requests that nobody else waits for end. Dropping a handle ends its
//! read-ahead.

mod ahead;
mod begin;
mod blocks;
mod buffers;
mod cached_store;
mod copy;
mod error;
mod handle;
mod io;
mod lanes;
mod object;
mod open;
mod options;
mod proof;
mod reader;
mod stage;
mod stats;
mod stream;
mod warm;

pub use cached_store::CachedStore;
pub use error::ReadError;
pub use handle::Handle;
pub use io::HandleReader;
pub use open::OpenOptions;
pub use options::{Freshness, ReaderOptions, Verify};
pub use reader::Reader;
pub use stats::{HandleStats, ReaderStats};
pub use stream::ReadStream;
pub use warm::Warmed;
