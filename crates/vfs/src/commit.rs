//! What was changed on top of what is mounted becomes part of it.
//!
//! On top of a manifest it becomes a new one ([`commit_manifest`]: see `manifest`), on top of a bucket or a local directory its
//! objects ([`commit_bucket`]: see `bucket`). What is committed is a [`Working`] tree. Both make all of it durable, have what files
//! lack brought from below (`bring`), wait until nobody writes to them (`still`), and send what is in them (`payload`, `parts`) to an
//! [`ObjectPlace`] as [`SendOptions`] say, within their `memory`; requests that a connection broke are sent `again`.
//! [`CommitProgress`] says how far it is, and [`CommitError`] what was wrong.
//!
//! # What holds
//!
//! **One moment for each file.** Names, links and modes are those of the beginning. The content of a file is that of a
//! moment at which nobody wrote to it: size and times are looked at before it is read and after, and it is read again if
//! they differ, three times. Different files may be of different moments. What a program has mapped and not yet written
//! back is not in it.
//!
//! **What each of the two promises** besides stands at the head of its file.

mod again;
mod blocking;
mod bring;
mod bucket;
mod condition;
mod error;
mod manifest;
mod memory;
mod merged;
mod parts;
mod payload;
mod progress;
mod send;
mod still;
#[cfg(test)]
mod tests;
mod working;

pub use bucket::{
    BucketCommitted, BucketOptions, BucketOrder, Conflict, ConflictWhy, LeftOut, commit_bucket,
};
pub use error::{BelowError, CommitError};
pub use manifest::{
    DraftReason, ManifestCommitted, ManifestOptions, ManifestOrder, ManifestPlace, Put, commit_manifest,
};
pub use progress::{CommitProgress, CommitStats};
pub use send::{ObjectPlace, SendOptions};
pub use working::Working;
