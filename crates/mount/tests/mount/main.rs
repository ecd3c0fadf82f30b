//! Trees mounted by the real kernel, read by ordinary programs.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end here")]

mod faults;
mod kernel;
mod reads;
mod storm;
mod world;
