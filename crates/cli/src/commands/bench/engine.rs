//! Runs that go past the cache: the engine alone, and the raw client.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_range::{Discard, FileSink, RangeEngineConfig, Target};
use forebay_testkit::raw::{RawClient, Sink};
use forebay_types::{ByteRange, Clock, ErrorKind, RangeSpec, SystemClock};
use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::cases::{Case, FIRST_BYTES, RANDOM_READ, RANDOM_READERS, RANDOM_READS_EACH};
use super::sample::{Done, Place, Spec, Stopwatch};
use super::server::{BIG, BUCKET, small_key};
use super::work::Subject;
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::session::Session;

/// One run by the engine alone.
pub(super) async fn ours(
    session: &Session,
    spec: &Spec,
    subject: Subject,
    clock: &SystemClock,
) -> Result<Done> {
    let Subject {
        opener,
        source,
        config,
        target,
    } = subject;
    let watch = Stopwatch::start(clock);
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
            // An object of the user's may be smaller than was said.
            let size = target
                .known
                .as_ref()
                .map_or(spec.size, |known| known.size.min(spec.size));
            let readers = random_ranges(size)
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
        _ => return Err(foreign(spec)),
    }
    let stats = engine.stats();
    Ok(Done {
        took: watch.took(),
        served: stats.bytes_downloaded,
        fetched: stats.bytes_fetched,
        requests: stats.requests,
        connections: Some(opener.transport().meter().connections()),
        latencies,
        ..Done::default()
    })
}

/// A case that goes through the cache.
fn foreign(spec: &Spec) -> CliError {
    CliError::new(
        ErrorKind::Internal,
        format!("case {} is not the engine's", spec.case.name()),
    )
}

/// One run by the raw parallel client, which reads from the lab only.
pub(super) async fn raw(spec: &Spec, clock: &SystemClock) -> Result<Done> {
    let failed = |e: std::io::Error| CliError::new(ErrorKind::Unavailable, format!("the raw client: {e}"));
    let Place::Lab(endpoint) = &spec.place else {
        let message = "the raw client reads from the lab only";
        return Err(CliError::new(ErrorKind::Unsupported, message));
    };
    let addr: SocketAddr = endpoint
        .trim_start_matches("http://")
        .parse()
        .map_err(|_| CliError::usage(format!("{endpoint} is no lab")))?;
    let client = RawClient::default();
    let part = RangeEngineConfig::default().chunk_size;
    let path = format!("/{BUCKET}/{BIG}");
    let watch = Stopwatch::start(clock);
    let report = match spec.case {
        Case::Sequential | Case::SequentialKnown | Case::AnyOrder | Case::SequentialReadAt => {
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
        Case::FirstByte | Case::FirstByteCold => {
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
        _ => return Err(foreign(spec)),
    }
    .map_err(failed)?;
    Ok(Done {
        took: watch.took(),
        served: report.bytes,
        fetched: report.bytes,
        requests: report.requests as u64,
        connections: Some(match spec.case {
            Case::FirstByte | Case::FirstByteCold => 1,
            Case::Random => RANDOM_READERS as u64,
            _ => spec.connections as u64,
        }),
        latencies: report.latencies,
        ..Done::default()
    })
}

/// The same places for both sides, in every run.
pub(super) fn random_ranges(size: u64) -> Vec<ByteRange> {
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
