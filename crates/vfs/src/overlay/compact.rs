//! The journal written anew: what it leads to, without how it came about.

use forebay_disk::sys::{FILE_MODE, OPEN, write_at};
use rustix::fd::OwnedFd;
use rustix::fs;
use rustix::io::Errno;

use crate::overlay::attrs::{Data, NodeId};
use crate::overlay::journal::{HEAD, Journal, frame, head};
use crate::overlay::layout::Layout;
use crate::overlay::record::{Change, NewBody};
use crate::overlay::state::{Body, Node, State};
use crate::overlay::sys::{remove, sync_all};
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
    let mut bytes = head(state.has_ledger).to_vec();
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
    let nodes: u64 = state.nodes.values().map(|node| per_node(node) as u64).sum();
    let gone = state
        .gone
        .iter()
        .map(|(path, version)| path.len() + version.len() + 8);
    let sent = state
        .sent
        .iter()
        .flat_map(|(path, sent)| sent.iter().map(|what| path.len() + what.len() + 8));
    nodes + gone.chain(sent).sum::<usize>() as u64
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
        std::iter::once(new).chain(xattrs).chain(known_below(id, node))
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
    let gone = state.gone.iter().map(|(path, version)| Change::Gone {
        path: path.clone(),
        version: Some(version.clone()),
    });
    let sent = state.sent.iter().flat_map(|(path, sent)| {
        sent.iter().map(|what| Change::Sent {
            path: path.clone(),
            what: Some(what.clone()),
        })
    });
    std::iter::once(next)
        .chain(nodes)
        .chain(entries)
        .chain(gone)
        .chain(sent)
}

/// What is below of a node that was made or changed here.
fn known_below(id: NodeId, node: &Node) -> Vec<Change> {
    match &node.body {
        Body::Dir(dir) => {
            let settled = dir.settled.iter().map(|path| Change::Settled {
                id,
                path: Some(path.clone()),
            });
            settled.collect()
        }
        Body::File(file) => {
            let (Some(origin), Some(put)) = (&file.origin, &file.put) else {
                return Vec::new();
            };
            let is_mapped = matches!(file.data, Data::Mapped { .. });
            if is_mapped || put.stamp.is_some() != (file.data == Data::Whole) {
                // Changed since: of the other places only the versions are of use.
                let gone = put.also.iter().map(|(path, version)| Change::Gone {
                    path: path.clone(),
                    version: Some(version.clone()),
                });
                return gone.collect();
            }
            let own = Change::Put {
                id,
                origin: origin.clone(),
                stamp: put.stamp,
            };
            let also = put.also.iter().map(|(path, version)| Change::Also {
                id,
                path: path.clone(),
                version: version.clone(),
            });
            std::iter::once(own).chain(also).collect()
        }
        Body::Symlink { .. } | Body::Special { .. } => Vec::new(),
    }
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
