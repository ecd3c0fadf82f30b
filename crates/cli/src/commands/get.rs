//! `forebay get`: an object into a file, or all objects below a prefix into a directory.

pub(super) mod dest;
mod tree;

use std::path::Path as FilePath;

use forebay_range::Target;
use forebay_types::{ByteSize, ErrorKind, RangeSpec, SystemClock};
use serde::Serialize;

use crate::args::GetArgs;
use crate::commands::cat;
use crate::exit::{CliError, Result};
use crate::progress;
use crate::session::Session;

pub(crate) use dest::Directory;

/// What `get --json` answers.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    url: String,
    dest: String,
    objects: u64,
    skipped: u64,
    bytes: u64,
    seconds: f64,
    mb_s: f64,
    /// Bytes that came from the cache.
    cached_bytes: u64,
    /// Bytes that came from the source, those sent again included.
    fetched: u64,
    requests: u64,
    retries: u64,
    hedges: u64,
}

pub(crate) fn run(session: &Session, args: &GetArgs) -> Result<()> {
    let clock = SystemClock::new();
    let (location, source) = session.open(&args.url)?;
    let mut report = session.block_on(async {
        if source.is_prefix {
            return tree::get(session, &location, &source, args).await;
        }
        let target = session.target(&location, &source);
        let range = args.range.unwrap_or(RangeSpec::From(0));
        if args.dest.as_deref() == Some("-") {
            let bytes = cat::to_stdout(session, target, range).await?;
            return Ok(Report::new("-", 1, bytes));
        }
        let name = location.file_name().ok_or_else(|| {
            CliError::usage(format!("{location} has no name that a file could have"))
                .hint("name the file to write")
        })?;
        let (directory, name) = dest::resolve(args.dest.as_deref(), &name)?;
        match one(session, target.clone(), range, &directory, &name, args.no_clobber).await {
            Ok(bytes) => Ok(Report::new(&directory.shown(&name), 1, bytes)),
            // No such object: perhaps a prefix was meant, as in `get s3://bucket/dir`.
            Err(error) if error.kind() == ErrorKind::NotFound && args.range.is_none() => {
                match tree::get(session, &location, &source, args).await {
                    Err(again) if again.kind() == ErrorKind::NotFound => Err(error),
                    outcome => outcome,
                }
            }
            Err(error) => Err(error),
        }
    })?;
    report.finish(
        session,
        &location.to_string(),
        forebay_types::Clock::now(&clock).as_secs_f64(),
    );
    if args.dest.as_deref() == Some("-") {
        return Ok(());
    }
    let quiet = session.output.quiet;
    session
        .output
        .answer(&report, || if quiet { String::new() } else { report.text() })
}

/// One object into one file, which has its name only when it has all its bytes.
async fn one(
    session: &Session,
    target: Target,
    range: RangeSpec,
    directory: &Directory,
    name: &FilePath,
    no_clobber: bool,
) -> Result<u64> {
    directory.check_free(name, no_clobber)?;
    // Before the file: an object that does not exist must not leave even a temporary one.
    let opened = session.door(target.cached).open(target, range).await?;
    let len = opened.len();
    let staged = directory.stage(name, len)?;
    let bar = progress::bytes(session.output, len, &name.to_string_lossy());
    opened
        .into_sink(staged.sink(bar.clone()))
        .await
        .map_err(|e| staged.explain(e))?;
    staged.finish(no_clobber)?;
    bar.finish_and_clear();
    Ok(len)
}

impl Report {
    fn new(dest: &str, objects: u64, bytes: u64) -> Self {
        Self {
            url: String::new(),
            dest: dest.to_owned(),
            objects,
            skipped: 0,
            bytes,
            seconds: 0.0,
            mb_s: 0.0,
            cached_bytes: 0,
            fetched: 0,
            requests: 0,
            retries: 0,
            hedges: 0,
        }
    }

    fn finish(&mut self, session: &Session, url: &str, seconds: f64) {
        let stats = session.engine.stats();
        self.url = url.to_owned();
        self.seconds = seconds;
        self.mb_s = self.bytes as f64 / 1e6 / seconds.max(1e-9);
        (self.cached_bytes, self.fetched) = (
            self.bytes.saturating_sub(stats.bytes_downloaded),
            stats.bytes_fetched,
        );
        (self.requests, self.retries, self.hedges) = (stats.requests, stats.retries, stats.hedges);
    }

    fn text(&self) -> String {
        let what = if self.objects == 1 {
            String::new()
        } else {
            format!("{} objects, ", self.objects)
        };
        let skipped = if self.skipped > 0 {
            format!(", {} skipped", self.skipped)
        } else {
            String::new()
        };
        let cached = if self.cached_bytes > 0 {
            format!(", {:#} from the cache", ByteSize(self.cached_bytes))
        } else {
            String::new()
        };
        format!(
            "{}: {what}{:#} in {:.2} s, {:.0} MB/s, {} requests{cached}{skipped}",
            self.dest,
            ByteSize(self.bytes),
            self.seconds,
            self.mb_s,
            self.requests
        )
    }
}
