//! Why bytes are wanted.

/// Why a request is made. It travels down to the gate, where it decides who goes first when connections are scarce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intent {
    /// A reader waits for exactly these bytes.
    #[default]
    Demand,
    /// Read-ahead expects that a reader will want them.
    Ahead,
    /// A cache is being filled; nobody waits.
    Warm,
}
