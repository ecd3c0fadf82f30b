//! Where to, and how.

use crate::commit::send::{ObjectPlace, SendOptions};

/// What is to be made the same as the tree.
#[derive(Clone, Debug)]
pub struct BucketOrder {
    /// What is mounted: the store, which can be written to, and the prefix.
    pub place: ObjectPlace,
    /// How.
    pub options: BucketOptions,
}

/// How a commit into a bucket is made.
#[derive(Clone, Debug)]
pub struct BucketOptions {
    /// Whether what somebody else changed meanwhile is replaced and removed all the same.
    pub replace: bool,
    /// The directory, if it is a local one: there a name is either a file's or a directory's, and directories that become
    /// empty have to be removed.
    pub local: Option<std::path::PathBuf>,
    /// How contents are sent.
    pub send: SendOptions,
    /// Larger objects are not copied by the store, but put: S3 copies 5 GiB at once.
    pub largest_copy: u64,
}

impl Default for BucketOptions {
    fn default() -> Self {
        Self {
            replace: false,
            local: None,
            send: SendOptions::default(),
            largest_copy: 5 << 30,
        }
    }
}
