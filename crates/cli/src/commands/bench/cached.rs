//! Runs that go through the cache: into it here, out of it in `warm`.

mod warm;

pub(super) use warm::start;

use std::sync::Arc;

use forebay_cache::Cache;
use forebay_range::Target;
use forebay_reader::{OpenOptions, Reader};
use forebay_types::{ByteRange, Clock, ErrorKind, RangeSpec, SystemClock};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::cases::{
    CacheBefore, Case, FIRST_BYTES, KERNEL_READ, RANDOM_READ, RANDOM_READERS, RANDOM_READS_EACH, READERS,
    STRIDE,
};
use super::engine::random_ranges;
use super::prepare::options;
use super::sample::{CacheFigures, Done, Spec, Stopwatch, Took, Who};
use super::server::WIDE;
use super::work::Subject;
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::session::Session;

/// What a run has at hand.
struct Bench<'a> {
    spec: &'a Spec,
    clock: &'a SystemClock,
    reader: Reader,
    target: Target,
}

/// What a case measured.
#[derive(Default)]
struct Measured {
    took: Took,
    served: u64,
    latencies: Vec<std::time::Duration>,
    /// Reads, and hits among them, of the pass before, which does not count.
    before: (u64, u64),
}

pub(super) async fn run(
    session: &Session,
    spec: &Spec,
    subject: Subject,
    clock: &SystemClock,
) -> Result<Done> {
    let baseline = spec.who == Who::Baseline;
    let cache = match (spec.case, baseline) {
        (Case::Cold, true) => None,
        _ => Some(Cache::open(
            options(session, spec)?,
            Arc::new(SystemClock::new()),
        )?),
    };
    let mut reading = session.settings.reader_options(session.engine.budget().total());
    if spec.case == Case::Strided && baseline {
        reading.read_ahead.enabled = false;
    }
    let bench = Bench {
        spec,
        clock,
        reader: Reader::new(session.engine.clone(), cache, reading),
        target: subject.target.clone(),
    };
    let measured = match spec.case {
        Case::Cold => bench.cold().await?,
        Case::FirstByteCold => bench.first_byte().await?,
        Case::Warm if baseline => bench.cat()?,
        Case::Warm => bench.warm().await?,
        Case::TryRead => bench.try_read().await?,
        Case::RandomCold | Case::RandomUnaligned => bench.random().await?,
        Case::Strided => bench.strided().await?,
        Case::Readers => bench.readers(if baseline { 1 } else { READERS }).await?,
        Case::SequentialReadAt => bench.sequential_read_at().await?,
        Case::Handles => bench.handles(&subject).await?,
        _ => {
            let message = format!("case {} does not go through the cache", spec.case.name());
            return Err(CliError::new(ErrorKind::Internal, message));
        }
    };
    // What is still on its way to the disk is part of the work, but nobody waited for it.
    let rest = Stopwatch::start(clock);
    bench.reader.flush().await;
    let mut took = measured.took;
    took.cpu += rest.took().cpu;
    let stats = session.engine.stats();
    Ok(Done {
        took,
        served: measured.served,
        fetched: stats.bytes_fetched,
        requests: stats.requests,
        connections: Some(subject.opener.transport().meter().connections()),
        cache: bench.figures(&measured, stats.bytes_fetched),
        latencies: measured.latencies,
        ..Done::default()
    })
}

impl Bench<'_> {
    async fn cold(&self) -> Result<Measured> {
        let watch = Stopwatch::start(self.clock);
        let served = stream_all(&self.reader, self.target.clone()).await?;
        Ok(measured(&watch, served))
    }

    async fn first_byte(&self) -> Result<Measured> {
        let watch = Stopwatch::start(self.clock);
        let begun = self.clock.now();
        let handle = self
            .reader
            .open(self.target.clone(), OpenOptions::default())
            .await?;
        let served = handle.read_at(0, FIRST_BYTES as usize).await?.len() as u64;
        let latencies = vec![self.clock.now() - begun];
        Ok(Measured {
            latencies,
            ..measured(&watch, served)
        })
    }

    async fn random(&self) -> Result<Measured> {
        let size = self.size();
        let mut ranges = random_ranges(size);
        if self.spec.case == Case::RandomUnaligned {
            let mut random = fastrand::Rng::with_seed(11);
            let last = size.saturating_sub(RANDOM_READ).max(1);
            ranges.fill_with(|| ByteRange::at(random.u64(0..last) | 1, RANDOM_READ).clamp_to(size));
        }
        let readers: Vec<_> = ranges.chunks(RANDOM_READS_EACH).map(<[_]>::to_vec).collect();
        let watch = Stopwatch::start(self.clock);
        let jobs = stream::iter(readers).map(|ranges| {
            let (reader, target, clock) = (self.reader.clone(), self.target.clone(), *self.clock);
            Ok(async move {
                let handle = reader.open(target, OpenOptions::default()).await?;
                let (mut took, mut served) = (Vec::new(), 0);
                for range in ranges {
                    let begun = clock.now();
                    let bytes = handle.read_at(range.start(), range.len() as usize).await?;
                    took.push(clock.now() - begun);
                    served += bytes.len() as u64;
                }
                Ok((took, served))
            })
        });
        let (mut latencies, mut served) = (Vec::new(), 0);
        parallel::for_each(jobs, RANDOM_READERS, |(took, bytes)| {
            latencies.extend(took);
            served += bytes;
        })
        .await?;
        Ok(Measured {
            latencies,
            ..measured(&watch, served)
        })
    }

    async fn strided(&self) -> Result<Measured> {
        let watch = Stopwatch::start(self.clock);
        let handle = self
            .reader
            .open(self.target.clone(), OpenOptions::default())
            .await?;
        let (mut latencies, mut served, mut at) = (Vec::new(), 0, 0);
        while at < handle.size() {
            let begun = self.clock.now();
            served += handle.read_at(at, RANDOM_READ as usize).await?.len() as u64;
            latencies.push(self.clock.now() - begun);
            at += STRIDE;
        }
        Ok(Measured {
            latencies,
            ..measured(&watch, served)
        })
    }

    async fn readers(&self, count: usize) -> Result<Measured> {
        let watch = Stopwatch::start(self.clock);
        let jobs = stream::iter(0..count).map(|_| {
            let (reader, target) = (self.reader.clone(), self.target.clone());
            Ok(async move { stream_all(&reader, target).await })
        });
        let mut served = 0;
        parallel::for_each(jobs, count, |bytes| served += bytes).await?;
        Ok(measured(&watch, served))
    }

    async fn sequential_read_at(&self) -> Result<Measured> {
        let watch = Stopwatch::start(self.clock);
        let handle = self
            .reader
            .open(self.target.clone(), OpenOptions::default())
            .await?;
        let (mut latencies, mut at) = (Vec::new(), 0);
        while at < handle.size() {
            let begun = self.clock.now();
            at += handle.read_at(at, KERNEL_READ).await?.len() as u64;
            latencies.push(self.clock.now() - begun);
        }
        Ok(Measured {
            latencies,
            ..measured(&watch, at)
        })
    }

    async fn handles(&self, subject: &Subject) -> Result<Measured> {
        let watch = Stopwatch::start(self.clock);
        let listing = subject.source.store.list(Some(&Path::from(WIDE)));
        let metas: Vec<ObjectMeta> = listing
            .try_collect()
            .await
            .map_err(|e| CliError::store(WIDE, &e))?;
        let mut open = Vec::new();
        for meta in metas {
            let target =
                Target::at(&subject.source, meta.location.clone(), subject.config.clone()).known(&meta);
            open.push((self.reader.open(target, OpenOptions::default()).await?, 0));
        }
        let mut served = 0;
        loop {
            let before = served;
            for (handle, at) in &mut open {
                let bytes = handle.read_at(*at, KERNEL_READ).await?.len() as u64;
                *at += bytes;
                served += bytes;
            }
            if served == before {
                return Ok(measured(&watch, served));
            }
        }
    }

    fn size(&self) -> u64 {
        self.target
            .known
            .as_ref()
            .map_or(self.spec.size, |known| known.size)
    }

    /// To be asked when all handles are closed and all fills are written.
    fn figures(&self, measured: &Measured, fetched: u64) -> CacheFigures {
        let stats = self.reader.stats();
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        let ((reads, hits), ahead) = (measured.before, &stats.read_ahead);
        // What others put there, and how they read, is not of this run.
        let fills = self.spec.case.cache() == CacheBefore::Empty;
        CacheFigures {
            hit_rate: share(stats.hits - hits, stats.reads - reads).filter(|_| stats.cache.is_some()),
            drops: stats.cache.as_ref().map(|cache| cache.drops),
            kept: stats
                .cache
                .as_ref()
                .filter(|_| fills)
                .and_then(|cache| share(cache.bytes_stored, fetched)),
            starved: share(ahead.starved, ahead.reads).filter(|_| fills),
            wasted: share(ahead.wasted, ahead.asked_ahead).filter(|_| fills),
        }
    }
}

fn measured(watch: &Stopwatch<'_>, served: u64) -> Measured {
    Measured {
        took: watch.took(),
        served,
        ..Measured::default()
    }
}

async fn stream_all(reader: &Reader, target: Target) -> Result<u64> {
    let mut stream = reader.stream(target, RangeSpec::From(0)).await?;
    let mut served = 0;
    while let Some(chunk) = stream.next().await {
        served += chunk?.len() as u64;
    }
    Ok(served)
}
