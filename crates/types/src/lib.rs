//! The words that every stage shares. No I/O, no async, nothing of ours below it.
//!
//! A read names an object, [`ObjectId`] (who serves it, which key, which version, how long), and a
//! [`ByteRange`] of it (the cache counts in [`BlockRange`]s), with an [`Intent`]: somebody waits for the bytes, or they are fetched ahead, or a
//! cache is being warmed. Where a name is a hash of the bytes, a [`Proof`] tells whether they are right. When a read fails, the error of whichever stage it was says by its [`ErrorKind`] what the
//! caller should do. Memory that is kept for longer than one read is asked from a [`MemoryBudget`]. Sizes that people type are [`ByteSize`]; time is asked from a [`Clock`]; every fixed
//! limit of the system stands in [`limits`].

mod block;
mod byte_range;
mod byte_size;
mod clock;
mod intent;
mod kind;
pub mod limits;
mod memory;
mod object_id;
mod proof;
mod text;

pub use block::{BLOCK, BlockRange};
pub use byte_range::{ByteRange, ParseRangeError, RangeSpec};
pub use byte_size::{ByteSize, ParseByteSizeError};
pub use clock::{Clock, ManualClock, SystemClock};
pub use intent::Intent;
pub use kind::ErrorKind;
pub use memory::MemoryBudget;
pub use object_id::{ObjectId, Origin, Version};
pub use proof::{Check, Proof};
pub use text::printable;
