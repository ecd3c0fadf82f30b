//! The lab seen from outside, through a real socket.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod client;
mod conditions;
mod fast;
mod faults;
#[cfg(feature = "full")]
mod full;
mod life;
mod raw;
#[cfg(feature = "rqbit")]
mod rqbit;
#[cfg(feature = "full")]
mod store;
