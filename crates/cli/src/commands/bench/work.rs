//! One run of one case, by the engine or by the raw client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay_range::{Discard, FileSink, RangeEngineConfig, Target};
use forebay_source::{Location, Opener, Source, SourceOptions};
use forebay_testkit::raw::{RawClient, Sink};
use forebay_types::{ByteRange, Clock, ErrorKind, RangeSpec, SystemClock};
use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::cases::{Case, FIRST_BYTES, RANDOM_READ, RANDOM_READERS, RANDOM_READS_EACH};
use super::server::{BIG, BUCKET, small_key};
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::session::Session;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Who {
    Ours,
    Raw,
}

/// What is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// The lab at this endpoint.
    Lab(String),
    /// An object of the user's.
    Url(String),
}

/// Orders for one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) who: Who,
    pub(crate) case: Case,
    pub(crate) place: Place,
    pub(crate) size: u64,
    pub(crate) connections: usize,
    pub(crate) objects: usize,
    pub(crate) config: Option<PathBuf>,
}

/// What a run took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) served: u64,
    pub(crate) fetched: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) rss_mib: f64,
}

/// What a run returns before it is timed: bytes, requests and latencies.
struct Done {
    served: u64,
    fetched: u64,
    requests: u64,
    connections: u64,
    latencies: Vec<Duration>,
}

pub(crate) fn run(session: &Session, spec: &Spec) -> Result<Sample> {
    session.block_on(async {
        let clock = SystemClock::new();
        // What a listing or a mount would know beforehand is found out before the clock runs.
        let reader = match spec.who {
            Who::Ours => Some(Reader::open(session, spec).await?),
            Who::Raw => None,
        };
        let (started, cpu) = (clock.now(), cpu_time());
        let done = match (reader, &spec.place) {
            (Some(reader), _) => ours(session, spec, reader, &clock).await?,
            (None, Place::Lab(endpoint)) => raw(spec, endpoint).await?,
            (None, Place::Url(_)) => {
                return Err(CliError::new(
                    ErrorKind::Unsupported,
                    "the raw client reads from the lab only",
                ));
            }
        };
        let (seconds, cpu) = ((clock.now() - started).as_secs_f64(), cpu_time() - cpu);
        let mut latencies = done.latencies;
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len().checked_sub(1)? as f64 * share).round() as usize;
            Some(latencies[index].as_secs_f64() * 1e3)
        };
        Ok(Sample {
            seconds,
            cpu_seconds: cpu.as_secs_f64(),
            served: done.served,
            fetched: done.fetched,
            requests: done.requests,
            connections: done.connections,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            rss_mib: peak_rss_mib(),
        })
    })
}

/// What our side reads with.
struct Reader {
    opener: Opener,
    source: Source,
    config: Arc<RangeEngineConfig>,
    target: Target,
}

impl Reader {
    async fn open(session: &Session, spec: &Spec) -> Result<Self> {
        let (location, opener): (Location, Opener) = match &spec.place {
            Place::Url(url) => (url.parse()?, session.opener.clone()),
            Place::Lab(endpoint) => {
                let options = lab_options(session.settings.source_options(), endpoint);
                (format!("s3://{BUCKET}/{BIG}").parse()?, Opener::new(options))
            }
        };
        let source = opener.open(&location)?;
        let config = Arc::new(RangeEngineConfig {
            max_concurrent_ranges: spec.connections,
            ..session.settings.range_config(location.scheme(), &source.profile)
        });
        let mut target = Target::new(&source, config.clone());
        if matches!(spec.case, Case::SequentialKnown | Case::Random) {
            target = target.known(&head(&source).await?);
        }
        Ok(Self {
            opener,
            source,
            config,
            target,
        })
    }
}

/// Settings that reach the lab, whatever the user's credentials are.
pub(crate) fn lab_options(mut options: SourceOptions, endpoint: &str) -> SourceOptions {
    options.cloud.clear();
    for (name, value) in [
        ("aws_endpoint_url", endpoint),
        ("aws_allow_http", "true"),
        ("aws_region", "lab"),
        ("aws_access_key_id", "lab"),
        ("aws_secret_access_key", "lab"),
    ] {
        options.cloud.insert(name.to_owned(), value.to_owned());
    }
    options
}

async fn ours(session: &Session, spec: &Spec, reader: Reader, clock: &SystemClock) -> Result<Done> {
    let Reader {
        opener,
        source,
        config,
        target,
    } = reader;
    let whole = RangeSpec::Bounded(ByteRange::new(0, spec.size));
    let engine = &session.engine;
    let mut latencies = Vec::new();
    match spec.case {
        Case::Sequential | Case::Memory | Case::SequentialKnown => {
            let range = match spec.case {
                Case::Memory => RangeSpec::Bounded(ByteRange::new(0, spec.size * 10)),
                _ => whole,
            };
            let mut stream = engine.stream(target, range).await?;
            while let Some(chunk) = stream.next().await {
                chunk?;
            }
        }
        Case::AnyOrder => {
            engine.read_to(target, whole, Arc::new(Discard)).await?;
        }
        Case::File => {
            let file = scratch_file()?;
            engine
                .read_to(target, whole, Arc::new(FileSink::new(file)))
                .await?;
        }
        Case::FirstByte => {
            let begun = clock.now();
            let range = RangeSpec::Bounded(ByteRange::new(0, FIRST_BYTES.min(spec.size)));
            engine.read(target, range).await?;
            latencies.push(clock.now() - begun);
        }
        Case::Random => {
            let readers = random_ranges(spec.size)
                .chunks(RANDOM_READS_EACH)
                .map(<[_]>::to_vec)
                .collect::<Vec<_>>();
            let jobs = stream::iter(readers).map(|ranges| {
                let (target, engine, clock) = (target.clone(), engine.clone(), *clock);
                Ok(async move {
                    let mut took = Vec::new();
                    for range in ranges {
                        let begun = clock.now();
                        engine.read(target.clone(), RangeSpec::Bounded(range)).await?;
                        took.push(clock.now() - begun);
                    }
                    Ok(took)
                })
            });
            parallel::for_each(jobs, RANDOM_READERS, |took| latencies.extend(took)).await?;
        }
        Case::Many => {
            let listing = source.store.list(Some(&Path::from("small")));
            let jobs = listing.map(|meta| {
                let meta: ObjectMeta = meta.map_err(|e| CliError::store("small", &e))?;
                let target = Target::at(&source, meta.location.clone(), config.clone()).known(&meta);
                let (engine, clock) = (engine.clone(), *clock);
                Ok(async move {
                    let begun = clock.now();
                    engine
                        .read_to(target, RangeSpec::From(0), Arc::new(Discard))
                        .await?;
                    Ok(clock.now() - begun)
                })
            });
            parallel::for_each(jobs, spec.connections, |took| latencies.push(took)).await?;
        }
    }
    let stats = engine.stats();
    Ok(Done {
        served: stats.bytes_downloaded,
        fetched: stats.bytes_fetched,
        requests: stats.requests,
        connections: opener.transport().meter().connections(),
        latencies,
    })
}

async fn head(source: &Source) -> Result<ObjectMeta> {
    let options = object_store::GetOptions {
        head: true,
        ..Default::default()
    };
    let result = source.store.get_opts(&source.path, options).await;
    Ok(result
        .map_err(|e| CliError::store(source.path.as_ref(), &e))?
        .meta)
}

async fn raw(spec: &Spec, endpoint: &str) -> Result<Done> {
    let failed = |e: std::io::Error| CliError::new(ErrorKind::Unavailable, format!("the raw client: {e}"));
    let addr: SocketAddr = endpoint
        .trim_start_matches("http://")
        .parse()
        .map_err(|_| CliError::usage(format!("{endpoint} is no lab")))?;
    let client = RawClient::default();
    let part = RangeEngineConfig::default().chunk_size;
    let path = format!("/{BUCKET}/{BIG}");
    let report = match spec.case {
        Case::Sequential | Case::SequentialKnown | Case::AnyOrder => {
            client
                .fetch(addr, &path, spec.size, part, spec.connections, Sink::Discard)
                .await
        }
        Case::Memory => {
            client
                .fetch(addr, &path, spec.size * 10, part, spec.connections, Sink::Discard)
                .await
        }
        Case::File => {
            let sink = Sink::File(Arc::new(scratch_file()?));
            client
                .fetch(addr, &path, spec.size, part, spec.connections, sink)
                .await
        }
        Case::FirstByte => {
            let first = [ByteRange::new(0, FIRST_BYTES.min(spec.size))];
            client.fetch_ranges(addr, &path, &first, 1).await
        }
        Case::Random => {
            client
                .fetch_ranges(addr, &path, &random_ranges(spec.size), RANDOM_READERS)
                .await
        }
        Case::Many => {
            let paths: Vec<String> = (0..spec.objects)
                .map(|i| format!("/{BUCKET}/{}", small_key(i)))
                .collect();
            client.fetch_many(addr, &paths, spec.connections).await
        }
    }
    .map_err(failed)?;
    Ok(Done {
        served: report.bytes,
        fetched: report.bytes,
        requests: report.requests as u64,
        connections: match spec.case {
            Case::FirstByte => 1,
            Case::Random => RANDOM_READERS as u64,
            _ => spec.connections as u64,
        },
        latencies: report.latencies,
    })
}

/// The same places for both sides, in every run.
fn random_ranges(size: u64) -> Vec<ByteRange> {
    let mut random = fastrand::Rng::with_seed(7);
    let places = (size / RANDOM_READ).max(1);
    (0..RANDOM_READERS * RANDOM_READS_EACH)
        .map(|_| ByteRange::at(random.u64(0..places) * RANDOM_READ, RANDOM_READ).clamp_to(size))
        .collect()
}

/// A file without a name in the temporary directory: gone when the run ends.
fn scratch_file() -> Result<std::fs::File> {
    tempfile::tempfile().map_err(|e| CliError::local(&std::env::temp_dir(), "write a file in", &e))
}

/// CPU time of this process so far, all its threads.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The most memory this process ever had, in MiB. Zero where /proc does not tell.
fn peak_rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
