//! `forebay warm`: objects into the cache, for whoever reads them later.

use std::time::Duration;

use forebay_cache::Cache;
use forebay_range::Target;
use forebay_reader::{Reader, Warmed};
use forebay_source::{Location, Source};
use forebay_types::{BlockRange, ByteSize, Clock, ErrorKind, SystemClock, printable};
use futures::StreamExt;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::WarmArgs;
use crate::commands::below;
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::progress;
use crate::session::Session;

/// What `warm --json` answers.
#[derive(Debug, Default, Serialize)]
struct Report {
    objects: u64,
    /// Names that no read could ask for.
    skipped: u64,
    bytes: u64,
    /// Bytes that were in the cache before.
    found: u64,
    /// Bytes that came from the sources.
    fetched: u64,
    /// Bytes of these objects that are in the cache now.
    cached: u64,
    requests: u64,
    seconds: f64,
    /// Fetched, 10^6 bytes a second.
    mb_s: f64,
}

/// An object that was warmed.
struct Done {
    target: Target,
    warmed: Warmed,
}

pub(crate) fn run(session: &Session, args: &WarmArgs) -> Result<()> {
    let clock = SystemClock::new();
    let reader = session.cached_reader()?;
    let (report, lacking) = session.block_on(async {
        let mut warming = Warming {
            session,
            reader: reader.clone(),
            done: Vec::new(),
            skipped: 0,
        };
        let bar = progress::fetched(session.output, "warm");
        tokio::select! {
            outcome = warming.urls(&args.urls) => outcome?,
            () = watch(session, &bar) => {}
        }
        bar.finish_and_clear();
        Ok(warming.finish(&clock))
    })?;
    let quiet = session.output.quiet;
    session
        .output
        .answer(&report, || if quiet { String::new() } else { report.text() })?;
    lacking.map_or(Ok(()), Err)
}

struct Warming<'a> {
    session: &'a Session,
    reader: Reader,
    done: Vec<Done>,
    skipped: u64,
}

impl Warming<'_> {
    async fn urls(&mut self, urls: &[String]) -> Result<()> {
        for url in urls {
            self.url(url).await?;
        }
        Ok(())
    }

    async fn url(&mut self, url: &str) -> Result<()> {
        let (location, source) = self.session.open(url)?;
        if !source.profile.cached {
            tracing::warn!("{location} needs no cache: local files are read where they are");
            return Ok(());
        }
        if source.is_prefix {
            return self.below(&location, &source).await;
        }
        let target = self.session.target(&location, &source);
        match one(self.reader.clone(), target).await {
            Ok(done) => {
                self.done.push(done);
                Ok(())
            }
            // Perhaps a prefix was meant, as for `get`.
            Err(error) if error.kind() == ErrorKind::NotFound => match self.below(&location, &source).await {
                Err(again) if again.kind() == ErrorKind::NotFound => Err(error),
                outcome => outcome,
            },
            Err(error) => Err(error),
        }
    }

    async fn below(&mut self, location: &Location, source: &Source) -> Result<()> {
        let listing = below::listing(location, source).await?;
        let (session, reader) = (self.session, self.reader.clone());
        let jobs = listing.map(|meta| {
            let meta = meta?;
            let target = session.target_at(location.scheme(), source, meta.location.clone());
            Ok(one(reader.clone(), target.known(&meta)))
        });
        let done = &mut self.done;
        parallel::for_each(jobs, below::at_a_time(session, location.scheme()), |one| {
            done.push(one);
        })
        .await?;
        self.skipped += source.skipped_names();
        Ok(())
    }

    /// The answer, and the error if something could not be kept.
    fn finish(self, clock: &SystemClock) -> (Report, Option<CliError>) {
        let stats = self.session.engine.stats();
        let seconds = clock.now().as_secs_f64();
        let mut report = Report {
            objects: self.done.len() as u64,
            skipped: self.skipped,
            requests: stats.requests,
            fetched: stats.bytes_fetched,
            mb_s: stats.bytes_fetched as f64 / 1e6 / seconds.max(1e-9),
            seconds,
            ..Report::default()
        };
        let mut lacking = Vec::new();
        for done in &self.done {
            report.bytes += done.warmed.size;
            report.found += done.warmed.found;
            // Looked at again: what came later may have taken its place.
            let cached = self
                .reader
                .cache()
                .map_or(0, |cache| present(cache, &done.target));
            report.cached += cached;
            if cached < done.warmed.size {
                lacking.push((done, cached));
            }
        }
        let error = lacking.first().map(|(done, cached)| {
            let max = self.reader.cache().map_or(0, |cache| cache.stats().max_size);
            not_kept(done, *cached, lacking.len(), self.done.len(), max)
        });
        (report, error)
    }
}

/// Shows how much has come, for ever.
async fn watch(session: &Session, bar: &ProgressBar) {
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        bar.set_position(session.engine.stats().bytes_fetched);
    }
}

async fn one(reader: Reader, target: Target) -> Result<Done> {
    let warmed = reader.warm(target.clone()).await?;
    Ok(Done { target, warmed })
}

/// Bytes of the object that the cache has.
fn present(cache: &Cache, target: &Target) -> u64 {
    let Some(cached) = cache.lookup(&target.origin, target.path.as_ref()) else {
        return 0;
    };
    let size = cached.id.size;
    if cached.complete {
        return size;
    }
    let runs = cache.object(&cached.id).presence(BlockRange::of_size(size));
    let here = runs.iter().filter(|(_, present)| *present);
    here.map(|(blocks, _)| blocks.bytes(size).len()).sum()
}

fn not_kept(first: &Done, cached: u64, lacking: usize, all: usize, max: u64) -> CliError {
    let name = printable(&first.target.name);
    let (size, cached) = (ByteSize(first.warmed.size), ByteSize(cached));
    let others = match lacking - 1 {
        0 => String::new(),
        _ => format!("; {lacking} of {all} objects are not whole in the cache"),
    };
    if first.warmed.fetched == 0 && cached.bytes() == 0 {
        let message =
            format!("{name} cannot be kept: its server tells no version of it (ETag, Last-Modified){others}");
        return CliError::new(ErrorKind::Unsupported, message)
            .hint("bytes of two versions could be mixed; fetch it with `forebay get` instead");
    }
    let message = format!(
        "{name}: {cached:#} of {size:#} are in the cache, which may take {:#}{others}",
        ByteSize(max)
    );
    CliError::new(ErrorKind::NoSpace, message)
        .hint("give it more room with --cache-size or cache.size, or make room on its disk")
}

impl Report {
    fn text(&self) -> String {
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        let plural = if self.objects == 1 { "" } else { "s" };
        format!(
            "{} object{plural}, {:#}: {:#} found, {:#} fetched in {:.2} s, {:.0} MB/s, {:#} in the cache{skipped}",
            self.objects,
            ByteSize(self.bytes),
            ByteSize(self.found),
            ByteSize(self.fetched),
            self.seconds,
            self.mb_s,
            ByteSize(self.cached)
        )
    }
}
