//! What is to be read.

use std::sync::Arc;

use forebay_source::{Source, version_of};
use forebay_types::{Intent, ObjectId, Origin, Proof, Version};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::config::RangeEngineConfig;

/// One object, where it is, and how to read it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The object in it.
    pub path: Path,
    /// Who serves the store.
    pub origin: Origin,
    /// Its name in messages.
    pub name: Arc<str>,
    /// Whether what is read is worth keeping on a local disk.
    pub cached: bool,
    /// How its source is read.
    pub config: Arc<RangeEngineConfig>,
    /// What a listing or an earlier read told: saves the first request from having to find out.
    pub known: Option<Known>,
    /// A version that the reader has already: [`crate::RangeEngine::open_if_changed`] brings bytes of another one only.
    pub unless: Option<Known>,
    /// Why it is read.
    pub intent: Intent,
    /// What its bytes must come to, if that is known: whoever has all of them can check it.
    pub proof: Option<Arc<dyn Proof>>,
}

/// An object's size and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Bytes.
    pub size: u64,
    /// Which version; every answer must be of it.
    pub version: Version,
}

impl Known {
    /// What `meta` tells.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            size: meta.size,
            version: version_of(meta),
        }
    }
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes", self.version, self.size)
    }
}

impl Target {
    /// The object that the source's URL names.
    pub fn new(source: &Source, config: Arc<RangeEngineConfig>) -> Self {
        Self::at(source, source.path.clone(), config)
    }

    /// Another object of the same source.
    pub fn at(source: &Source, path: Path, config: Arc<RangeEngineConfig>) -> Self {
        let name = format!("{}/{}", source.origin, forebay_types::printable(path.as_ref()));
        Self {
            store: source.store.clone(),
            path,
            origin: source.origin.clone(),
            name: name.into(),
            cached: source.profile.cached,
            config,
            known: None,
            unless: None,
            intent: Intent::Demand,
            proof: None,
        }
    }

    /// With what a listing told of it.
    #[must_use]
    pub fn known(mut self, meta: &ObjectMeta) -> Self {
        self.known = Some(Known::of(meta));
        self
    }

    /// Of which this version is here already.
    #[must_use]
    pub fn unless(mut self, known: Known) -> Self {
        self.unless = Some(known);
        self
    }

    /// The identity that its object has in this version.
    pub fn object_id(&self, known: &Known) -> ObjectId {
        ObjectId {
            origin: self.origin.clone(),
            key: self.path.as_ref().into(),
            version: known.version.clone(),
            size: known.size,
        }
    }

    /// Read for another reason than a waiting reader.
    #[must_use]
    pub fn intent(mut self, intent: Intent) -> Self {
        self.intent = intent;
        self
    }
}
