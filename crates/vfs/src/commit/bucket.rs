//! What was changed on top of a bucket becomes its objects.
//!
//! [`commit_bucket`] makes the bucket what the tree is. `plan` lists what has to be put, copied and removed, `order` says what
//! has to wait for what, `object` does each on condition that nobody else was there first, and `local` tidies up after it
//! where directories are real ones. What was done is noted in the overlay at once ([`Upper::record_put`]), and what is about to be
//! put before that ([`Upper::record_sent`]), so that an interrupted commit goes on where it was, whatever was changed since.
//! [`BucketCommitted`] says what was done, and what was not ([`Conflict`], [`LeftOut`]).
//!
//! # What holds
//!
//! **Order.** Everything above is made durable. Files in directories that were moved become known one by one, and these show
//! nothing of below from then on: what is put where they were is not theirs. Then objects
//! are put and copied, those first that nothing else needs; what others still read is not replaced before they are done.
//! Objects are removed last. Whenever it ends, each content that is to be seen is in the bucket or in the overlay, and each
//! object that is still needed is there.
//!
//! **Others.** An object is replaced or removed only if it is the version that was hidden or changed here, created only if there
//! is none: by If-Match and If-None-Match where the store knows them; otherwise, and for copies, removals and the completion
//! of uploads in parts, by a look just before. Whatever is another is left alone, with all that needs it, and told; the rest
//! goes on. An object that has the very content that was to be put counts as put.
//!
//! **One moment for each file**, as of a commit into a manifest: see the [module above](super).
//!
//! **The overlay knows what was put**, and keeps it: what was written shows as it was written for as long as it is mounted.
//! It lets go of it when it is opened the next time ([`Upper::settle`]), and then what others change is seen.
//!
//! [`Upper::record_put`]: crate::overlay::Upper::record_put
//! [`Upper::record_sent`]: crate::overlay::Upper::record_sent
//! [`Upper::settle`]: crate::overlay::Upper::settle

mod conflict;
mod local;
mod object;
mod options;
mod order;
mod plan;
mod work;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use self::local::Local;
use self::object::Objects;
use self::order::{Order, order};
use self::plan::Plan;
use self::work::{Done, Work};
use crate::commit::blocking::blocking;
use crate::commit::error::{BelowError, CommitError};
use crate::commit::progress::{CommitProgress, CommitStats, add};
use crate::merged::{Merged, MergedError};
use crate::overlay::Thing;

pub use conflict::{Conflict, ConflictWhy};
pub use options::{BucketOptions, BucketOrder};
pub use plan::LeftOut;

/// What a commit did to a bucket.
#[derive(Debug)]
pub struct BucketCommitted {
    /// Files that were put, those whose content was there already among them.
    pub put: u64,
    /// Files that the store copied by itself.
    pub copied: u64,
    /// Objects that are not there any more.
    pub deleted: u64,
    /// Files that are known here and were there as they should be.
    pub unchanged: u64,
    /// What somebody else changed meanwhile, and what had to wait for that.
    pub conflicts: Vec<Conflict>,
    /// What no bucket can hold.
    pub left_out: Vec<(Box<[u8]>, LeftOut)>,
    /// What was sent.
    pub stats: CommitStats,
}

/// Makes the bucket what the tree is now. See the text of `commit/bucket.rs`.
///
/// # Errors
/// [`CommitError`]: what was done until then was done, and the next commit goes on. What somebody else changed is no error:
/// see [`BucketCommitted::conflicts`].
///
/// # Cancel safety
/// Dropping the future ends all work: as after an error. A request that is on its way may still be done.
pub async fn commit_bucket(
    merged: &Merged,
    order: &BucketOrder,
    progress: &Arc<CommitProgress>,
) -> Result<BucketCommitted, CommitError> {
    let all: BoxFuture<'_, _> = Box::pin(run(merged, order, progress));
    all.await
}

async fn run(
    merged: &Merged,
    order: &BucketOrder,
    progress: &Arc<CommitProgress>,
) -> Result<BucketCommitted, CommitError> {
    if !merged.upper().has_ledger() {
        return Err(CommitError::NoLedger);
    }
    merged.puts_below();
    let all = merged.clone();
    blocking(move || all.upper().sync_all().map_err(CommitError::overlay(b""))).await??;
    merged.raise_moved().await.map_err(below)?;
    let options = order.options.clone();
    let objects = Arc::new(Objects {
        merged: merged.clone(),
        memory: options.send.leave(),
        place: order.place.clone(),
        progress: progress.clone(),
        options,
    });
    let ours = objects.arrived().await?;
    let (upper, keys) = (merged.clone(), objects.clone());
    let plan =
        blocking(move || Plan::gather(upper.upper(), &ours, |path| keys.key(path).is_some())).await??;
    add(&progress.files, (plan.jobs.len() + plan.deletes.len()) as u64);
    let local = order.options.local.as_deref().map(Local::open);
    let mut run = Run {
        work: Work {
            objects,
            brought: HashSet::new(),
        },
        local,
        committed: BucketCommitted {
            put: 0,
            copied: 0,
            deleted: 0,
            unchanged: plan.unchanged,
            conflicts: Vec::new(),
            left_out: plan.left_out.clone(),
            stats: CommitStats::default(),
        },
        blocked: HashSet::new(),
        needed: HashSet::new(),
        removed: HashSet::new(),
    };
    run.write(&plan).await?;
    run.remove(&plan).await?;
    run.finish(&plan).await?;
    let mut committed = run.committed;
    committed.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
    committed.stats = progress.stats();
    Ok(committed)
}

/// A commit under way.
struct Run {
    work: Work,
    local: Option<Local>,
    committed: BucketCommitted,
    /// Steps that must not be done.
    blocked: HashSet<usize>,
    /// Objects that files still need that were not put.
    needed: HashSet<Box<str>>,
    /// Deletes that were done already.
    removed: HashSet<usize>,
}

impl Run {
    /// Puts and copies.
    async fn write(&mut self, plan: &Plan) -> Result<(), CommitError> {
        if let Some(local) = &self.local {
            // Those inside others first; one that is not empty yet goes with the last file in it.
            for path in plan.dirs.iter().rev().chain(&plan.replaced) {
                local.remove(path);
            }
        }
        for file in &plan.settled {
            // It must not be read where it is about to be removed.
            self.work
                .record(file.id, file.origin.path.as_bytes(), &file.origin, file.stamp)?;
        }
        let (steps, first) = plan.steps(self.local.is_some());
        let mut order = order(&steps);
        for kept in &plan.keep {
            // Its content must not go with an object that is replaced or removed.
            match self.work.whole(kept.id, &kept.path).await {
                Ok(_) => {
                    for (path, version) in &kept.known {
                        let noted = self
                            .work
                            .objects
                            .merged
                            .upper()
                            .record_hidden(path, Some(version));
                        noted.map_err(CommitError::overlay(&kept.path))?;
                    }
                }
                // If that is gone already, it is.
                Err(error) if Work::is_gone(&error) || Work::source_of(&error, None).is_some() => {}
                Err(error) => return Err(error),
            }
        }
        for at in std::mem::take(&mut order.bring) {
            let Some(job) = plan.jobs.get(at) else {
                continue;
            };
            match self.work.whole(job.id, job.path.as_bytes()).await {
                Ok(_) => {
                    self.work.brought.insert(job.path.clone());
                    order.next[at].clear();
                }
                Err(error) if Work::is_gone(&error) => {}
                Err(error) => match Work::source_of(&error, job.reads.as_deref()) {
                    Some(why) => {
                        self.refuse(plan, &order, at, why);
                        self.blocked.insert(at);
                    }
                    None => return Err(error),
                },
            }
        }
        for wave in &order.waves {
            self.wave(plan, &order, &first, wave).await?;
        }
        Ok(())
    }

    async fn wave(
        &mut self,
        plan: &Plan,
        order: &Order,
        first: &[usize],
        wave: &[usize],
    ) -> Result<(), CommitError> {
        let at_once = self.work.objects.options.send.at_once.max(1);
        let ready = wave.iter().copied().filter(|at| !self.blocked.contains(at));
        let ready: Vec<usize> = ready.collect();
        let mut refused = Vec::new();
        let work = &self.work;
        let done = stream::iter(ready).map(|at| async move {
            let done = match plan.jobs.get(at) {
                Some(job) => work.job(job).await,
                None => match first
                    .get(at - plan.jobs.len())
                    .and_then(|at| plan.deletes.get(*at))
                {
                    Some((path, version)) => work.delete(path, version).await,
                    None => Ok(Done::Gone),
                },
            };
            done.map(|done| (at, done))
        });
        let mut done = Box::pin(done.buffer_unordered(at_once));
        while let Some(done) = done.next().await {
            let (at, done) = done?;
            work.objects.progress.files_done.fetch_add(1, Ordering::Relaxed);
            match done {
                Done::Put => self.committed.put += 1,
                Done::Copied => self.committed.copied += 1,
                Done::Deleted => {
                    self.committed.deleted += 1;
                    if let (Some(local), Some(delete)) = (&self.local, first.get(at - plan.jobs.len()))
                        && let Some((path, _)) = plan.deletes.get(*delete)
                    {
                        local.prune(path);
                        self.removed.insert(*delete);
                    }
                }
                Done::Gone => {}
                Done::Refused(why) => refused.push((at, why)),
            }
        }
        drop(done);
        for (at, why) in refused {
            self.refuse(plan, order, at, why);
        }
        Ok(())
    }

    /// A step is not done, and neither is what has to wait for it.
    fn refuse(&mut self, plan: &Plan, order: &Order, at: usize, why: ConflictWhy) {
        let mut next = vec![(at, why)];
        while let Some((at, why)) = next.pop() {
            let path = match plan.jobs.get(at) {
                Some(job) => {
                    self.needed.extend(job.reads.clone());
                    job.path.clone()
                }
                // A delete: it is told where it is tried again.
                None => continue,
            };
            self.committed.conflicts.push(Conflict { path, why });
            for later in &order.next[at] {
                if self.blocked.insert(*later) {
                    next.push((*later, ConflictWhy::Waits));
                }
            }
        }
    }

    /// Removes objects that nothing needs any more.
    async fn remove(&mut self, plan: &Plan) -> Result<(), CommitError> {
        for at in &self.removed {
            if let Some((path, _)) = plan.deletes.get(*at) {
                // What was moved from there has been noted since as having been there.
                self.work.hidden(path, None)?;
            }
        }
        let at_once = self.work.objects.options.send.at_once.max(1);
        let (work, needed) = (&self.work, &self.needed);
        let removed = &self.removed;
        let all = plan.deletes.iter().enumerate();
        let free = all.filter(|(at, (path, _))| !removed.contains(at) && !needed.contains(path));
        let free: Vec<(Box<str>, Box<str>)> = free.map(|(_, delete)| delete.clone()).collect();
        let done = stream::iter(free).map(|(path, version)| async move {
            let done = work.delete(&path, &version).await?;
            Ok::<_, CommitError>((path, done))
        });
        let mut done = std::pin::pin!(done.buffer_unordered(at_once));
        while let Some(done) = done.next().await {
            let (path, done) = done?;
            work.objects.progress.files_done.fetch_add(1, Ordering::Relaxed);
            match done {
                Done::Refused(why) => self.committed.conflicts.push(Conflict { path, why }),
                Done::Deleted => {
                    self.committed.deleted += 1;
                    if let Some(local) = &self.local {
                        local.prune(&path);
                    }
                }
                _ => {}
            }
        }
        let waiting = plan.deletes.iter().filter(|(path, _)| self.needed.contains(path));
        self.committed.conflicts.extend(waiting.map(|(path, _)| Conflict {
            path: path.clone(),
            why: ConflictWhy::Waits,
        }));
        Ok(())
    }

    /// Notes what is right by now, and tells what is empty.
    async fn finish(&mut self, plan: &Plan) -> Result<(), CommitError> {
        for path in &plan.stale {
            self.work.hidden(path, None)?;
        }
        // Those inside others first.
        for path in plan.dirs.iter().rev() {
            if let Some(local) = &self.local {
                local.remove(path);
            }
            self.work.hidden(path, None)?;
        }
        self.settle_dirs().await?;
        let all = self.work.objects.merged.clone();
        blocking(move || all.upper().sync().map_err(CommitError::overlay(b""))).await?
    }

    /// Which directories are in the bucket with all that is in them.
    async fn settle_dirs(&mut self) -> Result<(), CommitError> {
        let merged = &self.work.objects.merged;
        let names = merged.upper().survey().names;
        let mut full: BTreeSet<Box<[u8]>> = BTreeSet::new();
        let mut parents: HashSet<Box<[u8]>> = HashSet::new();
        let key = |path: &[u8]| {
            let path = str::from_utf8(path).ok()?;
            (path.is_empty() || self.work.objects.key(path).is_some()).then(|| Box::<str>::from(path))
        };
        for name in names.iter().rev() {
            let is_full = full.contains(&name.path);
            let holds = match &name.thing {
                Thing::File { .. } => key(&name.path).is_some(),
                Thing::Dir { origin, .. } => {
                    is_full
                        || origin.as_deref().map(str::as_bytes) == Some(&*name.path)
                            && match merged.shows_more(name.id).await {
                                Ok(shows) => shows,
                                Err(MergedError::Upper(crate::overlay::UpperError::Stale { .. })) => false,
                                Err(error) => return Err(below(error)),
                            }
                }
                Thing::Other(_) => false,
            };
            let parent = match name.path.iter().rposition(|byte| *byte == b'/') {
                Some(end) => &name.path[..end],
                None => &[],
            };
            if !name.path.is_empty() {
                parents.insert(parent.into());
                if holds {
                    full.insert(parent.into());
                }
            }
            if matches!(name.thing, Thing::Dir { .. }) {
                let settled = key(&name.path).filter(|_| holds);
                match merged.upper().record_settled(name.id, settled.as_deref()) {
                    Ok(()) | Err(crate::overlay::UpperError::Stale { .. }) => {}
                    Err(source) => return Err(CommitError::overlay(&name.path)(source)),
                }
                if !holds && !name.path.is_empty() && !parents.contains(&name.path) {
                    self.committed
                        .left_out
                        .push((name.path.clone(), LeftOut::EmptyDir));
                }
            }
        }
        Ok(())
    }
}

fn below(error: MergedError) -> CommitError {
    CommitError::Below {
        path: "".into(),
        source: BelowError {
            kind: error.kind(),
            source: error.into(),
        },
    }
}
