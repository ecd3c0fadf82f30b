//! What is measured, against what, and what is promised.

use forebay_log::batch::Codec;
use serde::{Deserialize, Serialize};

use super::super::cases::{Baseline, Measure};
use crate::args::BenchLogArgs;
use crate::exit::{CliError, Result};

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Everything out of a complete cache, decoded, on one thread.
    CatchUp,
    /// The same, batches as they are stored.
    Verbatim,
    /// Everything into an empty cache, decoded; beside one object of the size through the same reader.
    Cold,
    /// Polls of 500 records out of a complete cache.
    Poll,
    /// Polls of 100 records at random places without a cache; beside one request each of as many bytes.
    ColdPoll,
    /// Polls of 500 records into an empty cache, 100 MB of them a second.
    Paced,
    /// So many consumers of one partition at once into an empty cache; beside one of them.
    Consumers(usize),
    /// Segments of random offsets, among 100,000.
    Lookup { postgres: bool },
    /// As fast as it goes into one partition.
    Produce,
    /// 2 MB a second over 1,000 partitions.
    Spread,
    /// One consumer of those 1,000 partitions.
    ConsumeSpread,
}

impl Job {
    /// Whether a topic is written for it first.
    pub(crate) fn wants_topic(self) -> bool {
        !matches!(self, Self::Produce | Self::Spread)
    }
}

/// What records are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) codec: Codec,
    /// Bytes of a value.
    pub(crate) value: usize,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) job: Job,
    pub(crate) shape: Shape,
    pub(crate) measure: Measure,
    pub(crate) baseline: Baseline,
    pub(crate) goal: Option<f64>,
}

impl Case {
    /// Whether what it is compared with is a run of its own.
    pub(crate) fn has_other_run(&self) -> bool {
        matches!(self.baseline, Baseline::Run(_))
    }
}

/// Cold, beside the read path alone.
const COLD: f64 = 0.9;
/// A cold poll's p99 beside one request's: 1.2 times as long.
const COLD_POLL: f64 = 1.0 / 1.2;

fn all(postgres: bool) -> Vec<Case> {
    let shape = |codec, value| Shape { codec, value };
    let plain = shape(Codec::None, 1024);
    let mut cases = Vec::new();
    let mut add = |name: &str, job, shape, measure, baseline, goal| {
        cases.push(Case {
            name: name.to_owned(),
            job,
            shape,
            measure,
            baseline,
            goal,
        });
    };
    for (codec, goal) in [(Codec::None, 5e6), (Codec::Lz4, 3e6), (Codec::Zstd, 2e6)] {
        let baseline = Baseline::Figure("records/s promised", goal);
        let small = shape(codec, 100);
        add(
            &format!("catch-up-{codec}-100"),
            Job::CatchUp,
            small,
            Measure::Records,
            baseline,
            Some(1.0),
        );
    }
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let large = shape(codec, 1024);
        add(
            &format!("catch-up-{codec}-1k"),
            Job::CatchUp,
            large,
            Measure::Records,
            Baseline::None,
            None,
        );
    }
    let gigabyte = Baseline::Figure("MB/s promised", 1000.0);
    add(
        "verbatim-100",
        Job::Verbatim,
        shape(Codec::Lz4, 100),
        Measure::Throughput,
        gigabyte,
        Some(1.0),
    );
    add(
        "verbatim-1k",
        Job::Verbatim,
        plain,
        Measure::Throughput,
        gigabyte,
        Some(1.0),
    );
    let read = Baseline::Run("bench read, cold");
    add("cold-1k", Job::Cold, plain, Measure::Throughput, read, Some(COLD));
    add(
        "cold-lz4-100",
        Job::Cold,
        shape(Codec::Lz4, 100),
        Measure::Throughput,
        read,
        None,
    );
    let poll = Baseline::Figure("ms promised", 2.0);
    add(
        "poll-cached",
        Job::Poll,
        shape(Codec::Lz4, 100),
        Measure::Tail,
        poll,
        Some(1.0),
    );
    let get = Baseline::Run("one request");
    add(
        "poll-cold",
        Job::ColdPoll,
        plain,
        Measure::Tail,
        get,
        Some(COLD_POLL),
    );
    let hits = Baseline::Figure("share promised", 0.95);
    add("hit-rate", Job::Paced, plain, Measure::Hits, hits, Some(1.0));
    let one = Baseline::Run("one consumer");
    add(
        "consumers-8",
        Job::Consumers(8),
        plain,
        Measure::Requests,
        one,
        Some(1.0),
    );
    add(
        "consumers-32",
        Job::Consumers(32),
        plain,
        Measure::Requests,
        one,
        Some(1.0),
    );
    let sqlite = Baseline::Figure("ms promised", 1.0);
    add(
        "lookup-sqlite",
        Job::Lookup { postgres: false },
        plain,
        Measure::Tail,
        sqlite,
        Some(1.0),
    );
    if postgres {
        let promised = Baseline::Figure("ms promised", 3.0);
        add(
            "lookup-postgres",
            Job::Lookup { postgres: true },
            plain,
            Measure::Tail,
            promised,
            Some(1.0),
        );
    }
    for (name, codec, value) in [
        ("produce-none-100", Codec::None, 100),
        ("produce-lz4-100", Codec::Lz4, 100),
        ("produce-lz4-1k", Codec::Lz4, 1024),
    ] {
        add(
            name,
            Job::Produce,
            shape(codec, value),
            Measure::Records,
            Baseline::None,
            None,
        );
    }
    let puts = Baseline::Figure("writes allowed: 4/s and 1 for 8 MiB", 0.0);
    add(
        "produce-1000",
        Job::Spread,
        shape(Codec::Lz4, 100),
        Measure::Puts,
        puts,
        Some(1.0),
    );
    let spread = shape(Codec::Lz4, 100);
    add(
        "consume-1000",
        Job::ConsumeSpread,
        spread,
        Measure::Records,
        Baseline::None,
        None,
    );
    cases
}

/// The cases named, by their names or how they begin; all if none is.
pub(crate) fn cases(args: &BenchLogArgs) -> Result<Vec<Case>> {
    let all = all(args.postgres.is_some());
    if args.cases.is_empty() {
        return Ok(all);
    }
    let begins =
        |case: &Case, wanted: &String| case.name == *wanted || case.name.starts_with(&format!("{wanted}-"));
    if let Some(none) = args
        .cases
        .iter()
        .find(|wanted| !all.iter().any(|case| begins(case, wanted)))
    {
        let names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
        return Err(CliError::usage(format!(
            "there is no case '{none}' here; there are {}",
            names.join(", ")
        )));
    }
    let wanted = |case: &Case| args.cases.iter().any(|wanted| begins(case, wanted));
    Ok(all.into_iter().filter(wanted).collect())
}
