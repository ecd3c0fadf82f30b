//! What goes in and what comes out: a read, and what should follow from it.

use forebay_types::ByteRange;
use serde::Serialize;

/// A read of the handle, told before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The bytes the reader wants; may reach past the end of the object.
    pub range: ByteRange,
    /// Some of them are not here yet, asked for or not.
    pub starved: bool,
    /// Bytes of memory that read-ahead may still take now. No plan asks for more.
    pub spare: u64,
}

/// What the reads so far look like, for logs and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// Too little is known of this place of the object.
    #[default]
    New,
    /// One read follows the other, upwards.
    Sequential,
    /// Each read ends where the one before began.
    Backward,
    /// Pieces of the same length, their starts the same distance apart.
    Strided {
        /// Bytes from one start to the next; negative towards the beginning of the object.
        step: i64,
    },
    /// Reads that follow nothing.
    Random,
}

/// What should be done beside serving the read. `cancel` and `done` come before `ahead`: what is asked for again
/// counts as asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be fetched, the most urgent first. Inside the object; holds no byte that was asked for and is still wanted.
    pub ahead: Vec<ByteRange>,
    /// Asked for earlier and no longer wanted, for the reader went elsewhere or the window shrank. Holds nothing else.
    pub cancel: Vec<ByteRange>,
    /// Passed by the reader, who will hardly come back: memory may drop them, read or not. Whole blocks; a run keeps
    /// 1 MiB behind it.
    pub done: Vec<ByteRange>,
    /// Bytes of the window that reach past the end of the object: so much may be read of what comes next, as far as there
    /// is memory. It is what may be ahead by now, not an addition to what an earlier plan said.
    pub beyond: u64,
    /// What this read is taken for.
    pub pattern: Pattern,
}
