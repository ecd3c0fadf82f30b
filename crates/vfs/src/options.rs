//! How a tree remembers.

use std::time::Duration;

/// Settings of a [`Tree`](crate::Tree).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// For how long names and attributes are believed; `None` for what the namespace says. A namespace that never
    /// changes is believed for ever in any case.
    pub ttl: Option<Duration>,
    /// For how long a name is believed to be missing; `None` for as long as one that was found.
    pub negative_ttl: Option<Duration>,
    /// Entries remembered beyond those that the kernel holds: listings and missing names of all directories together.
    /// The directory listed last is kept whole even if it alone has more.
    pub max_entries: usize,
}

impl Default for TreeOptions {
    /// A million entries are about 250 MB.
    fn default() -> Self {
        Self {
            ttl: None,
            negative_ttl: None,
            max_entries: 1_000_000,
        }
    }
}
