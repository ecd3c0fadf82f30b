//! What has to be put, copied and removed, so that the bucket is what the tree is. Nothing is asked of the bucket yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use crate::commit::bucket::order::Step;
use crate::commit::error::CommitError;
use crate::overlay::{
    ContentChange, DIR_VERSION, Data, DataStamp, Found, Hold, KnownVersion, NodeId, NodeKind, Origin,
    Surveyed, Thing, Upper, UpperError,
};

/// Lower paths, and the version of what is there.
pub(super) type Versions = BTreeMap<Box<str>, Box<str>>;

/// What stands for the version of an object that an interrupted commit may have put, where nothing is to be any more.
pub(super) const UNHEARD: &str = "";

/// What a bucket cannot hold. It stays in the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A symbolic link.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
    /// A directory in which there is nothing.
    EmptyDir,
    /// A name that no object can have.
    Name,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) jobs: Vec<Job>,
    /// Objects to be removed, and the versions that were.
    pub(super) deletes: Vec<(Box<str>, Box<str>)>,
    /// Lower directories that are to be seen no more.
    pub(super) dirs: Vec<Box<str>>,
    /// Those in whose place a file is to be.
    pub(super) replaced: Vec<Box<str>>,
    /// What is said to be hidden and is not.
    pub(super) stale: Vec<Box<str>>,
    /// Files that have no object of their own, and whose content must not go with another one's.
    pub(super) keep: Vec<Kept>,
    /// Files whose objects are as they should be, but that are known by places as well where they are not any more.
    pub(super) settled: Vec<Settled>,
    pub(super) left_out: Vec<(Box<[u8]>, LeftOut)>,
    /// Files whose objects are as they should be.
    pub(super) unchanged: u64,
}

/// A file that stays above.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: NodeId,
    pub(super) path: Box<[u8]>,
    /// Where it comes from.
    pub(super) known: Vec<KnownVersion>,
}

/// A file, and the one place that it is to be known by.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) id: NodeId,
    pub(super) origin: Origin,
    /// What its data file is like, if it has one.
    pub(super) stamp: Option<DataStamp>,
    _hold: Hold,
}

/// One object that is to be written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) path: Box<str>,
    pub(super) id: NodeId,
    /// The same content is there; otherwise it is above.
    pub(super) copy: Option<Origin>,
    /// What of its content is not above is there.
    pub(super) reads: Option<Box<str>>,
    /// The version that is there, as far as is known; `None`: nothing is.
    pub(super) expected: Option<Box<str>>,
    /// That one was removed here, so it may be gone by now.
    pub(super) is_removed: bool,
    pub(super) size: u64,
    /// What its data file is like, if that is the content to be copied.
    pub(super) stamp: Option<DataStamp>,
    /// It stays until it is put, though its last name may go meanwhile.
    _hold: Hold,
}

impl Plan {
    /// From all that is known above. Waits for the local disk. `ours`: versions that interrupted commits put; `is_key` tells
    /// whether an object can have a path.
    pub(super) fn gather(
        upper: &Upper,
        ours: &Versions,
        is_key: impl Fn(&str) -> bool,
    ) -> Result<Self, CommitError> {
        let survey = upper.survey();
        let hidden: Versions = survey.hidden.into_iter().collect();
        let key = |name: &Surveyed| {
            let path = str::from_utf8(&name.path).ok().filter(|path| is_key(path));
            path.map(Box::<str>::from)
        };
        // All of it first: an object may be known by a file that is somewhere else by now.
        let mut below = hidden.clone();
        for name in &survey.names {
            if let Thing::File { known, data, .. } = &name.thing
                // What has all of its content and no object has noted what it hid.
                && (*data != Data::Whole || key(name).is_some())
            {
                for (path, version) in known {
                    // What the list says of it is newer: it has been replaced since this file left it.
                    below.entry(path.clone()).or_insert_with(|| version.clone());
                }
            }
        }
        let mut plan = Self::default();
        for name in &survey.names {
            let planned = match &name.thing {
                Thing::Dir { .. } => Ok(()),
                Thing::Other(kind) => {
                    let what = match kind {
                        NodeKind::Symlink => LeftOut::Symlink,
                        _ => LeftOut::Special,
                    };
                    plan.left_out.push((name.path.clone(), what));
                    Ok(())
                }
                Thing::File { data, known, .. } => match key(name) {
                    Some(path) => plan.file(upper, name, &path, (ours, &below)),
                    None => {
                        plan.left_out.push((name.path.clone(), LeftOut::Name));
                        if *data != Data::Whole {
                            plan.keep.push(Kept {
                                id: name.id,
                                path: name.path.clone(),
                                known: known.clone(),
                            });
                        }
                        Ok(())
                    }
                },
            };
            match planned {
                // Removed since: it is not there.
                Ok(()) | Err(UpperError::Stale { .. }) => {}
                Err(source) => return Err(CommitError::overlay(&name.path)(source)),
            }
        }
        below.extend(ours.clone());
        for path in upper.sent_paths() {
            below.entry(path).or_insert(UNHEARD.into());
        }
        plan.removed(upper, &survey.names, below, &hidden);
        Ok(plan)
    }

    fn file(
        &mut self,
        upper: &Upper,
        name: &Surveyed,
        path: &str,
        (ours, below): (&Versions, &Versions),
    ) -> Result<(), UpperError> {
        let Thing::File { origin, data, known } = &name.thing else {
            return Ok(());
        };
        let is_same = upper.content_change(name.id)? == ContentChange::Same;
        let own = known.iter().find(|(known, _)| **known == *path);
        let own = own.map(|(_, version)| version);
        if is_same && let Some(version) = own {
            self.unchanged += 1;
            let is_elsewhere = known
                .iter()
                .any(|(known, _)| upper.find(known) != Found::Node(name.id));
            if let Some(origin) = origin.as_ref().filter(|_| is_elsewhere) {
                let stamp = (*data == Data::Whole).then(|| upper.stamp(name.id)).transpose()?;
                self.settled.push(Settled {
                    id: name.id,
                    origin: Origin {
                        path: path.into(),
                        version: version.clone(),
                        ..origin.clone()
                    },
                    stamp,
                    _hold: upper.hold(name.id)?,
                });
            }
            return Ok(());
        }
        let here = ours.get(path).or(own).or(below.get(path));
        let was_dir = here.is_some_and(|version| **version == *DIR_VERSION);
        if was_dir {
            self.replaced.push(path.into());
        }
        let here = here.filter(|_| !was_dir);
        // What is here in part belongs to the object that the rest is of.
        let copy = origin
            .clone()
            .filter(|_| is_same && !matches!(data, Data::Mapped { .. }));
        let stamp = match (&copy, data) {
            (Some(_), Data::Whole) => Some(upper.stamp(name.id)?),
            _ => None,
        };
        let is_below = copy.is_some() || *data != Data::Whole;
        self.jobs.push(Job {
            path: path.into(),
            id: name.id,
            reads: origin
                .as_ref()
                .filter(|_| is_below)
                .map(|origin| origin.path.clone()),
            copy,
            stamp,
            expected: here.cloned(),
            is_removed: own.is_none() && !ours.contains_key(path),
            size: upper.attrs(name.id)?.size,
            _hold: upper.hold(name.id)?,
        });
        Ok(())
    }

    /// What is not to be seen any more, of all that is known below.
    fn removed(&mut self, upper: &Upper, names: &[Surveyed], known: Versions, hidden: &Versions) {
        let written: HashSet<&str> = self.jobs.iter().map(|job| &*job.path).collect();
        let kinds: HashMap<NodeId, &Thing> = names.iter().map(|name| (name.id, &name.thing)).collect();
        let (mut deletes, mut dirs, mut stale) = (Vec::new(), Vec::new(), Vec::new());
        for (path, version) in known {
            let is_dir = &*version == DIR_VERSION;
            let is_seen = match upper.find(&path) {
                Found::Below { .. } => true,
                Found::Hidden => false,
                Found::Node(id) => match kinds.get(&id) {
                    Some(Thing::File { .. }) => !is_dir,
                    Some(Thing::Dir { .. }) => is_dir,
                    Some(Thing::Other(_)) | None => false,
                },
            };
            if written.contains(&*path) {
                // What is said of it is what the object is expected to be.
            } else if is_seen {
                if hidden.contains_key(&path) || *version == *UNHEARD {
                    stale.push(path);
                }
            } else if is_dir {
                dirs.push(path);
            } else {
                deletes.push((path, version));
            }
        }
        (self.deletes, self.dirs, self.stale) = (deletes, dirs, stale);
    }

    /// The jobs, and then those deletes without which they cannot be done: where a name is either a file's or a directory's
    /// (`are_files`), as in a file system. Also which deletes those are.
    pub(super) fn steps(&self, are_files: bool) -> (Vec<Step>, Vec<usize>) {
        let mut steps: Vec<Step> = self
            .jobs
            .iter()
            .map(|job| Step {
                to: job.path.clone(),
                reads: job.reads.clone(),
                size: job.size,
                after: Vec::new(),
            })
            .collect();
        let mut first = Vec::new();
        if !are_files {
            return (steps, first);
        }
        let jobs: BTreeMap<&str, usize> = self
            .jobs
            .iter()
            .zip(0..)
            .map(|(job, at)| (&*job.path, at))
            .collect();
        for (at, (path, _)) in self.deletes.iter().enumerate() {
            let below = format!("{path}/");
            let mut blocked: Vec<usize> = jobs
                .range::<str, _>((Bound::Included(&*below), Bound::Unbounded))
                .take_while(|(to, _)| to.starts_with(&below))
                .map(|(_, job)| *job)
                .collect();
            let above = path.match_indices('/').map(|(end, _)| &path[..end]);
            blocked.extend(above.filter_map(|above| jobs.get(above)));
            if blocked.is_empty() {
                continue;
            }
            let delete = steps.len();
            first.push(at);
            steps.push(Step {
                to: path.clone(),
                ..Step::default()
            });
            for job in blocked {
                steps[job].after.push(delete);
            }
        }
        (steps, first)
    }
}

#[cfg(test)]
mod tests;
