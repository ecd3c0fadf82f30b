//! A program that reads, as a process of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_types::{Clock, ErrorKind, SystemClock};
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};

use super::cases::RANDOM_READERS;
use super::engine::random_ranges;
use super::sample::{Done, Sample, Stopwatch};
use super::server::BUCKET;
use super::work::lab_options;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// What it is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Orders {
    /// Read a file. `size`: how much of it random ranges are in.
    Read { file: PathBuf, job: Job, size: u64 },
    /// List what lies below a prefix of the lab, page by page, and nothing else.
    List { endpoint: String, prefix: String },
}

/// A way of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Job {
    /// All of it in order.
    Sequential { block: usize },
    /// All of it in order, through a mapping.
    Map,
    /// Blocks at random places, for a second.
    Random { block: usize, threads: usize },
    /// The ranges of `bench read`'s random case, by as many threads.
    RandomRanges,
    /// The first bytes that are read of it: open and read, after a look at it.
    First { bytes: usize, at: u64 },
}

/// For how long random blocks are read.
const RANDOM_FOR: Duration = Duration::from_secs(1);

/// One run, in this process.
pub(super) fn work(session: &Session, orders: &Orders) -> Result<Sample> {
    let done = match orders {
        Orders::List { endpoint, prefix } => session.block_on(list(session, endpoint, prefix))?,
        Orders::Read { file, job, size } => {
            read(file, *job, *size).map_err(|e| CliError::local(file, "read", &e))?
        }
    };
    Ok(done.sample())
}

fn read(path: &Path, job: Job, size: u64) -> io::Result<Done> {
    let clock = SystemClock::new();
    if let Job::First { .. } = job {
        std::fs::metadata(path)?;
    }
    let watch = Stopwatch::start(&clock);
    let file = File::open(path)?;
    let (served, latencies) = perform(&file, job, size, &clock)?;
    let took = watch.took();
    Ok(Done {
        took,
        served,
        latencies: match job {
            Job::First { .. } => vec![took.wall],
            _ => latencies,
        },
        ..Done::default()
    })
}

/// Reads; how many bytes, and how long each read took.
fn perform(file: &File, job: Job, size: u64, clock: &SystemClock) -> io::Result<(u64, Vec<Duration>)> {
    match job {
        Job::Sequential { block } => {
            let mut buffer = vec![1; block];
            let mut at = 0;
            loop {
                match rustix::io::pread(file, &mut buffer, at)? {
                    0 => return Ok((at, Vec::new())),
                    len => at += len as u64,
                }
            }
        }
        Job::Map => map(file).map(|len| (len, Vec::new())),
        Job::First { bytes, at } => {
            let mut buffer = vec![1; bytes];
            let len = rustix::io::pread(file, &mut buffer, at)?;
            Ok((len as u64, Vec::new()))
        }
        Job::Random { block, threads } => {
            let blocks = (file.metadata()?.len() / block as u64).max(1);
            let until = clock.now() + RANDOM_FOR;
            in_threads(threads, |thread| {
                let mut random = fastrand::Rng::with_seed(thread as u64);
                let mut buffer = vec![1; block];
                let (mut served, mut latencies) = (0, Vec::new());
                let mut begun = clock.now();
                while begun < until {
                    let at = random.u64(0..blocks) * block as u64;
                    served += rustix::io::pread(file, &mut buffer, at)? as u64;
                    let now = clock.now();
                    latencies.push(now - begun);
                    begun = now;
                }
                Ok((served, latencies))
            })
        }
        Job::RandomRanges => {
            let ranges = random_ranges(size);
            let each = ranges.len().div_ceil(RANDOM_READERS);
            in_threads(RANDOM_READERS, |thread| {
                let (mut served, mut latencies, mut buffer) = (0, Vec::new(), Vec::new());
                for range in ranges.iter().skip(thread * each).take(each) {
                    buffer.resize(range.len() as usize, 1);
                    let begun = clock.now();
                    std::os::unix::fs::FileExt::read_exact_at(file, &mut buffer, range.start())?;
                    latencies.push(clock.now() - begun);
                    served += range.len();
                }
                Ok((served, latencies))
            })
        }
    }
}

/// Bytes read, and how long each read took.
type Read = (u64, Vec<Duration>);

pub(super) fn in_threads(
    threads: usize,
    each: impl Fn(usize) -> io::Result<Read> + Sync,
) -> io::Result<Read> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let each = &each;
                scope.spawn(move || each(thread))
            })
            .collect();
        let mut all = (0, Vec::new());
        for thread in threads {
            let (served, latencies) = thread
                .join()
                .map_err(|_| io::Error::other("a thread panicked"))??;
            all.0 += served;
            all.1.extend(latencies);
        }
        Ok(all)
    })
}

/// Adds up all of a file through a mapping.
fn map(file: &File) -> io::Result<u64> {
    let len = file.metadata()?.len() as usize;
    if len == 0 {
        return Ok(0);
    }
    // SAFETY: a new mapping of `len` bytes, read only, at an address of the kernel's choice.
    let address = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            len,
            rustix::mm::ProtFlags::READ,
            rustix::mm::MapFlags::PRIVATE,
            file,
            0,
        )
    }?;
    // SAFETY: the mapping has `len` bytes and stays until it is taken away below; u64 is aligned in it, as a page is.
    let words = unsafe { std::slice::from_raw_parts(address.cast::<u64>(), len / 8) };
    std::hint::black_box(words.iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));
    // SAFETY: it was mapped above, and nothing refers to it any more.
    unsafe { rustix::mm::munmap(address, len) }?;
    Ok(len as u64)
}

async fn list(session: &Session, endpoint: &str, prefix: &str) -> Result<Done> {
    use futures::TryStreamExt;

    let opener = forebay_source::Opener::new(lab_options(session.settings.source_options(), endpoint));
    let source = opener.open(&format!("s3://{BUCKET}/").parse()?)?;
    let clock = SystemClock::new();
    let watch = Stopwatch::start(&clock);
    let prefix = Key::from(prefix);
    let found = source
        .store
        .list(Some(&prefix))
        .try_fold(0u64, |count, _| async move { Ok(count + 1) });
    let found = found.await.map_err(|e| CliError::store(prefix.as_ref(), &e))?;
    if found == 0 {
        return Err(CliError::new(ErrorKind::Internal, "there was nothing to list"));
    }
    let took = watch.took();
    Ok(Done {
        took,
        requests: opener.transport().meter().requests(),
        latencies: vec![took.wall],
        ..Done::default()
    })
}
