//! What comes out: one object for machines, a table for people.

use std::fmt::Write;

use serde::Serialize;

use super::cases::{Baseline, Case, Measure};
use super::sample::Sample;
use crate::args::BenchReadArgs;

/// The whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    pub(crate) profile: String,
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
}

/// One line: ours beside a baseline of the same run. What was not measured is null.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) mb_s: Option<f64>,
    pub(crate) cpu_s_per_gib: Option<f64>,
    pub(crate) baseline: Option<String>,
    pub(crate) baseline_mb_s: Option<f64>,
    pub(crate) baseline_cpu_s_per_gib: Option<f64>,
    /// Ours over the baseline, higher is better; for times the baseline's over ours.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<f64>,
    pub(crate) requests: Option<u64>,
    pub(crate) baseline_requests: Option<u64>,
    pub(crate) connections: Option<u64>,
    pub(crate) fetched: Option<u64>,
    pub(crate) served: Option<u64>,
    pub(crate) fetched_per_served: Option<f64>,
    /// What docs/benchmarks.md promises of the figure before.
    pub(crate) fetched_per_served_goal: Option<f64>,
    /// Reads that found all their bytes here, among all reads.
    pub(crate) hit_rate: Option<f64>,
    /// Fills that the cache did not keep.
    pub(crate) drops: Option<u64>,
    /// Bytes in the cache afterwards, for each byte fetched.
    pub(crate) kept: Option<f64>,
    /// Reads that had to wait, among all reads.
    pub(crate) starved: Option<f64>,
    /// Bytes fetched ahead for nothing, among all that were fetched ahead.
    pub(crate) wasted: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) rss_mib: Option<f64>,
    pub(crate) baseline_rss_mib: Option<f64>,
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Where less was read, it is not the bytes that took the time.
const SOME_BYTES: u64 = 64 * 1024;

fn mb_s(sample: &Sample) -> f64 {
    if sample.served < SOME_BYTES {
        return f64::NAN;
    }
    sample.served as f64 / 1e6 / sample.seconds
}

fn cpu_per_gib(sample: &Sample) -> f64 {
    if sample.served < SOME_BYTES {
        return f64::NAN;
    }
    sample.cpu_seconds / (sample.served as f64 / f64::from(1 << 30))
}

impl Row {
    /// Ours beside what it is compared with; `theirs` is empty where that is no run of its own.
    pub(crate) fn compare(
        case: Case,
        args: &BenchReadArgs,
        baseline: Baseline,
        ours: &[Sample],
        theirs: &[Sample],
    ) -> Self {
        let of = |samples: &[Sample], figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        let maybe = |figure: fn(&Sample) -> Option<f64>| median(ours.iter().filter_map(figure));
        let p50 = |samples: &[Sample]| median(samples.iter().filter_map(|s| s.p50_ms));
        let last = ours.last();
        let mut row = Self {
            case: case.name().to_owned(),
            mb_s: of(ours, mb_s),
            cpu_s_per_gib: of(ours, cpu_per_gib),
            baseline_mb_s: of(theirs, mb_s),
            baseline_cpu_s_per_gib: of(theirs, cpu_per_gib),
            goal: case.goal(args.profile).filter(|_| args.lab),
            requests: last.map(|s| s.requests),
            baseline_requests: theirs.last().map(|s| s.requests),
            connections: last.map(|s| s.connections),
            fetched: last.map(|s| s.fetched),
            served: last.map(|s| s.served),
            fetched_per_served: last.map(|s| s.fetched as f64 / s.served.max(1) as f64),
            fetched_per_served_goal: case.most_fetched(),
            hit_rate: maybe(|s| s.hit_rate),
            drops: ours.iter().filter_map(|s| s.drops).max(),
            kept: maybe(|s| s.kept),
            starved: maybe(|s| s.starved),
            wasted: maybe(|s| s.wasted),
            p50_ms: p50(ours),
            p99_ms: median(ours.iter().filter_map(|s| s.p99_ms)),
            rss_mib: of(ours, |s| s.rss_mib),
            baseline_rss_mib: of(theirs, |s| s.rss_mib),
            ..Self::default()
        };
        let mut theirs_p50 = p50(theirs);
        row.baseline = match baseline {
            Baseline::Raw => Some("raw parallel client"),
            Baseline::Run(name) => Some(name),
            Baseline::Figure(name, figure) => {
                match case.measure() {
                    Measure::Throughput => row.baseline_mb_s = Some(figure),
                    Measure::Latency => theirs_p50 = Some(figure),
                    Measure::Memory => row.baseline_rss_mib = Some(figure),
                    Measure::Requests => row.baseline_requests = Some(figure as u64),
                }
                Some(name)
            }
            Baseline::None => None,
        }
        .filter(|_| !theirs.is_empty() || matches!(baseline, Baseline::Figure(..)))
        .map(str::to_owned);
        let count = |count: Option<u64>| count.map(|n| n as f64);
        // Of speed ours over theirs, of what is paid theirs over ours.
        row.ratio = match case.measure() {
            Measure::Throughput => row.mb_s.zip(row.baseline_mb_s),
            Measure::Latency => theirs_p50.zip(row.p50_ms),
            Measure::Requests => count(row.baseline_requests).zip(count(row.requests)),
            Measure::Memory => row.baseline_rss_mib.zip(row.rss_mib),
        }
        .map(|(over, under)| over / under);
        row
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str, profile: &str) -> Self {
        Self {
            bench,
            profile: profile.to_owned(),
            machine: machine(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("bench {} · {} · {}\n\n", self.bench, self.profile, self.machine);
        let _ = writeln!(
            text,
            "{:<22} {:>7} {:>9}   {:<22} {:>7} {:>9} {:>6} {:>5} {:>7} {:>6} {:>7} {:>6} {:>6} {:>6} {:>7} {:>6} {:>8} {:>8} {:>6}",
            "case",
            "MB/s",
            "CPU s/GiB",
            "baseline",
            "MB/s",
            "CPU s/GiB",
            "ratio",
            "goal",
            "reqs",
            "conns",
            "fetch/s",
            "hits %",
            "drops",
            "kept %",
            "starv %",
            "wast %",
            "p50 ms",
            "p99 ms",
            "MiB"
        );
        for row in &self.rows {
            let number =
                |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
            let count = |value: Option<u64>| value.map_or("-".to_owned(), |v| v.to_string());
            let percent = |share: Option<f64>| number(share.map(|share| share * 100.0), 1);
            // A read from memory takes microseconds.
            let time = |ms: Option<f64>| number(ms, if ms.is_some_and(|ms| ms < 0.1) { 5 } else { 2 });
            let _ = writeln!(
                text,
                "{:<22} {:>7} {:>9}   {:<22} {:>7} {:>9} {:>6} {:>5} {:>7} {:>6} {:>7} {:>6} {:>6} {:>6} {:>7} {:>6} {:>8} {:>8} {:>6}",
                row.case,
                number(row.mb_s, 0),
                number(row.cpu_s_per_gib, 3),
                row.baseline.as_deref().unwrap_or("-"),
                number(row.baseline_mb_s, 0),
                number(row.baseline_cpu_s_per_gib, 3),
                number(row.ratio, 3),
                number(row.goal, 2),
                count(row.requests),
                count(row.connections),
                number(row.fetched_per_served, 3),
                percent(row.hit_rate),
                count(row.drops),
                percent(row.kept),
                percent(row.starved),
                percent(row.wasted),
                time(row.p50_ms),
                time(row.p99_ms),
                number(row.rss_mib, 0),
            );
        }
        let above: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| {
                row.fetched_per_served
                    .zip(row.fetched_per_served_goal)
                    .is_some_and(|(is, most)| is > most)
            })
            .collect();
        for row in above {
            let (is, most) = (
                row.fetched_per_served.unwrap_or(0.0),
                row.fetched_per_served_goal.unwrap_or(0.0),
            );
            let _ = writeln!(
                text,
                "{}: {is:.3} bytes fetched for each served; the goal is {most}",
                row.case
            );
        }
        text.trim_end().to_owned()
    }
}

/// Enough to tell two machines apart.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .and_then(|l| l.split_once(": "));
    let memory = read("/proc/meminfo");
    let kib = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().strip_suffix(" kB"));
    let gib = kib
        .and_then(|k| k.trim().parse::<f64>().ok())
        .map_or(0.0, |k| k / f64::from(1 << 20));
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{}, {cpus} CPUs, {gib:.0} GiB, {} {}",
        model.map_or(std::env::consts::ARCH, |(_, name)| name),
        std::env::consts::OS,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
