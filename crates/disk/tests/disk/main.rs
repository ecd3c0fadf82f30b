//! Disks, files and kernels as they are: nothing here is imitated.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod cancel;
mod confined;
mod edges;
mod file_systems;
mod mounted;
mod page_cache;
mod ranges;
mod refusals;
mod runtimes;
mod warnings;
mod world;
mod writes;
