//! What was changed on top of a manifest becomes a new manifest, and new contents in its store.
//!
//! [`commit_manifest`] takes a [`Working`] tree and a [`ManifestOrder`]: the base, where contents and the manifest go, and
//! [`ManifestOptions`]. `plan` lists the names of the new tree; `format` chooses how it is written down, and says why if
//! that is the draft ([`DraftReason`]). `engine` hashes what was changed, on all cores, in `pieces`; `upload` sends what
//! the store lacks. `build` makes the manifest, with `links` as manifests have them, and reads it back; `put`
//! stores it. [`ManifestCommitted`] says what was made.
//!
//! # What holds
//!
//! **Order.** Everything above is made durable first. The manifest is stored when all its contents are in the store. A commit
//! that fails, or is dropped, leaves more contents in the store, which the next one finds there, and nothing else.
//!
//! **The overlay stays as it is.** Every commit is made against the base that is mounted, so a second one has all the changes
//! of the first too, and writes the same manifest again if nothing was changed meanwhile.
//!
//! **What is read.** A file of which no byte was changed keeps its hash, whatever its name is now, and is not read. Of one in
//! chunks, only chunks are read in which something was changed. What such a piece lacks is brought from below, and kept.
//! Blocks are 64 KiB: one in which a byte was written counts as changed.
//!
//! **What is stored.** Each content once, whatever number of files have it. A content that the store has is not sent: it is
//! asked for each, by HEAD. An object is never other than its hash says: it is hashed again while it is sent. Contents of
//! the base are taken to be there.
//!
//! **What a manifest cannot hold.** Owners, modes but for the owner's right to run a file, extended attributes. Times are in
//! microseconds. Each name of a file with several is a file of its own. Pipes, sockets and devices are left out, and told
//! ([`ManifestCommitted::left_out`]). A link has to lead into the tree.

mod build;
mod engine;
mod format;
mod links;
mod options;
mod pieces;
mod plan;
mod put;
mod upload;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forebay_manifest::{Base, Hash, Kind, Manifest};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use self::build::Build;
use self::engine::{Engine, Hashed, Stop};
use self::plan::{OwnFile, Plan};
use self::upload::Uploader;
use crate::commit::blocking::blocking;
use crate::commit::error::{CommitError, shown};
use crate::commit::progress::{CommitProgress, CommitStats, add};
use crate::commit::working::Working;
use crate::overlay::{NodeId, SpecialKind};

pub use format::DraftReason;
pub use options::{ManifestOptions, ManifestOrder, ManifestPlace};
pub use put::Put;

/// Files that are hashed, or whose contents are sent, at a time. Small ones mostly wait for the store.
const FILES_AT_ONCE: usize = 64;

/// What a commit into a manifest made.
#[derive(Debug)]
pub struct ManifestCommitted {
    /// The new manifest, as it is stored.
    pub manifest: Manifest,
    /// The hash of its bytes.
    pub hash: Hash,
    /// How many these are.
    pub bytes: u64,
    /// Why it is in the draft format, which may change or go; `None`: it is v2023-03-03.
    pub draft: Option<DraftReason>,
    /// What became of it.
    pub put: Put,
    /// Paths of what no manifest can hold, and what they are.
    pub left_out: Vec<(Box<[u8]>, SpecialKind)>,
    /// Files that have several names, and are several files now.
    pub split: u64,
    /// What was done.
    pub stats: CommitStats,
}

/// Threads that hash are told when nobody waits for them any more.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.now();
    }
}

/// Makes a manifest of the tree as it is now. See the text of `commit/manifest.rs`.
///
/// # Errors
/// [`CommitError`]. The overlay is as it was, and no manifest is stored.
///
/// # Cancel safety
/// Dropping the future ends all work; uploads under way are aborted as far as the store answers. No manifest is stored, but
/// one that was on its way may be, whole.
pub async fn commit_manifest<W: Working>(
    working: &W,
    order: &ManifestOrder,
    progress: &Arc<CommitProgress>,
) -> Result<ManifestCommitted, CommitError> {
    let base = &order.base;
    if base.kind() == Kind::Diff {
        let why = "it is a diff";
        return Err(CommitError::Base { why });
    }
    if base.base() == Base::Absolute {
        let why = "its paths are absolute";
        return Err(CommitError::Base { why });
    }
    let (plan, draft, chunk_size) = planned(working, order).await?;
    add(&progress.files, plan.files.len() as u64);
    let stop = StopOnDrop(Stop::default());
    let options = &order.options;
    let threads = options.hashing.max(1);
    let engine = Arc::new(Engine {
        working: working.clone(),
        base: base.clone(),
        chunk: draft.as_ref().and_then(|_| chunk_size.bytes()),
        threads,
        hashing: Semaphore::new(threads),
        uploader: Uploader::new(order.cas.clone(), &options.send, progress.clone()),
        progress: progress.clone(),
        stop: stop.0.clone(),
    });
    let (hashed, split) = hashed(&engine, &plan).await?;
    let (asked, is_draft) = (order.clone(), draft.is_some());
    let (manifest, bytes, left_out) = blocking(move || {
        let build = Build {
            base: &asked.base,
            parent: asked.parent.as_ref(),
            plan: &plan,
            hashed: &hashed,
            is_draft,
            chunk_size,
            options: &asked.options,
        };
        let (manifest, bytes) = build.build()?;
        Ok::<_, CommitError>((manifest, bytes, plan.special))
    })
    .await??;
    for (path, kind) in &left_out {
        tracing::warn!(path = %shown(path), ?kind, "no manifest can hold it: left out");
    }
    let (hash, len) = (Hash::of(&bytes), bytes.len() as u64);
    let put = put::put(&order.manifest, bytes).await?;
    Ok(ManifestCommitted {
        manifest,
        hash,
        bytes: len,
        draft,
        put,
        left_out,
        split,
        stats: progress.stats(),
    })
}

/// What there is to do, with everything above durable.
async fn planned<W: Working>(
    working: &W,
    order: &ManifestOrder,
) -> Result<(Plan, Option<DraftReason>, forebay_manifest::ChunkSize), CommitError> {
    let (working, base, options) = (working.clone(), order.base.clone(), order.options.clone());
    blocking(move || {
        let upper = working.upper();
        upper.sync_all().map_err(CommitError::overlay(b""))?;
        let plan = Plan::gather(upper, &base, |executable| working.lower_mode(executable))?;
        let (draft, chunk_size) = format::choose(&options, &plan, &base)?;
        // Before hours of work, not after.
        if draft.is_some() {
            let links = links::Links::new(&plan, &base, options.mountpoint.as_deref());
            links.all().try_for_each(|link| link.map(drop))?;
        }
        Ok((plan, draft, chunk_size))
    })
    .await?
}

/// Hashes and stores all files that are changed; and how many have several names.
async fn hashed<W: Working>(
    engine: &Arc<Engine<W>>,
    plan: &Plan,
) -> Result<(HashMap<NodeId, Hashed>, u64), CommitError> {
    let mut names: HashMap<NodeId, u64> = HashMap::new();
    for file in &plan.files {
        *names.entry(file.id).or_default() += 1;
    }
    let mut seen = HashSet::new();
    let files = plan.files.iter().filter(|file| seen.insert(file.id)).cloned();
    let files: Vec<Arc<OwnFile>> = files.collect();
    let done = stream::iter(files).map(|file| {
        let engine = engine.clone();
        async move {
            let hashed = Box::pin(engine.file(&file)).await?;
            Ok::<_, CommitError>((file.id, hashed))
        }
    });
    let mut done = std::pin::pin!(done.buffer_unordered(FILES_AT_ONCE));
    let mut all = HashMap::with_capacity(names.len());
    while let Some((id, hashed)) = done.try_next().await? {
        engine
            .progress
            .files_done
            .fetch_add(names.get(&id).copied().unwrap_or(1), Ordering::Relaxed);
        all.insert(id, hashed);
    }
    let split = names.values().filter(|names| **names > 1).count() as u64;
    Ok((all, split))
}
