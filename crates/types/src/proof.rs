//! What the bytes of an object must come to.

use std::fmt;

/// What the bytes of an object must come to: a hash of all of them, or of each part. Who has the whole object can tell by
/// it whether these are the right ones.
pub trait Proof: fmt::Debug + Send + Sync {
    /// Begins a check of all bytes of an object.
    fn begin(&self) -> Box<dyn Check>;
}

/// A check under way.
pub trait Check: Send {
    /// Takes the next bytes, from the first on and in order, in pieces of any length.
    fn take(&mut self, bytes: &[u8]);

    /// Whether all that was taken is what the object must be.
    fn is_right(self: Box<Self>) -> bool;
}
