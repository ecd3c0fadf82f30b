//! How a process reads.

use std::time::Duration;

use forebay_readahead::{ByExtension, ReadAheadConfig};

/// When the server is asked whether a cached version is still the present one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// At every open, by If-None-Match on the first range: one round trip, no bytes if it is.
    #[default]
    Always,
    /// When nobody asked for this long.
    Ttl(Duration),
    /// Never: the name tells the content.
    Never,
}

/// When the bytes of an object are checked of which it is known what they must come to ([`forebay_types::Proof`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// When all of them are here, and before the cache trusts them. Bytes are read as they come; if they turn out to be wrong,
    /// reads fail from then on, and the cache tells ([`forebay_cache::Cache::refutations`]). What is not cached is not checked.
    #[default]
    Complete,
    /// Before any is read: opening one fetches all of it. It must be cached.
    Strict,
}

/// What all reads of a [`crate::Reader`] share.
#[derive(Clone, Debug, Default)]
pub struct ReaderOptions {
    /// When cached versions are confirmed.
    pub freshness: Freshness,
    /// How far handles run ahead. Its `unit` is replaced by the part size of each source.
    pub read_ahead: ReadAheadConfig,
    /// Windows for kinds of files.
    pub by_extension: ByExtension,
    /// When content is checked.
    pub verify: Verify,
}
