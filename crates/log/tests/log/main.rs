//! The log through its real face: a bucket on a socket, metadata in a file.

#![expect(clippy::unwrap_used, reason = "tests")]

mod reading;
mod world;
