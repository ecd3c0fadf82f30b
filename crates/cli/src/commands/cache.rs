//! `forebay cache`: what is on the local disk, what it was good for, and whether it is sound.

use std::fmt::Write as _;
use std::path::Path;

use forebay_cache::{BadObject, Cache, CacheStats, Cleared, Verified};
use forebay_types::{ByteSize, ErrorKind, printable};
use serde::Serialize;

use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

/// A figure, and which cache it is of.
#[derive(Serialize)]
struct Answer<T: Serialize> {
    dir: String,
    #[serde(flatten)]
    figures: T,
}

/// Damaged objects that are named; the rest is counted.
const NAMED: usize = 20;

pub(crate) fn stats(session: &Session) -> Result<()> {
    let cache = open(session)?;
    answer(session, &cache, cache.stats(), stats_text)
}

pub(crate) fn clear(session: &Session) -> Result<()> {
    let cache = open(session)?;
    answer(session, &cache, cache.clear()?, |Cleared { entries, bytes }| {
        let plural = if *entries == 1 { "" } else { "s" };
        format!("removed     {entries} object{plural}, {:#}", ByteSize(*bytes))
    })
}

pub(crate) fn verify(session: &Session) -> Result<()> {
    let cache = open(session)?;
    let bar = progress::items(session.output, 0, "verify");
    let verified = cache.verify(&mut |so_far| {
        bar.set_length(so_far.of_objects);
        bar.set_position(so_far.objects);
    })?;
    bar.finish_and_clear();
    let damaged = damage(&verified, cache.dir());
    answer(session, &cache, verified, verified_text)?;
    damaged.map_or(Ok(()), Err)
}

/// These commands are about the directory, whether reads use it or not. Only who says on the same line that there is
/// to be no cache cannot mean it.
fn open(session: &Session) -> Result<Cache> {
    if session.settings.says_no_cache() {
        return Err(CliError::usage("--no-cache leaves `forebay cache` nothing to do").hint("leave it out"));
    }
    session.open_cache()
}

fn answer<T: Serialize>(
    session: &Session,
    cache: &Cache,
    figures: T,
    text: impl Fn(&T) -> String,
) -> Result<()> {
    let dir = cache.dir().to_string_lossy().into_owned();
    let shown = printable(&dir).into_owned();
    let answer = Answer { dir, figures };
    session.output.answer(&answer, || {
        format!("directory   {shown}\n{}", text(&answer.figures))
    })
}

fn stats_text(stats: &CacheStats) -> String {
    let size = |bytes: u64| format!("{:#}", ByteSize(bytes));
    let mut lines = vec![
        (
            "size",
            format!("{} of {}", size(stats.current_size), size(stats.max_size)),
        ),
        ("objects", stats.entry_count.to_string()),
        (
            "reads",
            format!(
                "{} hits, {} misses, {:.1} % hits",
                stats.hits,
                stats.misses,
                stats.hit_rate * 100.0
            ),
        ),
        (
            "bytes",
            format!(
                "{} from the cache, {} from the sources, {} stored",
                size(stats.bytes_hit),
                size(stats.bytes_missed),
                size(stats.bytes_stored)
            ),
        ),
        (
            "writes",
            format!(
                "{} past the page cache, {} through it",
                stats.direct_writes, stats.buffered_writes
            ),
        ),
        (
            "evicted",
            format!("{} objects, {}", stats.evictions, size(stats.evicted_bytes)),
        ),
        (
            "not kept",
            format!("{} pieces, {}", stats.drops, size(stats.dropped_bytes)),
        ),
    ];
    // What does not happen in a sound cache is shown when it did.
    for (name, count) in [
        ("corrupt", stats.corrupt),
        ("broken", stats.broken),
        ("no O_DIRECT", stats.refused_direct),
        ("I/O errors", stats.io_errors),
    ] {
        if count > 0 {
            lines.push((name, count.to_string()));
        }
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name:<11} {value}"))
        .collect();
    lines.join("\n")
}

fn verified_text(verified: &Verified) -> String {
    let mut text = format!(
        "objects     {}\nblocks      {}, {:#}",
        verified.objects,
        verified.blocks,
        ByteSize(verified.bytes)
    );
    for BadObject { object, blocks } in &verified.bad {
        let _ = write!(text, "\ncorrupt     {blocks} blocks of {object}");
    }
    if verified.removed > 0 {
        let _ = write!(
            text,
            "\nremoved     {} objects whose files could not be used",
            verified.removed
        );
    }
    text
}

/// The error that says what was damaged, if anything was.
fn damage(verified: &Verified, dir: &Path) -> Option<CliError> {
    if verified.bad_blocks == 0 && verified.removed == 0 {
        return None;
    }
    let mut names: Vec<&str> = verified
        .bad
        .iter()
        .take(NAMED)
        .map(|bad| bad.object.as_str())
        .collect();
    if verified.bad.len() > NAMED {
        names.push("…");
    }
    let names = if names.is_empty() {
        String::new()
    } else {
        format!(": {}", names.join(", "))
    };
    let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let message = format!(
        "the cache in {} was damaged: {}, {} that could not be used at all{names}",
        printable(&dir.to_string_lossy()),
        count(verified.bad_blocks, "bad block"),
        count(verified.removed, "object")
    );
    Some(CliError::new(ErrorKind::Corrupt, message).hint(
        "they were removed and will be fetched again when they are read; look at the disk, which should not lose bytes",
    ))
}
