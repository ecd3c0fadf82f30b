//! The lab: an object store on a real socket, as slow, as fast and as unreliable as a test or a bench wants it.
//!
//! Loopback has no latency and ready S3 servers are slow, so what a read path is for cannot be shown with them. Here a
//! test says what a [`Lab`] is to be like ([`LabBuilder`]: which [`Face`], how far away by its [`Profile`]) and starts
//! it. Its [`Objects`] are put directly or over the wire; what they hold is [`Content`], whose pattern needs no memory
//! for ten gigabytes and shows a part in a wrong place at once.
//!
//! A request meets the fault layer first. It asks [`Faults`] which [`Rule`]s it falls under, each with a
//! [`FaultKind`]; then a face answers: the fast one straight from memory, the full one through crate `s3s` with
//! signatures and all the rest (feature `full`). The answer waits until its first byte is due, its head is edited, and
//! its body leaves in slices of the object, at the pace of the profile, until it ends or a fault ends it. [`Counts`]
//! tells afterwards what was asked and sent.
//!
//! ```
//! use forebay_testkit::{Content, FaultKind, Lab, Point, Profile, Rule};
//!
//! # fn main() -> std::io::Result<()> {
//! let lab = Lab::builder().profile(Profile::STANDARD).start()?;
//! lab.objects().put("bucket", "key", Content::pattern(1, 10 << 30));
//! lab.faults().add(Rule::new(FaultKind::Reset(Point::AfterBody(1 << 20))).times(3));
//! println!("{}/bucket/key", lab.endpoint());
//! # Ok(())
//! # }
//! ```

mod bytes;
mod counts;
mod fast;
mod faults;
#[cfg(feature = "full")]
mod full;
#[cfg(feature = "full")]
mod harness;
mod lab;
mod objects;
#[cfg(feature = "full")]
mod postgres;
pub mod raw;
#[cfg(feature = "rqbit")]
pub mod rqbit;
#[cfg(feature = "full")]
mod web;

pub use bytes::{Content, Mismatch};
pub use counts::{Counts, KeyCounts};
pub use faults::{FaultClass, FaultKind, Faults, Op, Point, RetryAfter, Rule, WrongRange};
#[cfg(feature = "full")]
pub use harness::{init_logging, within};
pub use lab::{Face, Lab, LabBuilder, Profile, s3_settings};
pub use objects::{
    Attributes, ListEntry, ListPage, ListQuery, Object, Objects, PartInfo, Preconditions, StoreError, Verdict,
};
#[cfg(feature = "full")]
pub use postgres::Postgres;
#[cfg(feature = "full")]
pub use web::WebServer;
