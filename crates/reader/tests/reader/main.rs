//! The read path against the lab, through real sockets and a real disk.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod ahead;
mod crowd;
mod disk;
mod faults;
mod fresh;
mod gone;
mod matrix;
mod memory;
mod model;
mod order;
mod processes;
mod proof;
mod reads;
mod seeks;
mod sharing;
mod store;
mod warm;
mod world;
