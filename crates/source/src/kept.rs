//! What a store keeps for the next request of the same read.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A place in the extensions of a `GetOptions`, where the store that answers may leave what it will need again: the
/// range engine brings the same place with every request of one read. What is kept goes when the read does. Clones are
/// the same place.
#[derive(Clone, Default)]
pub struct Kept {
    place: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

impl Kept {
    /// What was left here, if it is of this type.
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.place.get()?.clone().downcast().ok()
    }

    /// Leaves something; whoever was first is kept.
    pub(crate) fn leave<T: Any + Send + Sync>(&self, what: Arc<T>) {
        // Taken: by the same file, opened twice at a time.
        let _ = self.place.set(what);
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.place.get().is_some())
    }
}
