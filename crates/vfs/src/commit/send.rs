//! Where objects are sent, and how.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use crate::commit::memory::Memory;

/// A place in a store.
#[derive(Clone)]
pub struct ObjectPlace {
    /// The store, which can be written to.
    pub store: Arc<dyn ObjectStore>,
    /// An object in it, or a prefix.
    pub path: Path,
    /// Its URL as it may be shown.
    pub url: Box<str>,
}

impl fmt::Debug for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectPlace").field(&self.url).finish()
    }
}

impl ObjectPlace {
    /// What is below it, as it may be shown.
    pub(super) fn url_of(&self, name: &str) -> Box<str> {
        let url = self.url.trim_end_matches('/');
        format!("{url}/{}", forebay_types::printable(name)).into()
    }
}

/// How contents are sent.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// Objects that are asked for, sent, copied or removed at the same time. 32: more than enough for a fast line, at 30 ms a
    /// request.
    pub at_once: usize,
    /// Bytes that are held in memory to be sent, at least those of one part and of one object that goes at once.
    pub memory: u64,
    /// Contents that are larger are sent in parts. S3 takes at most 5 GiB at once.
    pub single_put: u64,
    /// Smallest part; they grow where an object would have more than 10,000. S3 asks for 5 MiB.
    pub part_size: u64,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            at_once: 32,
            memory: 256 << 20,
            single_put: 16 << 20,
            part_size: 8 << 20,
        }
    }
}

impl SendOptions {
    /// Leave to hold what is sent.
    pub(super) fn leave(&self) -> Memory {
        // A part has to fit, whatever is asked for.
        Memory::new(self.memory.max(self.part_size).max(self.single_put))
    }
}
