//! A program that reads a film, as a process of its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use forebay_types::{ErrorKind, SystemClock};
use serde::{Deserialize, Serialize};

use super::super::job::in_threads;
use super::super::sample::{Done, Sample, Stopwatch};
use super::http::Film;
use super::media::Way;
use super::player::{Script, watch};
use crate::exit::{CliError, Result};

/// What it is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::commands::bench) enum Orders {
    /// Watch a film.
    Watch { way: Way, script: Script },
    /// Read so many parts of a file at once, each in order.
    Parts { file: PathBuf, parts: u64 },
    /// All of it in one stream, to nowhere.
    Fetch(Film),
}

/// As a mount's kernel asks for them.
const READ: u64 = 128 << 10;

/// One run, in this process.
pub(in crate::commands::bench) fn work(orders: &Orders) -> Result<Sample> {
    run(orders).map_err(|error| {
        let kind = ErrorKind::from(error.kind());
        CliError::new(kind, format!("cannot read the film: {error}"))
    })
}

fn run(orders: &Orders) -> io::Result<Sample> {
    let clock = SystemClock::new();
    let watch_of_run = Stopwatch::start(&clock);
    match orders {
        Orders::Watch { way, script } => {
            let watched = watch(way, script, &clock)?;
            let done = Done {
                took: watch_of_run.took(),
                served: watched.served,
                latencies: vec![watched.first_frame],
                ..Done::default()
            };
            let has_played = script.length > 0;
            Ok(Sample {
                stalls: has_played.then_some(watched.stalls),
                stalled_ms: has_played.then_some(watched.stalled.as_secs_f64() * 1e3),
                ..done.sample()
            })
        }
        Orders::Parts { file, parts } => {
            let file = File::open(file)?;
            let size = file.metadata()?.len();
            let each = size.div_ceil((*parts).max(1));
            let (served, latencies) = in_threads(*parts as usize, |part| {
                let mut at = (part as u64 * each).min(size);
                let end = (at + each).min(size);
                let mut buffer = vec![0; READ as usize];
                let mut served = 0;
                while at < end {
                    let len = READ.min(end - at);
                    file.read_exact_at(&mut buffer[..len as usize], at)?;
                    at += len;
                    served += len;
                }
                Ok((served, Vec::new()))
            })?;
            let done = Done {
                took: watch_of_run.took(),
                served,
                latencies,
                ..Done::default()
            };
            Ok(done.sample())
        }
        Orders::Fetch(film) => {
            let mut body = film.whole()?;
            let mut buffer = vec![0; 64 << 10];
            let mut served = 0;
            while served < film.size {
                served += body.read(&mut buffer)? as u64;
            }
            let done = Done {
                took: watch_of_run.took(),
                served,
                ..Done::default()
            };
            Ok(done.sample())
        }
    }
}
