//! Memory that the whole process counts together.

use std::any::Any;
use std::fmt;

/// Who counts the memory of a process. Implemented by the range engine's budget; asked by pools that keep memory for
/// longer than one read.
pub trait MemoryBudget: fmt::Debug + Send + Sync {
    /// Sets `bytes` aside at once, until what it answers with is dropped; `None` if there is no room.
    fn try_set_aside(&self, bytes: u64) -> Option<Box<dyn Any + Send + Sync>>;
}
