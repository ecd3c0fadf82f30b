//! What every metadata store promises, run against each of them, and what each promises alone.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod figures;
mod model;
mod postgres;
mod rig;
mod sqlite;
mod suite;
