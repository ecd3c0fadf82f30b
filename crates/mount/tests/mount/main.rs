//! Trees mounted by the real kernel, read by ordinary programs.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end here")]

mod faults;
mod fio;
mod gone;
mod kernel;
mod mapped;
mod maps;
mod mirror;
mod model;
mod modes;
mod parallel;
mod readers;
mod reads;
mod refreshed;
mod replaced;
mod shared;
mod storm;
mod web;
mod world;
mod writable;
mod wrongs;
