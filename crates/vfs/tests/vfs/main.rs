//! Trees over real sources: the lab on a socket, local directories, and a store in memory.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod changes;
#[cfg(target_os = "linux")]
mod commit;
#[cfg(target_os = "linux")]
mod commit_bucket;
#[cfg(target_os = "linux")]
mod commit_bucket_crash;
mod commit_bucket_moves;
#[cfg(target_os = "linux")]
mod commit_faults;
#[cfg(target_os = "linux")]
mod commit_merged;
#[cfg(target_os = "linux")]
mod commit_world;
mod faults;
mod local;
mod merged_files;
mod merged_model;
mod merged_names;
mod merged_numbers;
mod merged_sources;
mod merged_threads;
mod merged_world;
mod model;
mod names;
mod order;
mod refresh;
mod requests;
mod threads;
mod world;
