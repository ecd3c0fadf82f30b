//! What is fuzzed: the modules of the log that read bytes of strangers, from their files, so that nothing that they do
//! not need is built with them; and the crate that reads manifests. The programs in `bin` give each of the [`targets`],
//! and [`manifest`], to libFuzzer.

// The targets name the log as its tests do.
extern crate self as forebay_log;

#[path = "../../crates/log/src"]
mod log {
    pub mod batch;
    pub mod record;
    pub mod segment;
    pub mod topic;
}

pub use log::{batch, record, segment, topic};
pub use record::{Header, Record};

pub mod manifest;
pub mod targets;
