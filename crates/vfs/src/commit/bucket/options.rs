//! Where to, and how.

use crate::commit::options::{CommitOptions, ObjectPlace};

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
    /// Files that are put, copied or removed at the same time.
    pub at_once: usize,
    /// Bytes that are held in memory to be sent, at least those of one object that goes at once.
    pub memory: u64,
    /// Contents that are larger are sent in parts.
    pub single_put: u64,
    /// Smallest part.
    pub part_size: u64,
    /// Larger objects are not copied by the store, but put: S3 copies 5 GiB at once.
    pub largest_copy: u64,
}

impl Default for BucketOptions {
    fn default() -> Self {
        let usual = CommitOptions::default();
        Self {
            replace: false,
            local: None,
            at_once: usual.uploads,
            memory: usual.memory,
            single_put: usual.single_put,
            part_size: usual.part_size,
            largest_copy: 5 << 30,
        }
    }
}
