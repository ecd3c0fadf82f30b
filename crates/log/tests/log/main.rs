//! The log through its real face: a bucket on a socket, metadata in a file.

#![expect(clippy::unwrap_used, reason = "tests")]

mod consumer;
mod crash;
mod damage;
mod defects;
mod faults_read;
mod faults_write;
mod maintain;
mod model_read;
mod model_write;
mod order;
mod producing;
mod reading;
mod records;
mod recover;
mod recover_writers;
mod resolving;
mod retain;
mod seed;
mod sharing;
mod spy;
mod two_writers;
mod world;
