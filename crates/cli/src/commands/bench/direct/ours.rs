//! Runs of ours: the range engine over `direct://` and `file://`, and the store alone.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use forebay_range::{Discard, FileSystemConfig, Known, PartOut, RangeEngineConfig, Target};
use forebay_source::{Location, Scheme, Source};
use forebay_types::{ByteRange, Clock, Intent, RangeSpec, SystemClock};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::job::{By, Cut, Job, Spec, Through};
use crate::commands::bench::sample::{Done, Stopwatch};
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::session::Session;

/// Bytes that are read before the clock runs, where they are: all the memory that may be in flight.
const WARM_UP: u64 = 256 << 20;
/// The same for small blocks, which need less of it and more time.
const SMALL_WARM_UP: u64 = 8 << 20;
/// Random reads of each reader before the clock runs.
const WARM_UP_READS: usize = 32;

pub(super) async fn run(session: &Session, spec: &Spec, clock: &SystemClock) -> Result<Done> {
    let path = spec.place.clone();
    let location = match spec.job {
        Job::Stream {
            through: Through::PageCache,
            ..
        } => Location::File(path),
        _ => Location::Direct(path),
    };
    let run = Run {
        session,
        clock,
        scheme: location.scheme(),
        source: session.opener.open(&location)?,
    };
    match spec.job {
        Job::Stream {
            bytes, cut, warmed, ..
        } => run.stream(bytes, cut, warmed).await,
        Job::Random {
            block, depth, reads, ..
        } => run.random(block, depth, reads).await,
        Job::Files { at_a_time, by } => run.files(at_a_time, by).await,
    }
}

/// What a run has at hand.
struct Run<'a> {
    session: &'a Session,
    clock: &'a SystemClock,
    scheme: Scheme,
    source: Source,
}

/// Bytes from the disk and requests to it.
#[derive(Clone, Copy, Default)]
struct Asked {
    bytes: u64,
    requests: u64,
}

impl Run<'_> {
    async fn stream(&self, bytes: Option<u64>, cut: Cut, warmed: bool) -> Result<Done> {
        let target = Target::new(&self.source, self.config(cut));
        let beginning = |bytes| RangeSpec::Bounded(ByteRange::new(0, bytes));
        if warmed {
            let warm_up = match cut {
                Cut::Blocks { block, .. } if block < 128 << 10 => SMALL_WARM_UP,
                _ => WARM_UP,
            };
            let warm_up = beginning(warm_up.min(bytes.unwrap_or(u64::MAX)));
            self.drop_all(target.clone(), warm_up).await?;
        }
        let before = self.asked()?;
        let watch = Stopwatch::start(self.clock);
        let served = self
            .drop_all(target, bytes.map_or(RangeSpec::From(0), beginning))
            .await?;
        self.done(&watch, served, Vec::new(), before)
    }

    async fn drop_all(&self, target: Target, range: RangeSpec) -> Result<u64> {
        let opened = self.session.engine.open(target, range).await?;
        let len = opened.range().len();
        opened.into_sink(Arc::new(Discard)).await?;
        Ok(len)
    }

    async fn random(&self, block: u64, depth: usize, reads: usize) -> Result<Done> {
        let target = Target::new(&self.source, self.config(Cut::Blocks { block, depth }));
        let meta = self.source.store.head(&self.source.path).await;
        let meta = meta.map_err(|e| CliError::store(self.source.path.as_ref(), &e))?;
        let fetch = self.session.engine.fetch(target, Known::of(&meta));
        let places = (meta.size / block).max(1);
        let readers = |reads: usize, seed: u64| {
            let (fetch, clock) = (fetch.clone(), *self.clock);
            stream::iter(0..depth as u64).map(move |reader| {
                let fetch = fetch.clone();
                Ok(async move {
                    let mut random = fastrand::Rng::with_seed(seed + reader);
                    let mut took = Vec::with_capacity(reads);
                    for _ in 0..reads {
                        let range = ByteRange::at(random.u64(0..places) * block, block);
                        let begun = clock.now();
                        fetch.part(range, Intent::Demand, Nowhere).await?;
                        took.push(clock.now() - begun);
                    }
                    Ok(took)
                })
            })
        };
        parallel::for_each(readers(WARM_UP_READS, 1 << 20), depth, |_| ()).await?;
        let before = self.asked()?;
        let mut latencies = Vec::with_capacity(reads);
        let watch = Stopwatch::start(self.clock);
        parallel::for_each(readers(reads / depth, 7), depth, |took| latencies.extend(took)).await?;
        let served = latencies.len() as u64 * block;
        self.done(&watch, served, latencies, before)
    }

    async fn files(&self, at_a_time: usize, by: By) -> Result<Done> {
        let listing = self.source.store.list(Some(&self.source.path));
        let metas: Vec<ObjectMeta> = listing
            .try_collect()
            .await
            .map_err(|e| CliError::store("the files", &e))?;
        let paths: Arc<Vec<Path>> = Arc::new(metas.into_iter().map(|meta| meta.location).collect());
        let config = self.config(match by {
            By::Engine(on) => Cut::Engine(on),
            By::Store | By::Plain => Cut::Settings,
        });
        let readers = |most: usize| {
            let (paths, source, config) = (paths.clone(), self.source.clone(), config.clone());
            let (engine, clock) = (self.session.engine.clone(), *self.clock);
            stream::iter(0..at_a_time).map(move |reader| {
                let (paths, source, config) = (paths.clone(), source.clone(), config.clone());
                let engine = engine.clone();
                Ok(async move {
                    let (mut took, mut served) = (Vec::new(), 0);
                    for path in paths.iter().take(most).skip(reader).step_by(at_a_time) {
                        let begun = clock.now();
                        served += match by {
                            By::Engine(_) => {
                                let target = Target::at(&source, path.clone(), config.clone());
                                let opened = engine.open(target, RangeSpec::From(0)).await?;
                                let len = opened.range().len();
                                opened.into_sink(Arc::new(Discard)).await?;
                                len
                            }
                            By::Store | By::Plain => {
                                let got = source.store.get(path).await;
                                let failed = |e| CliError::store(path.as_ref(), &e);
                                let bytes = got.map_err(failed)?.bytes().await.map_err(failed)?;
                                bytes.len() as u64
                            }
                        };
                        took.push(clock.now() - begun);
                    }
                    Ok((took, served))
                })
            })
        };
        parallel::for_each(readers(2 * at_a_time), at_a_time, |_| ()).await?;
        let before = self.asked()?;
        let (mut latencies, mut served) = (Vec::with_capacity(paths.len()), 0);
        let watch = Stopwatch::start(self.clock);
        parallel::for_each(readers(paths.len()), at_a_time, |(took, bytes)| {
            latencies.extend(took);
            served += bytes;
        })
        .await?;
        self.done(&watch, served, latencies, before)
    }

    fn config(&self, cut: Cut) -> Arc<RangeEngineConfig> {
        let settings = &self.session.settings;
        let usual = match self.scheme {
            Scheme::Direct => settings.direct(),
            _ => settings.files(),
        };
        Arc::new(match cut {
            Cut::Settings => usual.effective(),
            Cut::Engine(enable_range_engine) => FileSystemConfig {
                enable_range_engine,
                ..usual
            }
            .effective(),
            Cut::Blocks { block, depth } => RangeEngineConfig {
                chunk_size: block,
                max_concurrent_ranges: depth,
                min_split_size: 0,
                ..usual.range_engine
            },
        })
    }

    /// So far: past the page cache the disk knows, else the range engine.
    fn asked(&self) -> Result<Asked> {
        if self.scheme == Scheme::Direct {
            let stats = self.session.opener.disk()?.stats();
            return Ok(Asked {
                bytes: stats.direct_bytes + stats.buffered_bytes,
                requests: stats.reads,
            });
        }
        let stats = self.session.engine.stats();
        Ok(Asked {
            bytes: stats.bytes_fetched,
            requests: stats.requests,
        })
    }

    fn done(
        &self,
        watch: &Stopwatch<'_>,
        served: u64,
        latencies: Vec<std::time::Duration>,
        before: Asked,
    ) -> Result<Done> {
        let took = watch.took();
        let asked = self.asked()?;
        Ok(Done {
            took,
            served,
            fetched: asked.bytes - before.bytes,
            requests: asked.requests - before.requests,
            latencies,
            ..Done::default()
        })
    }
}

/// Where random blocks go.
struct Nowhere;

impl PartOut for Nowhere {
    fn chunk(&mut self, _offset: u64, _bytes: Bytes) -> io::Result<()> {
        Ok(())
    }
}
