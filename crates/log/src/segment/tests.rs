#![expect(clippy::unwrap_used, reason = "tests")]

mod builder;
mod damage;
mod lies;
mod rig;
mod round_trip;
mod tails;
