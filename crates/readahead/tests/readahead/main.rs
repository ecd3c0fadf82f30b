//! Read-ahead against lists of reads, one file per pattern.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod interleaved;
mod invariants;
mod memory;
mod random;
mod sequential;
mod settings;
mod sim;
mod strided;
