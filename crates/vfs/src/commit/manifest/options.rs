//! What is committed, where to, and how.

use std::sync::Arc;

use forebay_manifest::{ChunkSize, Hash, Kind, Limits, Manifest, Version};
use object_store::Attributes;

use crate::commit::send::{ObjectPlace, SendOptions};

/// What is to be made.
#[derive(Clone, Debug)]
pub struct ManifestOrder {
    /// The manifest that is mounted: of several, what they are together ([`forebay_manifest::compose`]).
    pub base: Arc<Manifest>,
    /// What a diff calls its parent: the hash of the bytes of the base as they are stored. `None`: it does not say.
    pub parent: Option<Hash>,
    /// Below which path the store has contents, as `{hash}.xxh128`.
    pub cas: ObjectPlace,
    /// Where the new manifest goes.
    pub manifest: ManifestPlace,
    /// How.
    pub options: ManifestOptions,
}

/// Where a manifest goes.
#[derive(Clone, Debug)]
pub struct ManifestPlace {
    /// The object.
    pub place: ObjectPlace,
    /// Whether what is there is replaced. Otherwise it is an error that something is, unless that is the same.
    pub replace: bool,
    /// What is stored with it, such as the `asset-root` that Deadline's tools look for. Local files have none.
    pub attributes: Attributes,
}

/// How a commit into a manifest is made.
#[derive(Clone, Debug)]
pub struct ManifestOptions {
    /// All there is, or what changed. A diff is always a draft.
    pub kind: Kind,
    /// The format. `None`: v2023-03-03 if it can hold all there is, otherwise the draft.
    pub version: Option<Version>,
    /// How long the chunks of a draft are. `None`: as in the base if it is one, otherwise 256 MiB.
    pub chunk_size: Option<ChunkSize>,
    /// Where the tree is mounted: absolute targets of links that begin with it lead into the tree.
    pub mountpoint: Option<Box<[u8]>>,
    /// How large the new manifest may be.
    pub limits: Limits,
    /// Files and chunks that are hashed at the same time; as many as the machine has cores.
    pub hashing: usize,
    /// How contents are sent.
    pub send: SendOptions,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self {
            kind: Kind::Snapshot,
            version: None,
            chunk_size: None,
            mountpoint: None,
            limits: Limits::default(),
            hashing: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            send: SendOptions::default(),
        }
    }
}
