//! The journal written anew: what it leads to, without how it came about.

use rustix::fd::OwnedFd;
use rustix::fs;
use rustix::io::Errno;

use crate::overlay::attrs::NodeId;
use crate::overlay::journal::{HEAD, Journal, frame};
use crate::overlay::layout::Layout;
use crate::overlay::record::{Change, NewBody};
use crate::overlay::state::{Body, Node, State};
use crate::overlay::sys::{FILE_MODE, OPEN, remove, sync_all, write_at};
use rustix::fs::OFlags;

/// Changes in one record of the new journal: records are kept far below their limit.
const BATCH: usize = 64;

/// Bytes gathered for one write.
const WRITE: usize = 1 << 20;

/// Puts a new journal in place of the old one, for good, or leaves the old one. All files that it needs are durable.
pub(crate) fn write(layout: &Layout, state: &State) -> Result<Journal, Errno> {
    let root = layout.root();
    let written = (|| {
        let fd = fs::openat(
            root,
            "names.new",
            OPEN | OFlags::CREATE | OFlags::TRUNC,
            FILE_MODE,
        )?;
        let len = put(&fd, state)?;
        sync_all(&fd)?;
        fs::renameat(root, "names.new", root, "names")?;
        Ok((fd, len))
    })();
    match written {
        Ok((fd, len)) => {
            let mut journal = Journal::new(fd, len, len, len);
            // The new file counts whether or not its name is durable: the old one says the same. Until it is, syncing
            // the new one proves nothing.
            journal.doubtful = sync_all(root).is_err();
            Ok(journal)
        }
        Err(e) => {
            // What is left of it may be what fills the disk.
            let _ = remove(root, "names.new");
            Err(e)
        }
    }
}

/// Writes head and records; returns the length.
fn put(fd: &OwnedFd, state: &State) -> Result<u64, Errno> {
    let mut bytes = HEAD.to_vec();
    let mut len = 0;
    let mut batch = Vec::with_capacity(BATCH);
    for change in snapshot(state) {
        let is_large = matches!(change, Change::Xattr { .. });
        batch.push(change);
        if batch.len() == BATCH || is_large {
            bytes.extend(frame(&batch));
            batch.clear();
            if bytes.len() >= WRITE {
                write_at(fd, &bytes, len)?;
                len += bytes.len() as u64;
                bytes.clear();
            }
        }
    }
    if !batch.is_empty() {
        bytes.extend(frame(&batch));
    }
    let covers = len + bytes.len() as u64;
    bytes.extend(frame(&[Change::Marker {
        covers,
        durable: HEAD.len() as u64,
    }]));
    write_at(fd, &bytes, len)?;
    Ok(len + bytes.len() as u64)
}

/// How long a journal without history would be, about.
pub(crate) fn estimate(state: &State) -> u64 {
    let per_node = |node: &Node| {
        let own = 32 + node.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        own + match &node.body {
            Body::Dir(dir) => dir.entries.keys().map(|name| name.len() + 6).sum(),
            Body::File(file) => file
                .origin
                .as_ref()
                .map_or(0, |o| o.path.len() + o.version.len() + 16),
            Body::Symlink { target } => target.len(),
            Body::Special { .. } => 0,
        }
    };
    state.nodes.values().map(|node| per_node(node) as u64).sum()
}

/// The changes that lead from nothing to `state`. What has no name is left out: nobody could reach it.
pub(crate) fn snapshot(state: &State) -> impl Iterator<Item = Change> + '_ {
    let next = Change::Next {
        id: NodeId(state.next),
    };
    let linked = || state.nodes.iter().filter(|(id, node)| node.is_linked(**id));
    let nodes = linked().flat_map(|(&id, node)| {
        let new = Change::Node {
            id,
            attrs: node.attrs,
            changed: node.changed,
            body: body(node),
        };
        let xattrs = node.xattrs.iter().map(move |(name, value)| Change::Xattr {
            id,
            name: name.clone(),
            value: Some(value.clone()),
        });
        std::iter::once(new).chain(xattrs)
    });
    let entries = linked().flat_map(|(&id, node)| {
        let entries = node.dir().map(|dir| &dir.entries);
        entries
            .into_iter()
            .flatten()
            .map(move |(name, slot)| Change::Entry {
                dir: id,
                name: name.clone(),
                slot: Some(*slot),
            })
    });
    std::iter::once(next).chain(nodes).chain(entries)
}

fn body(node: &Node) -> NewBody {
    match &node.body {
        Body::Dir(dir) => NewBody::Dir {
            origin: dir.origin.clone(),
        },
        Body::File(file) => NewBody::File {
            origin: file.origin.clone(),
            data: file.data,
            hidden: file.hidden,
        },
        Body::Symlink { target } => NewBody::Symlink {
            target: target.clone(),
        },
        Body::Special { kind, rdev } => NewBody::Special {
            kind: *kind,
            rdev: *rdev,
        },
    }
}
