//! Whole files as a plain program reads them: open, fstat, pread, close, in threads.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_disk::{MAX_READ, Pool};
use forebay_types::{Clock, ErrorKind, SystemClock};
use rustix::fs::{Mode, OFlags};

use crate::commands::bench::sample::{Done, Stopwatch};
use crate::exit::{CliError, Result};

/// What offsets, lengths and addresses are multiples of: any disk takes it.
const UNIT: u64 = 4096;

/// Reads all files of `directory`, `at_a_time` threads.
pub(super) fn run(directory: &Path, at_a_time: usize, clock: &SystemClock) -> Result<Done> {
    let failed = |e: io::Error| CliError::local(directory, "read the files in", &e);
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    let paths = Arc::new(paths);
    // A slab each, in huge pages.
    let pool = Pool::new(at_a_time as u64 * MAX_READ, None);
    let pass = |most: usize| -> io::Result<Vec<(u64, Duration)>> {
        let threads: Vec<_> = (0..at_a_time)
            .map(|thread| {
                let (paths, pool, clock) = (paths.clone(), pool.clone(), *clock);
                std::thread::spawn(move || -> io::Result<Vec<(u64, Duration)>> {
                    let mut buffer = pool.take(MAX_READ as usize, UNIT as usize)?;
                    let mine = paths.iter().take(most).skip(thread).step_by(at_a_time);
                    mine.map(|path| {
                        let begun = clock.now();
                        let len = read(path, buffer.as_mut())?;
                        Ok((len, clock.now() - begun))
                    })
                    .collect()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(paths.len());
        for thread in threads {
            let read = thread
                .join()
                .map_err(|_| io::Error::other("a thread panicked"))??;
            all.extend(read);
        }
        Ok(all)
    };
    // As for ours: memory is there before the clock runs.
    pass(2 * at_a_time).map_err(failed)?;
    let watch = Stopwatch::start(clock);
    let read = pass(paths.len()).map_err(failed)?;
    let took = watch.took();
    let served: u64 = read.iter().map(|(len, _)| len).sum();
    if served == 0 {
        return Err(CliError::new(ErrorKind::Internal, "there was nothing to read"));
    }
    Ok(Done {
        took,
        served,
        fetched: served,
        requests: read.len() as u64,
        latencies: read.into_iter().map(|(_, took)| took).collect(),
        ..Done::default()
    })
}

fn read(path: &Path, buffer: &mut [u8]) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let file: File = rustix::fs::open(path, flags, Mode::empty())?.into();
    let size = file.metadata()?.len();
    let mut at = 0;
    while at < size {
        let want = (size - at).next_multiple_of(UNIT).min(buffer.len() as u64) as usize;
        match rustix::io::pread(&file, &mut buffer[..want], at)? {
            0 => break,
            got => at += got as u64,
        }
    }
    Ok(at)
}
