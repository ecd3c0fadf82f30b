//! The program as its users run it: the real binary, a clean environment, and the lab on a real socket.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic like tests")]

mod answers;
mod at;
mod bad_input;
mod bench_direct;
mod bench_log;
mod bench_mount;
mod bench_torrent;
mod bench_write;
mod caching;
mod commit_killed;
mod direct;
mod disk;
mod fsx;
mod harness;
mod interrupts;
mod listing;
mod log;
mod log_admin;
mod log_bad_input;
mod log_consume;
mod log_crash;
mod log_produce;
mod magnet;
mod manifest;
mod manifest_snapshot;
mod manifest_verify;
mod mount;
mod mount_manifest;
mod mount_memory;
mod mount_process;
mod mount_status;
mod mount_unprivileged;
mod mount_workloads;
mod mount_writable;
mod mount_writable_bucket;
mod options;
mod pjdfstest;
mod put;
mod reading;
mod secrets;
mod settings;
mod torrents;
mod warming;
mod web;
