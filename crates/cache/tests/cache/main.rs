//! What the cache promises, by claim: whatever happens to processes, disk and files, a read gives the right bytes or none.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod basics;
mod crash;
mod damage;
mod directory;
mod eviction;
mod figures;
mod full_disk;
mod ledger;
mod model;
mod options;
mod processes;
mod proof;
mod rig;
mod seeds;
mod shrinking;
mod versions;
