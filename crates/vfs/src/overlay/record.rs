//! What a record of the journal says: changes that hold together, or not at all.

mod codec;

use crate::overlay::attrs::{Attrs, Data, DataStamp, NodeId, Origin, SpecialKind};

pub(crate) use codec::{decode, encode};

/// Longest payload of a record: more than the largest transaction (an extended attribute of 64 KiB and its name) takes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Node(NodeId),
    Whiteout,
}

/// What a new node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NewBody {
    Dir {
        origin: Option<Box<str>>,
    },
    File {
        origin: Option<Origin>,
        data: Data,
        /// Permissions of the owner that the file on disk has and its mode has not, so that we can open it.
        hidden: u32,
    },
    Symlink {
        target: Box<[u8]>,
    },
    Special {
        kind: SpecialKind,
        rdev: u64,
    },
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A node that has no name yet.
    Node {
        id: NodeId,
        attrs: Attrs,
        changed: bool,
        body: NewBody,
    },
    /// What a name stands for from now on; `None`: what the lower tree says.
    Entry {
        dir: NodeId,
        name: Box<[u8]>,
        slot: Option<Slot>,
    },
    /// Attributes were set.
    Attrs { id: NodeId, attrs: Attrs },
    /// Names in a directory changed: its mtime and ctime.
    Touch { id: NodeId, at: i64 },
    /// Its ctime.
    Ctime { id: NodeId, at: i64 },
    /// Attributes of a file with data were set for the first time, or what is hidden of its mode changed.
    Changed { id: NodeId, hidden: u32 },
    /// An extended attribute; `None`: taken away.
    Xattr {
        id: NodeId,
        name: Box<[u8]>,
        value: Option<Box<[u8]>>,
    },
    /// How much of a file is above.
    Data { id: NodeId, data: Data },
    /// Numbers below this were given away.
    Next { id: NodeId },
    /// Files that the records before `covers` need were durable when this was written, and the journal up to `durable`.
    Marker { covers: u64, durable: u64 },
    /// Which version of a lower file is hidden; `None`: nothing is known of it any more.
    Gone {
        path: Box<str>,
        version: Option<Box<str>>,
    },
    /// The content of a file is below now, as `origin`. Of one that has a data file: what that was like then.
    Put {
        id: NodeId,
        origin: Origin,
        stamp: Option<DataStamp>,
    },
    /// The same content is below in another place, too.
    Also {
        id: NodeId,
        path: Box<str>,
        version: Box<str>,
    },
    /// All that is in a directory is below in this place, too; `None`: not any more.
    Settled { id: NodeId, path: Option<Box<str>> },
    /// A directory lies over this lower one from now on.
    Over { id: NodeId, origin: Box<str> },
    /// A directory shows nothing of what is below any more.
    Alone { id: NodeId },
    /// This may have been put at a lower path, and what became of it is not known yet; `None`: it is.
    Sent { path: Box<str>, what: Option<Box<str>> },
}

#[cfg(test)]
mod tests;
