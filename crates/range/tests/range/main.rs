//! The range engine against the lab, through real sockets.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod cancel;
mod download;
mod fault_cases;
mod faults;
mod forms;
mod hedging;
mod memory;
mod model;
mod requests;
mod throttle;
mod world;
