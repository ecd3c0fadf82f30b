//! What is below by now and need not be above any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Found, Upper, entry};
use crate::overlay::attrs::{Attrs, NodeId, NodeKind};
use crate::overlay::changes::ContentChange;
use crate::overlay::error::UpperError;
use crate::overlay::names::join_lower;
use crate::overlay::record::{Change, Slot};
use crate::overlay::shared::Inner;

/// Changes in one record: far below its limit.
const BATCH: usize = 64;

impl Upper {
    /// Lets go of everything that a commit put below and that is still as it was then: files, names that hide nothing any
    /// more, directories in which nothing is left. To be called before anybody has anything open. `is_shown` tells whether
    /// the lower tree shows a thing of this kind with these attributes, times aside. Returns how many names were let go.
    ///
    /// Each step leaves a tree that looks the same, so a process that is killed in the middle of it has lost nothing.
    ///
    /// # Errors
    /// The disk.
    pub fn settle(&self, is_shown: impl Fn(NodeKind, &Attrs) -> bool) -> Result<u64, UpperError> {
        if !self.has_ledger() {
            return Ok(0);
        }
        let elsewhere = self.shared.read().known_elsewhere();
        let mut names = 0;
        for (dir, path) in self.dirs() {
            names += self.settle_dir(dir, &path, (&is_shown, &elsewhere))?;
        }
        Ok(names)
    }

    /// All directories that have a path in the lower tree's alphabet, those inside others first.
    fn dirs(&self) -> Vec<(NodeId, Box<str>)> {
        let inner = self.shared.read();
        let mut all = vec![(NodeId::ROOT, Box::<str>::from(""))];
        let mut at = 0;
        while let Some((id, path)) = all.get(at).cloned() {
            at += 1;
            let entries = inner.state.node(id).and_then(|node| node.dir());
            for (name, slot) in entries.into_iter().flat_map(|dir| &dir.entries) {
                if let Slot::Node(child) = slot
                    && inner.state.node(*child).is_some_and(|node| node.dir().is_some())
                    && let Some(path) = join_lower(&path, name)
                {
                    all.push((*child, path.into()));
                }
            }
        }
        all.reverse();
        all
    }

    fn settle_dir(
        &self,
        id: NodeId,
        path: &str,
        (is_shown, elsewhere): (&impl Fn(NodeKind, &Attrs) -> bool, &BTreeSet<Box<str>>),
    ) -> Result<u64, UpperError> {
        let (over, slots, is_settled) = {
            let inner = self.shared.read();
            let dir = inner.dir(id)?;
            if dir.settled.as_deref() == Some(path) && !inner.hides(path, elsewhere) {
                let over = (dir.origin.as_deref() != Some(path)).then(|| Change::Over {
                    id,
                    origin: path.into(),
                });
                (over, dir.entries.clone(), true)
            } else if dir.origin.as_deref() == Some(path) {
                (None, dir.entries.clone(), id == NodeId::ROOT)
            } else {
                return Ok(0);
            }
        };
        // First: what is let go is seen through it.
        if let Some(over) = over {
            self.shared
                .change(|inner| inner.commit(id, std::slice::from_ref(&over)))?;
        }
        let mut free = Vec::new();
        for (name, slot) in slots {
            let Some(place) = join_lower(path, &name) else {
                continue;
            };
            let is_free = match slot {
                // The last trace of a directory that may be empty by now stays.
                Slot::Whiteout => is_settled && !self.shared.read().hides(&place, elsewhere),
                Slot::Node(child) => self.is_below(child, &place, (is_shown, elsewhere))?,
            };
            if is_free {
                free.push(entry(id, &name, None));
            }
        }
        for batch in free.chunks(BATCH) {
            self.shared.change(|inner| inner.commit(id, batch))?;
        }
        Ok(free.len() as u64)
    }

    /// Whether the lower tree shows at `path` what a node is.
    fn is_below(
        &self,
        id: NodeId,
        path: &str,
        (is_shown, elsewhere): (&impl Fn(NodeKind, &Attrs) -> bool, &BTreeSet<Box<str>>),
    ) -> Result<bool, UpperError> {
        let (kind, is_there, own_attrs) = {
            let inner = self.shared.read();
            let node = inner.node(id)?;
            let is_held = node.holds.load(std::sync::atomic::Ordering::Acquire) > 0;
            let is_there = !is_held
                && match (node.dir(), node.file()) {
                    (Some(dir), _) => {
                        dir.entries.is_empty()
                            && dir.origin.as_deref() == Some(path)
                            // One that was there and nothing was done in it, or one that has something in it.
                            && (dir.settled.as_deref() == Some(path) || !node.changed && dir.settled.is_none())
                    }
                    (None, Some(file)) => {
                        file.known().any(|(known, _)| known == path) && !inner.hides(path, elsewhere)
                    }
                    (None, None) => false,
                };
            let is_own = node.changed || node.file().is_some_and(|file| file.put.is_some());
            (node.kind(), is_there, is_own)
        };
        if !is_there {
            return Ok(false);
        }
        if kind == NodeKind::File && self.content_change(id)? != ContentChange::Same {
            return Ok(false);
        }
        let is_plain = !own_attrs || is_shown(kind, &self.attrs(id)?.attrs);
        Ok(is_plain && self.xattrs(id)?.is_empty())
    }
}

impl Inner {
    /// Where files are known to be below that are somewhere else above. Of a directory that was made here and moved since, nothing
    /// else says that it hides what was put into it.
    fn known_elsewhere(&self) -> BTreeSet<Box<str>> {
        let files = self
            .state
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((*id, node.file()?)));
        let known = files.flat_map(|(id, file)| file.known().map(move |(path, _)| (id, path)));
        known
            .filter(|(id, path)| self.state.find(path) != Found::Node(*id))
            .map(|(_, path)| path.into())
            .collect()
    }

    /// Whether a lower file is known to be hidden at `path` or below it, or one that was sent there may arrive.
    fn hides(&self, path: &str, elsewhere: &BTreeSet<Box<str>>) -> bool {
        is_below(|from| next_key(&self.state.gone, from), path)
            || is_below(|from| next_key(&self.state.sent, from), path)
            || is_below(
                |from| {
                    elsewhere
                        .range::<str, _>((Bound::Included(from), Bound::Unbounded))
                        .next()
                        .map(|path| &**path)
                },
                path,
            )
    }
}

/// The first key of a list that is not before `from`.
fn next_key<'a, V>(list: &'a BTreeMap<Box<str>, V>, from: &str) -> Option<&'a str> {
    list.range::<str, _>((Bound::Included(from), Bound::Unbounded))
        .next()
        .map(|(path, _)| &**path)
}

/// Whether a list has `path`, or something below it; `next` finds its first path that is not before another.
fn is_below<'a>(next: impl Fn(&str) -> Option<&'a str>, path: &str) -> bool {
    if path.is_empty() {
        return next("").is_some();
    }
    let below = format!("{path}/");
    next(path) == Some(path) || next(&below).is_some_and(|first| first.starts_with(&below))
}
