//! Which names the new manifest has, and where what is behind each comes from. Nothing is hashed yet.
//!
//! The new tree is the base, seen through what was changed: an entry of the base stays if no change is at its path or above
//! it ([`Plan::masks`]). A directory that was moved brings along what the base has below the place where it was
//! ([`Graft`]), seen through the changes in the same way. What is changed itself stands in [`Plan::files`],
//! [`Plan::links`] and [`Plan::dirs`].

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use forebay_manifest::{FileEntry, FileKind, Manifest, ManifestPath};

use crate::commit::error::{CommitError, shown};
use crate::overlay::{Hold, NodeId, NodeKind, SpecialKind, Upper, UpperError, What, Whence};

/// The owner may run it: what the draft's authors look at.
const OWNER_RUNS: u32 = 0o100;

/// What the new manifest is made of.
#[derive(Debug)]
pub(super) struct Plan {
    /// Paths of which the base says nothing any more, nor of what is below them.
    masks: HashSet<Box<[u8]>>,
    /// The first is the base, in its own place.
    grafts: Vec<Graft>,
    pub(super) files: Vec<Arc<OwnFile>>,
    pub(super) links: Vec<OwnLink>,
    /// Directories that were made here or moved.
    pub(super) dirs: Vec<Box<[u8]>>,
    /// What no manifest can hold.
    pub(super) special: Vec<(Box<[u8]>, SpecialKind)>,
}

/// What the base has below `from` is below `to`.
#[derive(Debug)]
struct Graft {
    from: Box<[u8]>,
    to: Box<[u8]>,
}

/// A file that is changed, or has another name.
#[derive(Debug)]
pub(super) struct OwnFile {
    pub(super) path: Box<[u8]>,
    pub(super) id: NodeId,
    /// The number of the base's file that it comes from.
    pub(super) origin: Option<usize>,
    pub(super) runnable: bool,
    /// It stays until it is hashed, though its last name may go meanwhile.
    pub(super) _hold: Hold,
}

/// A symbolic link that was made here.
#[derive(Debug)]
pub(super) struct OwnLink {
    pub(super) path: Box<[u8]>,
    /// What it says.
    pub(super) target: Box<[u8]>,
}

/// A file of the base, at its place in the new tree.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    pub(super) path: Cow<'a, [u8]>,
    pub(super) file: FileEntry<'a>,
}

impl Plan {
    /// From all changes. Waits for the local disk.
    ///
    /// # Errors
    /// The disk; changes that were made to another base.
    pub(super) fn gather(
        upper: &Upper,
        base: &Manifest,
        lower_mode: impl Fn(bool) -> u32,
    ) -> Result<Self, CommitError> {
        let mut plan = Self {
            masks: HashSet::new(),
            grafts: vec![Graft {
                from: [].into(),
                to: [].into(),
            }],
            files: Vec::new(),
            links: Vec::new(),
            dirs: Vec::new(),
            special: Vec::new(),
        };
        for change in upper.changes() {
            let change = change.map_err(CommitError::overlay(b""))?;
            let path = change.path;
            let What::Node {
                id,
                kind,
                from,
                attrs,
                ..
            } = change.what
            else {
                plan.masks.insert(path);
                continue;
            };
            if kind == NodeKind::Dir && from == Whence::Place {
                // Its attributes, of which a manifest has none.
                continue;
            }
            plan.masks.insert(path.clone());
            let added = match kind {
                NodeKind::Dir => {
                    plan.add_dir(path.clone(), from);
                    Ok(())
                }
                NodeKind::File => {
                    let origin = match from {
                        Whence::Here => None,
                        Whence::Moved { path: origin } => Some(origin),
                        Whence::Place => match upper.content(id) {
                            Ok((origin, _)) => origin.map(|origin| origin.path),
                            // Removed since: see below.
                            Err(UpperError::Stale { .. }) => continue,
                            Err(source) => return Err(CommitError::overlay(&path)(source)),
                        },
                    };
                    let origin = origin.map(|origin| find(base, &path, &origin)).transpose()?;
                    let was = origin.is_some_and(|number| is_runnable(base, number));
                    let runnable = match (origin, attrs) {
                        (Some(_), false) => Ok(was),
                        _ => upper
                            .attrs(id)
                            .map(|told| told.attrs.mode & OWNER_RUNS)
                            .map(|runs| {
                                if origin.is_some() && runs == lower_mode(was) & OWNER_RUNS {
                                    was
                                } else {
                                    runs != 0
                                }
                            }),
                    };
                    runnable.and_then(|runnable| {
                        plan.files.push(Arc::new(OwnFile {
                            _hold: upper.hold(id)?,
                            path: path.clone(),
                            id,
                            origin,
                            runnable,
                        }));
                        Ok(())
                    })
                }
                NodeKind::Symlink => upper.target(id).map(|target| {
                    plan.links.push(OwnLink {
                        path: path.clone(),
                        target,
                    });
                }),
                NodeKind::Special(kind) => {
                    plan.special.push((path.clone(), kind));
                    Ok(())
                }
            };
            match added {
                // Removed since: it is not there, and neither is what it hid.
                Ok(()) | Err(UpperError::Stale { .. }) => {}
                Err(source) => return Err(CommitError::overlay(&path)(source)),
            }
        }
        Ok(plan)
    }

    fn add_dir(&mut self, path: Box<[u8]>, from: Whence) {
        if let Whence::Moved { path: origin } = from {
            self.grafts.push(Graft {
                from: origin.as_bytes().into(),
                to: path.clone(),
            });
        }
        self.dirs.push(path);
    }

    /// The files and links of the base that are in the new tree, at their new places. Targets are those of the base.
    pub(super) fn kept<'a>(&'a self, base: &'a Manifest) -> impl Iterator<Item = Kept<'a>> {
        self.grafts.iter().flat_map(move |graft| {
            let numbers = base.files_below(ManifestPath::new(&graft.from));
            numbers.filter_map(move |number| {
                let file = base.file(number)?;
                let path = self.seen(graft, file.path)?;
                Some(Kept { path, file })
            })
        })
    }

    /// The directories of the new tree, in no order; `all` are those of the base.
    pub(super) fn all_dirs<'a>(&'a self, all: &'a [ManifestPath<'a>]) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let kept = self.grafts.iter().flat_map(move |graft| {
            all.iter()
                .filter(move |dir| graft.from.is_empty() || dir.is_below(ManifestPath::new(&graft.from)))
                .filter_map(move |dir| self.seen(graft, *dir))
        });
        kept.chain(self.dirs.iter().map(|dir| Cow::Borrowed(&**dir)))
    }

    /// Where a path of the base is in the new tree; `None`: it is hidden.
    fn seen<'a>(&self, graft: &Graft, path: ManifestPath<'a>) -> Option<Cow<'a, [u8]>> {
        let path = path.as_bytes();
        let path = if graft.from == graft.to {
            Cow::Borrowed(path)
        } else {
            let below = &path[graft.from.len()..];
            Cow::Owned([&*graft.to, below].concat())
        };
        let is_hidden = !self.masks.is_empty() && self.is_masked(&path, graft.to.len());
        (!is_hidden).then_some(path)
    }

    /// Whether a change is at `path` or above it, below its first `above` bytes.
    fn is_masked(&self, path: &[u8], above: usize) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes
            .map(|(at, _)| at)
            .chain([path.len()])
            .filter(|end| *end > above)
            .any(|end| self.masks.contains(&path[..end]))
    }
}

fn find(base: &Manifest, path: &[u8], origin: &str) -> Result<usize, CommitError> {
    base.find(ManifestPath::new(origin.as_bytes()))
        .filter(|number| {
            let file = base.file(*number);
            file.is_some_and(|file| matches!(file.kind, FileKind::Regular { .. }))
        })
        .ok_or_else(|| CommitError::OtherBase {
            path: shown(path),
            origin: shown(origin.as_bytes()),
        })
}

fn is_runnable(base: &Manifest, number: usize) -> bool {
    let file = base.file(number);
    file.is_some_and(|file| matches!(file.kind, FileKind::Regular { runnable: true, .. }))
}

#[cfg(test)]
mod tests;
