//! What comes out: one object for machines, a table for people.

use std::fmt::Write;

use serde::Serialize;

use super::cases::{Baseline, Measure, Terms};
use super::sample::Sample;

/// The whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    pub(crate) profile: String,
    pub(crate) machine: String,
    pub(crate) rows: Vec<Row>,
    /// What fits no row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// One line: ours beside a baseline of the same run. What was not measured is null.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) mb_s: Option<f64>,
    pub(crate) cpu_s_per_gib: Option<f64>,
    pub(crate) records_s: Option<f64>,
    pub(crate) baseline: Option<String>,
    pub(crate) baseline_mb_s: Option<f64>,
    pub(crate) baseline_cpu_s_per_gib: Option<f64>,
    pub(crate) baseline_records_s: Option<f64>,
    /// Ours over the baseline, higher is better; for times the baseline's over ours.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<f64>,
    pub(crate) requests: Option<u64>,
    pub(crate) baseline_requests: Option<u64>,
    /// Objects written, and how many were allowed.
    pub(crate) puts: Option<u64>,
    pub(crate) baseline_puts: Option<f64>,
    pub(crate) connections: Option<u64>,
    pub(crate) fetched: Option<u64>,
    pub(crate) served: Option<u64>,
    pub(crate) fetched_per_served: Option<f64>,
    /// What docs/benchmarks.md promises of the figure before.
    pub(crate) fetched_per_served_goal: Option<f64>,
    /// Reads that found all their bytes here, among all reads.
    pub(crate) hit_rate: Option<f64>,
    pub(crate) baseline_hit_rate: Option<f64>,
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
    pub(crate) baseline_p50_ms: Option<f64>,
    pub(crate) baseline_p99_ms: Option<f64>,
    pub(crate) rss_mib: Option<f64>,
    pub(crate) baseline_rss_mib: Option<f64>,
    /// How often a film stood still, and for how long: of the worst run.
    pub(crate) stalls: Option<u64>,
    pub(crate) stalls_goal: Option<u64>,
    pub(crate) stalled_ms: Option<f64>,
    pub(crate) baseline_stalls: Option<u64>,
    pub(crate) baseline_stalled_ms: Option<f64>,
    /// The most streams that the server had open at a time.
    pub(crate) streams: Option<u64>,
    pub(crate) streams_goal: Option<u64>,
    pub(crate) baseline_streams: Option<u64>,
    /// What the server behind both used of the CPUs, and the most memory it ever had.
    pub(crate) server_cpu_s_per_gib: Option<f64>,
    pub(crate) baseline_server_cpu_s_per_gib: Option<f64>,
    pub(crate) server_rss_mib: Option<f64>,
    pub(crate) baseline_server_rss_mib: Option<f64>,
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
    per_gib(sample, sample.cpu_seconds)
}

fn server_cpu_per_gib(sample: &Sample) -> Option<f64> {
    sample.server_cpu_seconds.map(|seconds| per_gib(sample, seconds))
}

fn per_gib(sample: &Sample, seconds: f64) -> f64 {
    if sample.served < SOME_BYTES {
        return f64::NAN;
    }
    seconds / (sample.served as f64 / f64::from(1 << 30))
}

fn records_s(sample: &Sample) -> Option<f64> {
    sample.records.map(|records| records as f64 / sample.seconds)
}

impl Row {
    /// Ours beside what it is compared with; `theirs` is empty where that is no run of its own.
    pub(crate) fn compare(terms: &Terms, ours: &[Sample], theirs: &[Sample]) -> Self {
        let of = |samples: &[Sample], figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        let maybe = |samples: &[Sample], figure: fn(&Sample) -> Option<f64>| {
            median(samples.iter().filter_map(figure))
        };
        let most =
            |samples: &[Sample], figure: fn(&Sample) -> Option<u64>| samples.iter().filter_map(figure).max();
        let longest = |samples: &[Sample]| {
            let stalled = samples.iter().filter_map(|s| s.stalled_ms);
            stalled.reduce(f64::max)
        };
        let last = ours.last();
        let mut row = Self {
            case: terms.case.clone(),
            mb_s: of(ours, mb_s),
            cpu_s_per_gib: of(ours, cpu_per_gib),
            records_s: maybe(ours, records_s),
            baseline_mb_s: of(theirs, mb_s),
            baseline_cpu_s_per_gib: of(theirs, cpu_per_gib),
            baseline_records_s: maybe(theirs, records_s),
            goal: terms.goal,
            requests: last.map(|s| s.requests),
            baseline_requests: theirs.last().map(|s| s.requests),
            puts: last.and_then(|s| s.puts),
            connections: last.and_then(|s| s.connections),
            fetched: last.map(|s| s.fetched),
            served: last.map(|s| s.served),
            fetched_per_served: last.map(|s| s.fetched as f64 / s.served.max(1) as f64),
            fetched_per_served_goal: terms.most_fetched,
            hit_rate: maybe(ours, |s| s.hit_rate),
            drops: ours.iter().filter_map(|s| s.drops).max(),
            kept: maybe(ours, |s| s.kept),
            starved: maybe(ours, |s| s.starved),
            wasted: maybe(ours, |s| s.wasted),
            p50_ms: maybe(ours, |s| s.p50_ms),
            p99_ms: maybe(ours, |s| s.p99_ms),
            baseline_p50_ms: maybe(theirs, |s| s.p50_ms),
            baseline_p99_ms: maybe(theirs, |s| s.p99_ms),
            rss_mib: of(ours, |s| s.rss_mib),
            baseline_rss_mib: of(theirs, |s| s.rss_mib),
            stalls: most(ours, |s| s.stalls),
            stalled_ms: longest(ours),
            baseline_stalls: most(theirs, |s| s.stalls),
            baseline_stalled_ms: longest(theirs),
            streams: most(ours, |s| s.streams),
            baseline_streams: most(theirs, |s| s.streams),
            server_cpu_s_per_gib: maybe(ours, server_cpu_per_gib),
            baseline_server_cpu_s_per_gib: maybe(theirs, server_cpu_per_gib),
            server_rss_mib: maybe(ours, |s| s.server_rss_mib),
            baseline_server_rss_mib: maybe(theirs, |s| s.server_rss_mib),
            ..Self::default()
        };
        row.baseline = match terms.baseline {
            Baseline::Raw => Some("raw parallel client"),
            Baseline::Run(name) => Some(name),
            Baseline::Figure(name, figure) => {
                match terms.measure {
                    Measure::Throughput => row.baseline_mb_s = Some(figure),
                    Measure::Latency => row.baseline_p50_ms = Some(figure),
                    Measure::Memory => row.baseline_rss_mib = Some(figure),
                    Measure::Requests => row.baseline_requests = Some(figure as u64),
                    Measure::Records => row.baseline_records_s = Some(figure),
                    Measure::Tail => row.baseline_p99_ms = Some(figure),
                    Measure::Hits => row.baseline_hit_rate = Some(figure),
                    Measure::Stalls => row.baseline_stalls = Some(figure as u64),
                    // What is allowed follows from how long the run was.
                    Measure::Puts => row.baseline_puts = last.and_then(|s| s.puts_allowed),
                }
                Some(name)
            }
            Baseline::None => None,
        }
        .filter(|_| !theirs.is_empty() || matches!(terms.baseline, Baseline::Figure(..)))
        .map(str::to_owned);
        let count = |count: Option<u64>| count.map(|n| n as f64);
        // Of speed ours over theirs, of what is paid theirs over ours.
        row.ratio = match terms.measure {
            Measure::Throughput => row.mb_s.zip(row.baseline_mb_s),
            Measure::Latency => row.baseline_p50_ms.zip(row.p50_ms),
            Measure::Requests => count(row.baseline_requests).zip(count(row.requests)),
            Measure::Memory => row.baseline_rss_mib.zip(row.rss_mib),
            Measure::Records => row.records_s.zip(row.baseline_records_s),
            Measure::Tail => row.baseline_p99_ms.zip(row.p99_ms),
            Measure::Hits => row.hit_rate.zip(row.baseline_hit_rate),
            Measure::Puts => row.baseline_puts.zip(count(row.puts)),
            // None is what is wanted, and nothing is so many times that.
            Measure::Stalls => None,
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
            notes: Vec::new(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("bench {} · {} · {}\n\n", self.bench, self.profile, self.machine);
        text.push_str(&table(&self.rows));
        for row in &self.rows {
            if let Some((is, most)) = row.fetched_per_served.zip(row.fetched_per_served_goal)
                && is > most
            {
                let _ = writeln!(
                    text,
                    "{}: {is:.3} bytes fetched for each served; the goal is {most}",
                    row.case
                );
            }
            for (what, is, most) in [
                ("stalls", row.stalls, row.stalls_goal),
                ("streams at a time", row.streams, row.streams_goal),
            ] {
                if let Some((is, most)) = is.zip(most)
                    && is > most
                {
                    let _ = writeln!(text, "{}: {is} {what}; the goal is {most}", row.case);
                }
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text.trim_end().to_owned()
    }
}

/// A heading, and how a row shows what stands below it.
type Column = (&'static str, fn(&Row) -> Option<String>);

const COLUMNS: [Column; 33] = [
    ("case", |row| Some(row.case.clone())),
    ("MB/s", |row| number(row.mb_s, 0)),
    ("CPU s/GiB", |row| number(row.cpu_s_per_gib, 3)),
    ("M rec/s", |row| number(row.records_s.map(|n| n / 1e6), 2)),
    ("baseline", |row| row.baseline.clone()),
    ("MB/s", |row| number(row.baseline_mb_s, 0)),
    ("CPU s/GiB", |row| number(row.baseline_cpu_s_per_gib, 3)),
    ("M rec/s", |row| {
        number(row.baseline_records_s.map(|n| n / 1e6), 2)
    }),
    ("ratio", |row| number(row.ratio, 3)),
    ("goal", |row| number(row.goal, 2)),
    ("reqs", |row| count(row.requests)),
    ("puts", |row| count(row.puts)),
    ("conns", |row| count(row.connections)),
    ("fetch/s", |row| number(row.fetched_per_served, 3)),
    ("hits %", |row| percent(row.hit_rate)),
    ("drops", |row| count(row.drops)),
    ("kept %", |row| percent(row.kept)),
    ("starv %", |row| percent(row.starved)),
    ("wast %", |row| percent(row.wasted)),
    ("p50 ms", |row| time(row.p50_ms)),
    ("p99 ms", |row| time(row.p99_ms)),
    ("its p50", |row| time(row.baseline_p50_ms)),
    ("its p99", |row| time(row.baseline_p99_ms)),
    ("MiB", |row| number(row.rss_mib, 0)),
    ("stalls", |row| count(row.stalls)),
    ("stall s", |row| seconds(row.stalled_ms)),
    ("its", |row| count(row.baseline_stalls)),
    ("stall s", |row| seconds(row.baseline_stalled_ms)),
    ("streams", |row| count(row.streams)),
    ("its", |row| count(row.baseline_streams)),
    ("srv s/GiB", |row| number(row.server_cpu_s_per_gib, 3)),
    ("its", |row| number(row.baseline_server_cpu_s_per_gib, 3)),
    ("srv MiB", |row| number(row.server_rss_mib, 0)),
];

/// Columns that have at least one value, as wide as their widest.
fn table(rows: &[Row]) -> String {
    let mut lines = vec![String::new(); rows.len() + 1];
    for (heading, show) in COLUMNS {
        let cells: Vec<_> = rows.iter().map(show).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells = cells
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        let cells: Vec<String> = std::iter::once(heading.to_owned()).chain(cells).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        // Words to the left, numbers to the right.
        let is_text = ["case", "baseline"].contains(&heading);
        for (line, cell) in lines.iter_mut().zip(cells) {
            let _ = match is_text {
                true => write!(line, "{cell:<width$}  "),
                false => write!(line, "{cell:>width$}  "),
            };
        }
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn number(value: Option<f64>, digits: usize) -> Option<String> {
    value.map(|value| format!("{value:.digits$}"))
}

fn count(value: Option<u64>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn percent(share: Option<f64>) -> Option<String> {
    number(share.map(|share| share * 100.0), 1)
}

fn seconds(ms: Option<f64>) -> Option<String> {
    number(ms.map(|ms| ms / 1e3), 2)
}

/// A read from memory takes microseconds.
fn time(ms: Option<f64>) -> Option<String> {
    number(ms, if ms.is_some_and(|ms| ms < 0.1) { 5 } else { 2 })
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
    use super::{Row, median, table};

    #[test]
    fn medians() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn columns_without_a_value_are_left_out() {
        let row = |case: &str, mb_s, p50_ms| Row {
            case: case.to_owned(),
            mb_s,
            p50_ms,
            ..Row::default()
        };
        let rows = [row("a", Some(1234.0), None), row("longer", None, Some(0.05))];
        let lines: Vec<String> = table(&rows).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "case    MB/s   p50 ms",
                "a       1234        -",
                "longer     -  0.05000"
            ]
        );
    }
}
