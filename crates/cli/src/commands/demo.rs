//! `forebay demo`: the whole path, on a store that the program brings along.
//!
//! The lab server listens on a real socket, 30 ms and 90 MB/s per connection away, as S3 is. Objects are written to it,
//! read back in every way there is, from the store and from the cache, and each byte is compared with what was written.
//! Then records go into a topic of an event log, and are read back in order.

mod cached;
mod log;
mod plot;

use std::sync::Arc;

use forebay_range::{RangeEngineConfig, Target};
use forebay_reader::Reader;
use forebay_source::{Opener, Source, SourceOptions};
use forebay_testkit::{Content, Lab, Profile};
use forebay_types::{ByteRange, ByteSize, Clock, ErrorKind, RangeSpec, SystemClock};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::Serialize;

use crate::args::DemoArgs;
use crate::commands::bench::{cpu_time, lab_options};
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::progress;
use crate::session::Session;

const BUCKET: &str = "demo";
/// Small objects beside the large one.
const SMALL: usize = 200;
const SMALL_SIZE: u64 = 64 * 1024;
/// Parts of an upload: S3 takes nothing below 5 MiB.
const UPLOAD_PART: u64 = 8 * 1024 * 1024;
const READERS: usize = 16;

/// What one step took. CPU is that of this process, which is both sides.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    bytes: u64,
    seconds: f64,
    mb_s: f64,
    requests: u64,
    cpu_s: f64,
}

#[derive(Debug, Serialize)]
struct Answer {
    profile: &'static str,
    verified_bytes: u64,
    /// Those of them that came from the cache.
    cached_bytes: u64,
    steps: Vec<Step>,
    log: log::LogPart,
}

/// Everything a step needs.
struct Stage<'a> {
    session: &'a Session,
    lab: Lab,
    source: Source,
    config: Arc<RangeEngineConfig>,
    big: Content,
    clock: SystemClock,
    reader: Reader,
}

pub(crate) fn run(session: &Session, args: &DemoArgs) -> Result<()> {
    let failed =
        |e: std::io::Error| CliError::new(e.kind().into(), format!("cannot start the lab server: {e}"));
    let lab = Lab::builder()
        .profile(Profile::STANDARD)
        .bucket(BUCKET)
        .start()
        .map_err(failed)?;
    let source = open(&lab)?;
    let config = Arc::new(
        session
            .settings
            .range_config(forebay_source::Scheme::S3, &source.profile),
    );
    let big = Content::pattern(1, args.size.bytes().max(SMALL_SIZE));
    // Of its own, so that the first read finds nothing and nothing stays. Dropped last, when the cache is closed.
    let scratch = crate::scratch::directory(&session.settings, "forebay-demo-")?;
    let log_scratch = crate::scratch::directory(&session.settings, "forebay-demo-")?;
    let reader = cached::reader(session, scratch.path(), big.size())?;
    let stage = Stage {
        session,
        lab,
        source,
        config,
        big,
        clock: SystemClock::new(),
        reader,
    };
    let (mut course, mut cached_bytes) = (Vec::new(), 0);
    let (steps, log) = session.block_on(async {
        let mut steps = vec![
            stage.step("write", stage.write()).await?,
            stage
                .step("read in order", stage.read_in_order(&mut course))
                .await?,
        ];
        if stage.reader.cache().is_some() {
            stage.reader.flush().await;
            // What goes past the page cache on its way to the disk is in memory from the second time on.
            for name in ["read it again", "and once more"] {
                let fetched = session.engine.stats().bytes_fetched;
                let step = stage.step(name, stage.read_again(name)).await?;
                cached_bytes += step
                    .bytes
                    .saturating_sub(session.engine.stats().bytes_fetched - fetched);
                steps.push(step);
            }
        }
        steps.extend([
            stage.step("read in ranges", stage.read_ranges()).await?,
            stage.step("read at random", stage.read_random()).await?,
            stage.step("read 200 small objects", stage.read_small()).await?,
        ]);
        let log = log::log(session, log_scratch.path()).await?;
        Ok((steps, log))
    })?;
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::course(&course, stage.big.size()))
            .map_err(|e| CliError::local(path, "write", &e))?;
    }
    let verified_bytes = steps.iter().skip(1).map(|s| s.bytes).sum();
    let answer = Answer {
        profile: Profile::STANDARD.name,
        verified_bytes,
        cached_bytes,
        steps,
        log,
    };
    session.output.answer(&answer, || answer.text())
}

/// The lab as a user would name it, with settings of its own: the user's keys have no business there.
fn open(lab: &Lab) -> Result<Source> {
    let options = lab_options(SourceOptions::default(), &lab.endpoint());
    Ok(Opener::new(options).open(&format!("s3://{BUCKET}/big").parse()?)?)
}

fn small_content(index: usize) -> Content {
    Content::pattern(100 + index as u64, SMALL_SIZE)
}

fn small_path(index: usize) -> Path {
    Path::from(format!("small/{index:03}"))
}

fn check(content: &Content, offset: u64, bytes: &[u8]) -> Result<()> {
    content
        .check(offset, bytes)
        .map_err(|e| CliError::new(ErrorKind::Corrupt, format!("demo: {e}")))
}

impl Stage<'_> {
    /// Runs a step and measures it.
    async fn step(&self, name: &'static str, work: impl Future<Output = Result<u64>>) -> Result<Step> {
        let (requests, cpu, begun) = (self.lab.counts().requests, cpu_time(), self.clock.now());
        let bytes = work.await?;
        let seconds = (self.clock.now() - begun).as_secs_f64();
        let cpu_s = (cpu_time() - cpu).as_secs_f64();
        let requests = self.lab.counts().requests - requests;
        Ok(Step {
            step: name,
            bytes,
            seconds,
            mb_s: bytes as f64 / 1e6 / seconds,
            requests,
            cpu_s,
        })
    }

    fn bar(&self, len: u64, what: &str) -> ProgressBar {
        progress::bytes(self.session.output, len, what)
    }

    fn target(&self) -> Target {
        Target::new(&self.source, self.config.clone())
    }

    async fn write(&self) -> Result<u64> {
        let size = self.big.size();
        let bar = self.bar(size, "write");
        let store = &self.source.store;
        let failed = |e: object_store::Error| CliError::store("demo", &e);
        let mut upload = store.put_multipart(&self.source.path).await.map_err(failed)?;
        let parts: Vec<_> = forebay_range::parts(ByteRange::new(0, size), &self.upload_parts())
            .map(|part| {
                let payload: PutPayload = self.big.slice(part).into_iter().collect();
                let (done, bar) = (upload.put_part(payload), bar.clone());
                async move { done.await.inspect(|()| bar.inc(part.len())) }
            })
            .collect();
        stream::iter(parts)
            .buffer_unordered(READERS)
            .try_collect::<Vec<()>>()
            .await
            .map_err(failed)?;
        upload.complete().await.map_err(failed)?;
        stream::iter(0..SMALL)
            .map(|i| async move {
                let payload: PutPayload = small_content(i)
                    .slice(ByteRange::new(0, SMALL_SIZE))
                    .into_iter()
                    .collect();
                store.put(&small_path(i), payload).await
            })
            .buffer_unordered(READERS)
            .try_collect::<Vec<_>>()
            .await
            .map_err(failed)?;
        bar.finish_and_clear();
        Ok(size + SMALL as u64 * SMALL_SIZE)
    }

    fn upload_parts(&self) -> RangeEngineConfig {
        RangeEngineConfig {
            chunk_size: UPLOAD_PART,
            min_split_size: UPLOAD_PART,
            ..RangeEngineConfig::default()
        }
    }

    async fn read_ranges(&self) -> Result<u64> {
        let size = self.big.size();
        // A quarter of the object: 16 MiB of every 64 MiB.
        let ranges: Vec<ByteRange> = (0..size.div_ceil(64 << 20))
            .map(|i| ByteRange::at(i * (64 << 20), 16 << 20).clamp_to(size))
            .collect();
        self.read_all("read in ranges", ranges, 4).await
    }

    async fn read_random(&self) -> Result<u64> {
        let mut random = fastrand::Rng::with_seed(1);
        let len = 256 * 1024;
        let ranges: Vec<ByteRange> = (0..400)
            .map(|_| {
                ByteRange::at(random.u64(0..self.big.size().saturating_sub(len).max(1)), len)
                    .clamp_to(self.big.size())
            })
            .collect();
        self.read_all("read at random", ranges, READERS).await
    }

    async fn read_all(&self, name: &str, ranges: Vec<ByteRange>, readers: usize) -> Result<u64> {
        let bar = self.bar(ranges.iter().map(|r| r.len()).sum(), name);
        let jobs = stream::iter(ranges).map(|range| {
            let (engine, target, big) = (self.session.engine.clone(), self.target(), self.big.clone());
            Ok(async move {
                let (bytes, _) = engine.read(target, RangeSpec::Bounded(range)).await?;
                check(&big, range.start(), &bytes)?;
                Ok(bytes.len() as u64)
            })
        });
        let mut total = 0;
        parallel::for_each(jobs, readers, |len| {
            total += len;
            bar.inc(len);
        })
        .await?;
        bar.finish_and_clear();
        Ok(total)
    }

    async fn read_small(&self) -> Result<u64> {
        let jobs = stream::iter(0..SMALL).map(|i| {
            let target = Target::at(&self.source, small_path(i), self.config.clone());
            let engine = self.session.engine.clone();
            Ok(async move {
                let (bytes, _) = engine.read(target, RangeSpec::From(0)).await?;
                check(&small_content(i), 0, &bytes)?;
                Ok(bytes.len() as u64)
            })
        });
        let mut total = 0;
        parallel::for_each(jobs, READERS, |len| total += len).await?;
        Ok(total)
    }
}

impl Answer {
    fn text(&self) -> String {
        let mut text = String::from(
            "A store 30 ms and 90 MB/s per connection away (one local socket); both sides run in this process.\n\n",
        );
        text.push_str(&format!(
            "{:<24} {:>10} {:>8} {:>9} {:>7}\n",
            "", "bytes", "MB/s", "requests", "CPU s"
        ));
        for step in &self.steps {
            text.push_str(&format!(
                "{:<24} {:>10} {:>8.0} {:>9} {:>7.2}\n",
                step.step,
                format!("{:#}", ByteSize(step.bytes)),
                step.mb_s,
                step.requests,
                step.cpu_s
            ));
        }
        text.push_str(&format!(
            "\nEvery one of {} bytes read was compared with what was written.\n",
            self.verified_bytes
        ));
        text.push_str(&self.log.text());
        text
    }
}
