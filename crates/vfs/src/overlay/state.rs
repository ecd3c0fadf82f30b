//! Everything that was changed, but the content of files: in memory, and what a record of the journal does to it.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::overlay::attrs::{Attrs, Data, DataStamp, NodeId, NodeKind, Origin, SpecialKind};
use crate::overlay::names::why_not;
use crate::overlay::record::{Change, NewBody, Slot};

/// Most names of one file: as many as ext4 allows, which programs have met.
pub(crate) const MAX_LINKS: u32 = 65_000;

/// What is remembered of one path of contents that may have been put there: each is of a commit that was interrupted just then.
const MAX_SENT: usize = 8;

/// A thing that was changed.
#[derive(Debug)]
pub(crate) struct Node {
    /// Of files with data only what is on the file itself counts.
    pub(crate) attrs: Attrs,
    /// Whether attributes were set, so that they are no longer those of the lower tree.
    pub(crate) changed: bool,
    /// Names.
    pub(crate) links: u32,
    /// Who needs it though it may have no name. Counted up with the state locked for reading, so that nothing is removed
    /// meanwhile.
    pub(crate) holds: AtomicU32,
    /// Not of files.
    pub(crate) xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    pub(crate) body: Body,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Body {
    Dir(Dir),
    File(File),
    Symlink { target: Box<[u8]> },
    Special { kind: SpecialKind, rdev: u64 },
}

/// A directory.
#[derive(Debug)]
pub(crate) struct Dir {
    /// The lower directory whose names are seen where `entries` says nothing.
    pub(crate) origin: Option<Box<str>>,
    pub(crate) entries: BTreeMap<Box<[u8]>, Slot>,
    /// The directory that has its name; its own number for the root.
    pub(crate) parent: NodeId,
    /// Where all that is in it is below, too: it may lie over that when nobody has it open.
    pub(crate) settled: Option<Box<str>>,
}

/// A file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) origin: Option<Origin>,
    pub(crate) data: Data,
    pub(crate) hidden: u32,
    /// Its content was put below.
    pub(crate) put: Option<Put>,
}

/// The content of a file is below, as its origin says.
#[derive(Debug)]
pub(crate) struct Put {
    /// What the data file was like then; it may have been changed since. `None`: it has none.
    pub(crate) stamp: Option<DataStamp>,
    /// Other places where the same content is, and in which version.
    pub(crate) also: BTreeMap<Box<str>, Box<str>>,
}

impl File {
    /// Lower paths and versions that are known to be this file's.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&str, &str)> {
        let origin = self.origin.iter().map(|origin| (&*origin.path, &*origin.version));
        let also = self.put.iter().flat_map(|put| &put.also);
        origin.chain(also.map(|(path, version)| (&**path, &**version)))
    }
}

impl Node {
    pub(crate) fn kind(&self) -> NodeKind {
        match &self.body {
            Body::Dir(_) => NodeKind::Dir,
            Body::File(_) => NodeKind::File,
            Body::Symlink { .. } => NodeKind::Symlink,
            Body::Special { kind, .. } => NodeKind::Special(*kind),
        }
    }

    pub(crate) fn dir(&self) -> Option<&Dir> {
        match &self.body {
            Body::Dir(dir) => Some(dir),
            _ => None,
        }
    }

    pub(crate) fn file(&self) -> Option<&File> {
        match &self.body {
            Body::File(file) => Some(file),
            _ => None,
        }
    }

    /// Whether it has data on disk.
    pub(crate) fn has_data(&self) -> bool {
        self.file().is_some_and(|file| file.data != Data::Lower)
    }

    fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }
}

/// All nodes.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) nodes: HashMap<NodeId, Node>,
    /// The first number that was never given away, as far as the journal knows.
    pub(crate) next: u64,
    pub(crate) whiteouts: u64,
    /// Whether `gone` is kept: what is below can be changed by others, and by us.
    pub(crate) has_ledger: bool,
    /// Which versions of lower files were hidden when their names went. May say something of a file that is to be seen, too.
    pub(crate) gone: BTreeMap<Box<str>, Box<str>>,
    /// What may have been put at lower paths without anybody having heard that it was, the latest last.
    pub(crate) sent: BTreeMap<Box<str>, Vec<Box<str>>>,
}

/// A node is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) id: NodeId,
    pub(crate) has_data: bool,
}

impl State {
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Does all of `changes`; returns which nodes are gone with it. An error says what is wrong with them: some may have been
    /// done then. What the checks of the operations let through has none.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<Vec<Lost>, &'static str> {
        let mut unlinked = Vec::new();
        for change in changes {
            self.apply_one(change, &mut unlinked)?;
        }
        let mut gone = Vec::new();
        for id in unlinked {
            gone.extend(self.remove_if_gone(id)?);
        }
        Ok(gone)
    }

    /// Forgets a node that has no name and nobody who holds it.
    pub(crate) fn remove_if_gone(&mut self, id: NodeId) -> Result<Option<Lost>, &'static str> {
        let Place::Occupied(node) = self.nodes.entry(id) else {
            return Ok(None);
        };
        if node.get().links > 0 || node.get().is_held() || id == NodeId::ROOT {
            return Ok(None);
        }
        if let Some(dir) = node.get().dir() {
            if dir.entries.values().any(|slot| matches!(slot, Slot::Node(_))) {
                return Err("a directory is removed that has names");
            }
            self.whiteouts -= dir.entries.len() as u64;
        }
        let node = node.remove();
        Ok(Some(Lost {
            id,
            has_data: node.has_data(),
        }))
    }

    fn apply_one(&mut self, change: &Change, unlinked: &mut Vec<NodeId>) -> Result<(), &'static str> {
        match change {
            Change::Node {
                id,
                attrs,
                changed,
                body,
            } => self.add(*id, attrs, *changed, body),
            Change::Entry { dir, name, slot } => self.set_entry(*dir, name, *slot, unlinked),
            Change::Attrs { id, attrs } => {
                let node = self.get(*id)?;
                node.attrs = *attrs;
                node.changed = true;
                Ok(())
            }
            Change::Touch { id, at } => {
                let node = self.get(*id)?;
                node.attrs.mtime = *at;
                node.attrs.ctime = *at;
                Ok(())
            }
            Change::Ctime { id, at } => {
                self.get(*id)?.attrs.ctime = *at;
                Ok(())
            }
            Change::Changed { id, hidden } => {
                let node = self.get(*id)?;
                let Body::File(file) = &mut node.body else {
                    return Err("a mode is hidden of what is no file");
                };
                file.hidden = *hidden;
                node.changed = true;
                Ok(())
            }
            Change::Xattr { id, name, value } => {
                let node = self.get(*id)?;
                match value {
                    Some(value) => node.xattrs.insert(name.clone(), value.clone()),
                    None => node.xattrs.remove(name),
                };
                node.changed = true;
                Ok(())
            }
            Change::Data { id, data } => {
                let file = self.file(*id)?;
                if matches!(data, Data::Mapped { .. }) && file.origin.is_none() {
                    return Err("a file has a map but nothing below");
                }
                file.data = *data;
                Ok(())
            }
            Change::Next { id } => {
                self.next = self.next.max(id.0);
                Ok(())
            }
            Change::Marker { .. } => Ok(()),
            Change::Gone { path, version } => {
                match version {
                    Some(version) => self.gone.insert(path.clone(), version.clone()),
                    None => self.gone.remove(path),
                };
                Ok(())
            }
            Change::Put { id, origin, stamp } => {
                let file = self.file(*id)?;
                if stamp.is_some() != (file.data == Data::Whole) || matches!(file.data, Data::Mapped { .. }) {
                    return Err("a file was put that is not here, or only partly");
                }
                file.origin = Some(origin.clone());
                file.put = Some(Put {
                    stamp: *stamp,
                    also: BTreeMap::new(),
                });
                Ok(())
            }
            Change::Also { id, path, version } => {
                let Some(put) = &mut self.file(*id)?.put else {
                    return Err("a file was put elsewhere but not here");
                };
                put.also.insert(path.clone(), version.clone());
                Ok(())
            }
            Change::Settled { id, path } => {
                self.dir(*id)?.settled.clone_from(path);
                Ok(())
            }
            Change::Over { id, origin } => {
                self.dir(*id)?.origin = Some(origin.clone());
                Ok(())
            }
            Change::Alone { id } => {
                self.dir(*id)?.origin = None;
                Ok(())
            }
            Change::Sent { path, what } => {
                let Some(what) = what else {
                    self.sent.remove(path);
                    return Ok(());
                };
                let sent = self.sent.entry(path.clone()).or_default();
                sent.retain(|known| known != what);
                if sent.len() >= MAX_SENT {
                    sent.remove(0);
                }
                sent.push(what.clone());
                Ok(())
            }
        }
    }

    fn get(&mut self, id: NodeId) -> Result<&mut Node, &'static str> {
        self.nodes
            .get_mut(&id)
            .ok_or("a node is changed that is not there")
    }

    fn file(&mut self, id: NodeId) -> Result<&mut File, &'static str> {
        match &mut self.get(id)?.body {
            Body::File(file) => Ok(file),
            _ => Err("what is no file has content"),
        }
    }

    fn dir(&mut self, id: NodeId) -> Result<&mut Dir, &'static str> {
        match &mut self.get(id)?.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err("what is no directory has names"),
        }
    }

    fn add(&mut self, id: NodeId, attrs: &Attrs, changed: bool, body: &NewBody) -> Result<(), &'static str> {
        let Place::Vacant(place) = self.nodes.entry(id) else {
            return Err("a node is added twice");
        };
        let body = match body {
            NewBody::Dir { origin } => Body::Dir(Dir {
                origin: origin.clone(),
                entries: BTreeMap::new(),
                parent: id,
                settled: None,
            }),
            NewBody::File { origin, data, hidden } => {
                if origin.is_none() && *data != Data::Whole {
                    return Err("a file has content from below but nothing is there");
                }
                Body::File(File {
                    origin: origin.clone(),
                    data: *data,
                    hidden: *hidden,
                    put: None,
                })
            }
            NewBody::Symlink { target } => Body::Symlink {
                target: target.clone(),
            },
            NewBody::Special { kind, rdev } => Body::Special {
                kind: *kind,
                rdev: *rdev,
            },
        };
        place.insert(Node {
            attrs: *attrs,
            changed,
            links: 0,
            holds: AtomicU32::new(0),
            xattrs: BTreeMap::new(),
            body,
        });
        self.next = self.next.max(id.0 + 1);
        Ok(())
    }

    fn set_entry(
        &mut self,
        dir: NodeId,
        name: &[u8],
        slot: Option<Slot>,
        unlinked: &mut Vec<NodeId>,
    ) -> Result<(), &'static str> {
        if why_not(name).is_some() {
            return Err("a name is none that a file can have");
        }
        if let Some(Slot::Node(id)) = slot {
            let node = self.get(id)?;
            node.links += 1;
            if let Body::Dir(child) = &mut node.body {
                child.parent = dir;
            }
        }
        let Body::Dir(parent) = &mut self.get(dir)?.body else {
            return Err("a name is in what is no directory");
        };
        let before = match slot {
            Some(slot) => parent.entries.insert(name.into(), slot),
            None => parent.entries.remove(name),
        };
        self.whiteouts += u64::from(slot == Some(Slot::Whiteout));
        self.whiteouts -= u64::from(before == Some(Slot::Whiteout));
        if let Some(Slot::Node(id)) = before {
            let node = self.get(id)?;
            node.links -= 1;
            if node.links == 0 {
                unlinked.push(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
