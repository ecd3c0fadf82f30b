//! One measured run: its orders, and what it took.

use std::path::PathBuf;
use std::time::Duration;

use forebay_types::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::cases::Case;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Who {
    /// What is measured.
    Ours,
    /// What it is compared with.
    Baseline,
    /// Nobody: the cache is filled for those who will.
    Prepare,
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
    /// Where the run has its cache, if it has one.
    pub(crate) cache_dir: Option<PathBuf>,
}

/// What a run took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) served: u64,
    pub(crate) fetched: u64,
    pub(crate) requests: u64,
    pub(crate) connections: Option<u64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) rss_mib: f64,
    pub(crate) hit_rate: Option<f64>,
    pub(crate) drops: Option<u64>,
    pub(crate) kept: Option<f64>,
    pub(crate) starved: Option<f64>,
    pub(crate) wasted: Option<f64>,
    /// Records of a log.
    pub(crate) records: Option<u64>,
    /// Objects written.
    pub(crate) puts: Option<u64>,
    /// What was promised of those for a run of this length and size.
    pub(crate) puts_allowed: Option<f64>,
    /// How often a film stood still.
    pub(crate) stalls: Option<u64>,
    /// For how long altogether.
    pub(crate) stalled_ms: Option<f64>,
    /// The most streams that a server had open at a time.
    pub(crate) streams: Option<u64>,
    /// What the server behind it all used of the CPUs.
    pub(crate) server_cpu_seconds: Option<f64>,
    /// The most memory that it ever had.
    pub(crate) server_rss_mib: Option<f64>,
}

/// What a run returns; the rest of its sample is looked up when it is over.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) took: Took,
    pub(super) served: u64,
    pub(super) fetched: u64,
    pub(super) requests: u64,
    pub(super) connections: Option<u64>,
    pub(super) latencies: Vec<Duration>,
    pub(super) cache: CacheFigures,
    pub(super) records: Option<u64>,
    pub(super) puts: Option<u64>,
    pub(super) puts_allowed: Option<f64>,
}

/// What only runs through the cache have.
#[derive(Debug, Default)]
pub(super) struct CacheFigures {
    pub(super) hit_rate: Option<f64>,
    pub(super) drops: Option<u64>,
    pub(super) kept: Option<f64>,
    pub(super) starved: Option<f64>,
    pub(super) wasted: Option<f64>,
}

/// Time on the wall and on the CPUs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// Measures from when it is made.
pub(super) struct Stopwatch<'a> {
    clock: &'a SystemClock,
    began: Duration,
    cpu: Duration,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(clock: &'a SystemClock) -> Self {
        Self {
            clock,
            began: clock.now(),
            cpu: cpu_time(),
        }
    }

    pub(super) fn took(&self) -> Took {
        Took {
            wall: self.clock.now() - self.began,
            cpu: cpu_time() - self.cpu,
        }
    }
}

impl Done {
    pub(super) fn sample(self) -> Sample {
        let mut latencies = self.latencies;
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len().checked_sub(1)? as f64 * share).round() as usize;
            Some(latencies[index].as_secs_f64() * 1e3)
        };
        Sample {
            seconds: self.took.wall.as_secs_f64(),
            cpu_seconds: self.took.cpu.as_secs_f64(),
            served: self.served,
            fetched: self.fetched,
            requests: self.requests,
            connections: self.connections,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            rss_mib: peak_rss_mib("self"),
            hit_rate: self.cache.hit_rate,
            drops: self.cache.drops,
            kept: self.cache.kept,
            starved: self.cache.starved,
            wasted: self.cache.wasted,
            records: self.records,
            puts: self.puts,
            puts_allowed: self.puts_allowed,
            ..Sample::default()
        }
    }
}

/// CPU time of this process so far, all its threads.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// CPU time of another process so far, all its threads; zero once it is gone.
pub(crate) fn cpu_time_of(pid: u32) -> Duration {
    let mut id = 0;
    // SAFETY: the call writes one number, which lives until it returns.
    if unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut id) } != 0 {
        return Duration::ZERO;
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes the struct, which lives until it returns.
    if unsafe { libc::clock_gettime(id, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The most memory a process ever had, in MiB: `self`, or one by its number. Zero where /proc does not tell.
pub(crate) fn peak_rss_mib(process: &str) -> f64 {
    memory_mib(process, "VmHWM:")
}

/// The memory of a process that is its own and no file's, in MiB.
pub(crate) fn anonymous_mib(process: &str) -> f64 {
    memory_mib(process, "RssAnon:")
}

fn memory_mib(process: &str, which: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
