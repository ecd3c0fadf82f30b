//! A program that writes, as a process of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_types::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::super::sample::{Done, Sample, Stopwatch};
use crate::exit::{CliError, Result};

/// What it is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::commands::bench) enum Orders {
    /// Write a file that is not there yet, from its open to its close.
    New { file: PathBuf, size: u64, block: usize },
    /// Write blocks of one again; the clock runs while it is open.
    Again {
        file: PathBuf,
        block: usize,
        places: Places,
    },
}

/// Where blocks are written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commands::bench) enum Places {
    /// One after the other through the middle half of the file, for a second or [`TIMES`] over.
    Middle,
    /// Anywhere, for as long.
    Random,
    /// The first of each four, once.
    Fourth,
}

/// For how long blocks are written.
const FOR: Duration = Duration::from_secs(1);

/// A small file is not written for as long as that.
const TIMES: u64 = 16;

/// One run, in this process.
pub(in crate::commands::bench) fn work(orders: &Orders) -> Result<Sample> {
    let (file, done) = match orders {
        Orders::New { file, size, block } => (file, new(file, *size, *block)),
        Orders::Again { file, block, places } => (file, again(file, *block, *places)),
    };
    let done = done.map_err(|e| CliError::local(file, "write", &e))?;
    Ok(done.sample())
}

/// Bytes that are neither zeros nor twice the same.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::new().fill(&mut bytes);
    bytes
}

fn new(path: &Path, size: u64, block: usize) -> io::Result<Done> {
    let (bytes, clock) = (noise(block), SystemClock::new());
    let watch = Stopwatch::start(&clock);
    let file = File::create_new(path)?;
    let mut at = 0;
    while at < size {
        let len = (size - at).min(block as u64);
        file.write_all_at(&bytes[..len as usize], at)?;
        at += len;
    }
    drop(file);
    Ok(Done {
        took: watch.took(),
        served: size,
        ..Done::default()
    })
}

fn again(path: &Path, block: usize, places: Places) -> io::Result<Done> {
    let (bytes, clock) = (noise(block), SystemClock::new());
    let file = File::options().write(true).open(path)?;
    let blocks = (file.metadata()?.len() / block as u64).max(1);
    let mut places = indices(places, blocks);
    let (mut served, mut latencies) = (0, Vec::new());
    let watch = Stopwatch::start(&clock);
    let mut begun = clock.now();
    let until = begun + FOR;
    while begun < until
        && let Some(index) = places.next()
    {
        file.write_all_at(&bytes, index * block as u64)?;
        served += block as u64;
        let now = clock.now();
        latencies.push(now - begun);
        begun = now;
    }
    Ok(Done {
        took: watch.took(),
        served,
        latencies,
        ..Done::default()
    })
}

/// Which of so many blocks are written.
fn indices(places: Places, blocks: u64) -> Box<dyn Iterator<Item = u64>> {
    match places {
        Places::Middle => {
            let (first, count) = (blocks / 4, (blocks / 2).max(1));
            Box::new((0..count * TIMES).map(move |index| first + index % count))
        }
        Places::Random => {
            let mut random = fastrand::Rng::with_seed(7);
            Box::new((0..blocks * TIMES).map(move |_| random.u64(0..blocks)))
        }
        Places::Fourth => Box::new((0..blocks).step_by(4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_they_are_said_to_be() {
        let first = |places, blocks, count| indices(places, blocks).take(count).collect::<Vec<_>>();
        assert_eq!(first(Places::Middle, 8, 6), [2, 3, 4, 5, 2, 3]);
        assert_eq!(first(Places::Middle, 1, 2), [0, 0]);
        assert_eq!(first(Places::Fourth, 9, 10), [0, 4, 8]);
        assert_eq!(first(Places::Middle, 8, usize::MAX).len(), 4 * 16);
        let anywhere = first(Places::Random, 3, usize::MAX);
        assert!((0..3).all(|block| anywhere.contains(&block)) && anywhere.iter().all(|block| *block < 3));
    }
}
