//! `forebay commit`: what was written in a mount becomes a new manifest. The process that serves the mount does it.

use forebay_types::{ByteSize, ErrorKind, printable};
use serde::{Deserialize, Serialize};

use super::control::{self, Order};
use super::{mounted, socket};
use crate::args::{CommitArgs, ManifestFormat};
use crate::env::Env;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

/// How it is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Commit {
    /// Where the new manifest goes; beside the one that is mounted if it is not said.
    pub(crate) output: Option<String>,
    /// Whether one that is there is replaced.
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
pub(crate) struct Done {
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
    let done = done?;
    if let Some(why) = &done.draft {
        tracing::warn!("the manifest is in a draft format, which may change or go: {why}");
    }
    for path in &done.left_out {
        tracing::warn!(
            path,
            "left out: no manifest can hold a pipe, a socket or a device"
        );
    }
    session.output.answer(&done, || text(&done))
}

fn text(done: &Done) -> String {
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
