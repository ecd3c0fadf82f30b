//! The log through its real face: a bucket on a socket, metadata in a file.

#![expect(clippy::unwrap_used, reason = "tests")]

mod consumer;
mod defects;
mod faults_read;
mod model_read;
mod reading;
mod seed;
mod sharing;
mod spy;
mod world;
