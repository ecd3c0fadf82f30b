//! The range engine: one object becomes parallel ranged requests, and bytes again.
//!
//! A caller names a [`Target`] (store, path, what is known of the object) and a range. [`RangeEngine::open`] sends
//! the first ranged GET, which tells size and version without a HEAD before it; `plan` cuts the rest into parts.
//! Each part waits for memory in the [`Budget`], for its turn at the [`Gate`], then runs as a task of its own
//! (`part`): it sends its request, a second one if the first is late (`hedge`), takes the chunks as they come,
//! resumes where a connection broke, and insists on the version that the first answer named.
//! The chunks leave in one of three forms: in order as a [`RangeStream`], in one buffer ([`RangeEngine::read`]), or
//! each to its place in a [`RangeSink`], in any order. Who plans for himself, as a cache does, takes single parts from a
//! [`Fetch`] into a [`PartOut`] of his own. [`RangeStats`] say what it took.
//!
//! Dropping any of these futures or streams ends their requests: connections close, memory and turns go back.

mod budget;
mod buffer;
mod cgroup;
mod closure;
mod config;
mod engine;
mod error;
mod fetch;
mod gate;
mod head;
mod hedge;
mod in_order;
mod part;
mod plan;
mod read;
mod sink;
mod state;
mod stats;
mod stream;
mod target;
mod urgency;

pub use budget::{Budget, Reservation};
pub use cgroup::{Cgroup, CgroupLimit};
pub use config::{FileSystemConfig, RangeEngineConfig};
pub use engine::{EngineOptions, RangeEngine};
pub use error::RangeError;
pub use fetch::{Fetch, FirstPart};
pub use gate::{Gate, GateOptions, Permit};
pub use hedge::HedgePolicy;
pub use plan::{first_part, parts};
pub use read::Opened;
pub use sink::{Discard, FileSink, RangeSink};
pub use state::PartOut;
pub use stats::RangeStats;
pub use stream::RangeStream;
pub use target::{Known, Target};
pub use urgency::Urgency;
