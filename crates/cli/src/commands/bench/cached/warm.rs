//! Runs that find everything in the cache.

use std::io::{Read, Seek};
use std::sync::Arc;

use forebay_cache::{Cache, ReadOutcome, Wait};
use forebay_reader::{Freshness, Handle, OpenOptions};
use forebay_types::{Clock, ErrorKind, SystemClock};

use super::{Bench, Measured, measured};
use crate::commands::bench::cases::{CAT_READ, CROWD, TRY_READ, TRY_READS, WARM_READ};
use crate::commands::bench::prepare::{one_of_the_crowd, options};
use crate::commands::bench::sample::{Done, Spec, Stopwatch};
use crate::exit::{CliError, Result};
use crate::session::Session;

/// From opening a directory of many objects to the bytes of one of them.
pub(in crate::commands::bench) fn start(session: &Session, spec: &Spec, clock: &SystemClock) -> Result<Done> {
    let options = options(session, spec)?;
    let wanted = one_of_the_crowd(spec.objects * CROWD / 2);
    let mut bytes = vec![0; wanted.size as usize];
    let watch = Stopwatch::start(clock);
    let cache = Cache::open(options, Arc::new(SystemClock::new()))?;
    let found = cache.lookup(&wanted.origin, &wanted.key);
    let outcome = found.map(|found| cache.object(&found.id).read(0, &mut bytes, Wait::Yes));
    let took = watch.took();
    if outcome != Some(ReadOutcome::Done) {
        return Err(CliError::new(
            ErrorKind::Internal,
            format!(
                "an object of {} in the cache was not found: {outcome:?}",
                spec.objects * CROWD
            ),
        ));
    }
    Ok(Done {
        took,
        served: wanted.size,
        latencies: vec![took.wall],
        ..Done::default()
    })
}

impl Bench<'_> {
    pub(super) async fn warm(&self) -> Result<Measured> {
        let handle = self.open_cached().await?;
        let mut buffer = vec![0; WARM_READ];
        // Once for the page cache.
        read_all(&handle, &mut buffer).await?;
        let before = self.reads();
        let watch = Stopwatch::start(self.clock);
        let served = read_all(&handle, &mut buffer).await?;
        Ok(Measured {
            before,
            ..measured(&watch, served)
        })
    }

    /// What `cat` does with the very file that the cache has.
    pub(super) fn cat(&self) -> Result<Measured> {
        let lacking = |what: &str| CliError::new(ErrorKind::Internal, format!("the warm object {what}"));
        let cache = self.reader.cache().ok_or_else(|| lacking("has no cache"))?;
        let found = cache.lookup(&self.target.origin, self.target.path.as_ref());
        let found = found.ok_or_else(|| lacking("is not in the cache"))?;
        let file = cache.object(&found.id).hand_out();
        let file = file.ok_or_else(|| lacking("is not sealed"))?;
        let failed = |e: std::io::Error| CliError::local(cache.dir(), "read a file in", &e);
        let mut file = std::fs::File::from(file.file().try_clone_to_owned().map_err(failed)?);
        let mut buffer = vec![0; CAT_READ];
        let mut pass = || -> std::io::Result<u64> {
            file.rewind()?;
            let mut total = 0;
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(total),
                    len => total += len as u64,
                }
            }
        };
        pass().map_err(failed)?;
        let watch = Stopwatch::start(self.clock);
        let served = pass().map_err(failed)?;
        Ok(measured(&watch, served))
    }

    pub(super) async fn try_read(&self) -> Result<Measured> {
        let handle = self.open_cached().await?;
        read_all(&handle, &mut vec![0; WARM_READ]).await?;
        let mut random = fastrand::Rng::with_seed(7);
        let pages = (handle.size() / TRY_READ as u64).max(1);
        let mut buffer = vec![0; TRY_READ];
        let mut latencies = Vec::with_capacity(TRY_READS);
        let before = self.reads();
        let watch = Stopwatch::start(self.clock);
        let mut served = 0;
        for _ in 0..TRY_READS {
            let at = random.u64(0..pages) * TRY_READ as u64;
            let begun = self.clock.now();
            let read = handle.try_read_at(at, &mut buffer);
            latencies.push(self.clock.now() - begun);
            served += match read {
                Some(len) => len,
                None => handle.read_into(at, &mut buffer).await?,
            } as u64;
        }
        Ok(Measured {
            latencies,
            before,
            ..measured(&watch, served)
        })
    }

    /// Nobody is asked whether it is still the same: no request is measured here.
    async fn open_cached(&self) -> Result<Handle> {
        let options = OpenOptions::default().freshness(Freshness::Never);
        Ok(self.reader.open(self.target.clone(), options).await?)
    }

    fn reads(&self) -> (u64, u64) {
        let stats = self.reader.stats();
        (stats.reads, stats.hits)
    }
}

async fn read_all(handle: &Handle, buffer: &mut [u8]) -> Result<u64> {
    let mut at = 0;
    while at < handle.size() {
        at += handle.read_into(at, buffer).await? as u64;
    }
    Ok(at)
}
