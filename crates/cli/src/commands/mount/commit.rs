//! `forebay commit`: what was written in a mount becomes a new manifest, or the objects of the bucket that is mounted. The
//! process that serves the mount does it.

use forebay_types::{ByteSize, ErrorKind, printable};
use serde::{Deserialize, Serialize};

use super::control::{self, Order};
use super::{mounted, socket};
use crate::args::{CommitArgs, ManifestFormat};
use crate::env::Env;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

/// How it is to be done. All but `replace` is for manifests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Commit {
    /// Where the new manifest goes; beside the one that is mounted if it is not said.
    pub(crate) output: Option<String>,
    /// Whether one that is there is replaced; of objects, also those that somebody else changed meanwhile.
    pub(crate) replace: bool,
    /// Only what changed.
    pub(crate) diff: bool,
    pub(crate) format: Option<Format>,
    /// Bytes of a chunk; 0 for never.
    pub(crate) chunk_size: Option<u64>,
}

/// Which format is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    V2023,
    Draft,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Files that changed, or have other names.
    pub(crate) files: u64,
    pub(crate) files_done: u64,
    /// Bytes hashed.
    pub(crate) hashed: u64,
    /// Bytes sent to the store, and in how many objects.
    pub(crate) uploaded: u64,
    pub(crate) uploaded_objects: u64,
    /// Bytes that the store had already, and in how many objects.
    pub(crate) there: u64,
    pub(crate) there_objects: u64,
}

/// What was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Done {
    Manifest(Box<ManifestDone>),
    Objects(ObjectsDone),
}

/// What was done to the objects that are mounted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ObjectsDone {
    /// What is mounted.
    pub(crate) url: String,
    /// Files whose content is there now.
    pub(crate) put: u64,
    /// Files that the store copied.
    pub(crate) copied: u64,
    /// Objects that are gone.
    pub(crate) deleted: u64,
    /// Files that were there as they should be.
    pub(crate) unchanged: u64,
    /// What somebody else was faster with.
    pub(crate) conflicts: Vec<Conflict>,
    /// What no bucket can hold.
    pub(crate) left_out: Vec<LeftOut>,
    /// Requests that the store could not do on condition.
    pub(crate) unconditional: u64,
    #[serde(flatten)]
    pub(crate) stats: Stats,
}

/// A path that was not touched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Conflict {
    pub(crate) path: String,
    pub(crate) why: String,
}

/// What stays in the overlay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) path: String,
    /// What it is.
    pub(crate) what: String,
}

/// The manifest that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManifestDone {
    /// Where the manifest is.
    pub(crate) url: String,
    pub(crate) format: String,
    /// Why it is in the draft format.
    pub(crate) draft: Option<String>,
    pub(crate) kind: String,
    /// Of its bytes.
    pub(crate) hash: String,
    /// Whether the same manifest was there already.
    pub(crate) same_was_there: bool,
    /// Files in it, and bytes in them.
    pub(crate) entries: u64,
    pub(crate) total_size: u64,
    /// What no manifest can hold.
    pub(crate) left_out: Vec<String>,
    /// Files that had several names, and are several files now.
    pub(crate) split: u64,
    #[serde(flatten)]
    pub(crate) stats: Stats,
}

/// `forebay commit`.
pub(crate) fn run(session: &Session, env: &Env, args: &CommitArgs) -> Result<()> {
    let place = mounted::find(&args.dir).map_err(|e| CliError::local(&args.dir, "look at", &e))?;
    if !place.is_ours {
        let dir = args.dir.to_string_lossy();
        let message = format!("nothing is mounted by forebay on {}", printable(&dir));
        return Err(CliError::new(ErrorKind::NotFound, message).hint(
            "mount it again, with --writable and the same --overlay-dir: what was written is there still",
        ));
    }
    // What programs wrote into mappings is to be in it, as far as the kernel waits for that.
    let root = std::fs::File::open(&place.dir).map_err(|e| CliError::local(&place.dir, "open", &e))?;
    rustix::fs::syncfs(&root).map_err(|e| CliError::local(&place.dir, "sync", &e.into()))?;
    drop(root);
    let order = Order::Commit(Commit {
        output: args.output.clone(),
        replace: args.replace,
        diff: args.diff,
        format: args.format.map(|format| match format {
            ManifestFormat::V2023 => Format::V2023,
            ManifestFormat::Draft => Format::Draft,
        }),
        chunk_size: args.chunk_size.map(|size| size.bytes().unwrap_or(0)),
    });
    let places = socket::places(env);
    let bar = progress::items(session.output, 0, "files");
    let done = session.block_on(control::order(&places, &place.dir, &order, |stats| {
        bar.set_length(stats.files);
        bar.set_position(stats.files_done);
    }));
    bar.finish_and_clear();
    match done? {
        Done::Manifest(done) => tell_manifest(session, &done),
        Done::Objects(done) => tell_objects(session, &done),
    }
}

/// Paths that are named in an error.
const NAMED: usize = 20;

fn tell_objects(session: &Session, done: &ObjectsDone) -> Result<()> {
    for left in &done.left_out {
        tracing::warn!(path = left.path, "left out: no bucket can hold {}", left.what);
    }
    session.output.answer(done, || objects_text(done))?;
    if done.conflicts.is_empty() {
        return Ok(());
    }
    let named = done.conflicts.iter().take(NAMED);
    let mut message = format!("{} not committed:", done.conflicts.len());
    for conflict in named {
        message.push_str(&format!("\n  {}: {}", conflict.path, conflict.why));
    }
    if let more @ 1.. = done.conflicts.len().saturating_sub(NAMED) {
        message.push_str(&format!("\n  and {more} more"));
    }
    Err(CliError::new(ErrorKind::Changed, message).hint(
        "all else is done. Look at what is there now; then rename or remove yours and commit again, or commit with --replace, which takes no account of it",
    ))
}

fn objects_text(done: &ObjectsDone) -> String {
    let stats = &done.stats;
    let rows = [
        ("into", done.url.clone()),
        (
            "put",
            format!("{} files ({:#} sent)", done.put, ByteSize(stats.uploaded)),
        ),
        ("copied", format!("{} objects", done.copied)),
        ("deleted", format!("{} objects", done.deleted)),
        ("unchanged", format!("{} files", done.unchanged)),
        ("conflicts", done.conflicts.len().to_string()),
        ("left out", done.left_out.len().to_string()),
    ];
    let lines = rows.map(|(name, value)| format!("{name:<14}{value}"));
    lines.join("\n")
}

fn tell_manifest(session: &Session, done: &ManifestDone) -> Result<()> {
    if let Some(why) = &done.draft {
        tracing::warn!("the manifest is in a draft format, which may change or go: {why}");
    }
    for path in &done.left_out {
        tracing::warn!(
            path,
            "left out: no manifest can hold a pipe, a socket or a device"
        );
    }
    session.output.answer(done, || text(done))
}

fn text(done: &ManifestDone) -> String {
    let stats = &done.stats;
    let rows = [
        ("manifest", done.url.clone()),
        ("format", format!("{}, {}", done.format, done.kind)),
        ("hash", done.hash.clone()),
        (
            "files",
            format!("{} ({:#})", done.entries, ByteSize(done.total_size)),
        ),
        ("changed", stats.files.to_string()),
        (
            "uploaded",
            format!(
                "{} objects ({:#})",
                stats.uploaded_objects,
                ByteSize(stats.uploaded)
            ),
        ),
        (
            "there",
            format!("{} objects ({:#})", stats.there_objects, ByteSize(stats.there)),
        ),
    ];
    let lines = rows.map(|(name, value)| format!("{name:<14}{value}"));
    lines.join("\n")
}
