//! The same reads by fio, with the settings that serve it best here: memory in huge pages, registered with the ring
//! together with the file, and a thread in place of a process. Its requests are submitted one by one like ours: in
//! batches the kernel joins neighbours to larger requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use forebay_types::{ErrorKind, printable};
use serde::Deserialize;
use tokio::process::Command;

use super::plan::Case;
use crate::commands::bench::sample::Sample;
use crate::exit::{CliError, Result};

/// One pass, or so many bytes at random places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FioJob {
    random: bool,
    block: u64,
    depth: usize,
    bytes: u64,
}

impl FioJob {
    pub(super) fn in_order(block: u64, depth: usize, bytes: u64) -> Self {
        Self {
            random: false,
            block,
            depth,
            bytes,
        }
    }

    pub(super) fn at_random(block: u64, depth: usize, bytes: u64) -> Self {
        Self {
            random: true,
            ..Self::in_order(block, depth, bytes)
        }
    }

    /// Memory that it pins.
    fn in_flight(&self) -> u64 {
        self.block * self.depth as u64
    }
}

/// How fio reads here.
pub(super) struct Fio {
    options: &'static [&'static str],
    version: String,
}

/// From the best to what any Linux has.
const WAYS: [&[&str]; 3] = [
    &["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"],
    &["--ioengine=io_uring"],
    &["--ioengine=libaio"],
];

impl Fio {
    /// Tries what works, with the memory of the largest job: pinned memory has its limits.
    pub(super) async fn find(path: &Path, cases: &[Case]) -> Option<Self> {
        let largest = cases
            .iter()
            .flat_map(Case::fio_jobs)
            .max_by_key(|job| job.in_flight())?;
        let once = FioJob::in_order(largest.block, largest.depth, largest.block);
        let version = Command::new("fio").arg("--version").output().await.ok()?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        for options in WAYS {
            let fio = Self {
                options,
                version: version.clone(),
            };
            match fio.run(&once, path, once.bytes).await {
                Ok(_) => return Some(fio),
                Err(error) => {
                    tracing::debug!(?options, why = error.message(), "fio does not read this way");
                }
            }
        }
        None
    }

    /// Which and how.
    pub(super) fn label(&self) -> String {
        let options: Vec<&str> = self
            .options
            .iter()
            .map(|option| option.trim_start_matches("--"))
            .collect();
        format!("{} {}", self.version, options.join(" "))
    }

    /// One run; places are of the first `size` bytes.
    ///
    /// # Cancel safety
    /// Dropping the future kills it.
    pub(super) async fn run(&self, job: &FioJob, path: &Path, size: u64) -> Result<Sample> {
        let failed = |why: String| CliError::new(ErrorKind::Unavailable, format!("fio: {}", printable(&why)));
        let mut command = Command::new("fio");
        // glibc takes huge pages for what is larger than one: an alignment of two makes all of fio's memory so. Without
        // it blocks of 128 KiB to 512 KiB come at half the speed (1.1 in place of 2.3 GB/s, eight at a time).
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        command.args(self.options).args([
            "--name=forebay",
            "--readonly",
            "--direct=1",
            "--thread=1",
            "--iomem_align=4M",
            "--percentile_list=50:99",
            "--output-format=json",
        ]);
        // A colon would part two names.
        let path = path.to_string_lossy().replace(':', "\\:");
        command.arg(format!("--filename={path}"));
        command.arg(format!("--bs={}", job.block));
        command.arg(format!("--iodepth={}", job.depth));
        if job.random {
            // Places may come twice, as ours do: no map of them has to be kept.
            command.args(["--rw=randread", "--norandommap=1"]);
            command.arg(format!("--size={size}"));
            command.arg(format!("--io_size={}", job.bytes));
        } else {
            command.arg("--rw=read").arg(format!("--size={}", job.bytes));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let child = child.map_err(|e| failed(e.to_string()))?;
        let output = child
            .wait_with_output()
            .await
            .map_err(|e| failed(e.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(said.lines().last().unwrap_or("it failed").to_owned()));
        }
        let mut sample = sample(&text).ok_or_else(|| failed("its answer cannot be understood".to_owned()))?;
        if !job.random {
            // Ours has none to put beside them: requests in order are not told apart.
            (sample.p50_ms, sample.p99_ms) = (None, None);
        }
        Ok(sample)
    }
}

#[derive(Deserialize)]
struct Answer {
    jobs: Vec<Ran>,
}

#[derive(Deserialize)]
struct Ran {
    read: Read,
    /// Percent of `job_runtime`, which is in ms.
    usr_cpu: f64,
    sys_cpu: f64,
    job_runtime: f64,
}

#[derive(Deserialize)]
struct Read {
    io_bytes: u64,
    bw_bytes: f64,
    total_ios: u64,
    clat_ns: Latency,
}

#[derive(Deserialize)]
struct Latency {
    #[serde(default)]
    percentile: BTreeMap<String, f64>,
}

fn sample(text: &str) -> Option<Sample> {
    // Notes may stand before it.
    let answer: Answer = serde_json::from_str(text.get(text.find('{')?..)?).ok()?;
    let ran = answer.jobs.into_iter().next()?;
    let at = |share: &str| {
        let (_, ns) = ran
            .read
            .clat_ns
            .percentile
            .iter()
            .find(|(name, _)| name.starts_with(share))?;
        Some(ns / 1e6)
    };
    Some(Sample {
        seconds: ran.read.io_bytes as f64 / ran.read.bw_bytes,
        cpu_seconds: (ran.usr_cpu + ran.sys_cpu) / 100.0 * ran.job_runtime / 1e3,
        served: ran.read.io_bytes,
        fetched: ran.read.io_bytes,
        requests: ran.read.total_ios,
        p50_ms: at("50."),
        p99_ms: at("99."),
        // It does not say.
        rss_mib: f64::NAN,
        ..Sample::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_answer_is_read() {
        let text = r#"fio: a note
{"jobs": [{"usr_cpu": 10.0, "sys_cpu": 15.0, "job_runtime": 2000, "read": {"io_bytes": 4096000,
 "bw_bytes": 2048000, "total_ios": 1000, "clat_ns": {"percentile": {"50.000000": 100000, "99.000000": 250000}}}}]}"#;
        let sample = sample(text).unwrap();
        assert_eq!((sample.seconds, sample.cpu_seconds), (2.0, 0.5));
        assert_eq!((sample.served, sample.requests), (4_096_000, 1000));
        assert_eq!((sample.p50_ms, sample.p99_ms), (Some(0.1), Some(0.25)));
        assert!(super::sample("no fio").is_none());
    }
}
