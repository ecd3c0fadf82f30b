//! The read path against the lab, through real sockets and a real disk.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod ahead;
mod faults;
mod fresh;
mod memory;
mod model;
mod order;
mod reads;
mod sharing;
mod store;
mod warm;
mod world;
