//! Sources against servers, through real sockets.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod conformance;
#[cfg(target_os = "linux")]
mod direct;
mod faults;
mod listing;
mod refusals;
mod rqbit;
mod secrets;
mod server;
mod transport;
mod web;
mod webdir;
mod world;
