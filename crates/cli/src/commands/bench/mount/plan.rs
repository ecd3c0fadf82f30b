//! What is measured, against what, and what docs/benchmarks.md promises. Pure.

use forebay_mount::IoMode;

use super::super::cases::{Measure, named};
use super::super::job::Job;
use crate::args::BenchMountArgs;
use crate::exit::Result;

/// One thing that is measured.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) setting: Setting,
    pub(super) what: What,
    pub(super) against: Against,
    pub(super) measure: Measure,
    /// The ratio that is promised.
    pub(super) goal: Option<f64>,
}

/// What is mounted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// A local directory, whose file is handed to the kernel.
    Local,
    /// A bucket whose object is whole in the cache: handed to the kernel.
    Warm,
    /// The same, served by the daemon.
    Served(IoMode),
    /// A bucket, with an empty cache; mounted anew for each run.
    Cold,
    /// A bucket, mounted once.
    Listed,
}

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The large file is read.
    Read(Job, Before),
    /// The start of the largest one is.
    First,
    /// `ls -l` of the directory of many.
    List,
}

/// What is done before the clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    AsItIs,
    /// It is read once.
    Hot,
    /// It is read once, and what the kernel has of it is dropped: of a mounted file, not of what the daemon reads.
    Dropped,
    /// After that it is read twice. Where in memory its pages come to lie makes a difference of two to their copies, so each
    /// run has new ones; and the kernel marks them at their second read, which costs as much again.
    Kept,
}

/// What it is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Against {
    /// The same file, read where it lies.
    Native,
    /// A server that answers from memory.
    Memory,
    /// `forebay get`, to nowhere.
    Get,
    /// The same places through the range engine.
    BenchRead,
    /// The listing, page by page, and nothing else.
    RawListing,
    Figure(&'static str, f64),
    Nothing,
}

const SEQUENTIAL: Job = Job::Sequential { block: 1 << 20 };
const SMALL: Job = Job::Random {
    block: 4096,
    threads: 1,
};
const SMALL_4: Job = Job::Random {
    block: 4096,
    threads: 4,
};

/// A round trip of the lab, and 10 ms.
const FIRST_BYTE_MS: f64 = 40.0;

fn all() -> Vec<Case> {
    let hot = |name, setting, job, against, goal| Case {
        name,
        setting,
        what: What::Read(job, Before::Hot),
        against,
        measure: Measure::Throughput,
        goal: Some(goal),
    };
    let (local, native, memory) = (Setting::Local, Against::Native, Against::Memory);
    let (direct, pages) = (Setting::Served(IoMode::Direct), Setting::Served(IoMode::Pages));
    let cold = |name, what, against, measure, goal| Case {
        name,
        setting: Setting::Cold,
        what,
        against,
        measure,
        goal: Some(goal),
    };
    vec![
        hot("pass-seq", local, SEQUENTIAL, native, 0.95),
        hot("pass-mmap", local, Job::Map, native, 0.95),
        hot("pass-rand", local, SMALL, native, 0.85),
        hot("pass-cached", Setting::Warm, SEQUENTIAL, native, 0.95),
        hot("direct-seq", direct, SEQUENTIAL, memory, 0.9),
        hot("direct-rand", direct, SMALL, memory, 0.9),
        hot("direct-rand-4", direct, SMALL_4, memory, 0.9),
        Case {
            what: What::Read(SEQUENTIAL, Before::Dropped),
            ..hot("pages-seq", pages, SEQUENTIAL, memory, 0.9)
        },
        Case {
            what: What::Read(Job::Map, Before::Dropped),
            ..hot("pages-mmap", pages, Job::Map, memory, 0.9)
        },
        Case {
            what: What::Read(SEQUENTIAL, Before::Kept),
            ..hot("kept-seq", pages, SEQUENTIAL, memory, 0.9)
        },
        Case {
            what: What::Read(SMALL, Before::Kept),
            ..hot("kept-rand", pages, SMALL, memory, 0.9)
        },
        cold(
            "cold-seq",
            What::Read(SEQUENTIAL, Before::AsItIs),
            Against::Get,
            Measure::Throughput,
            0.9,
        ),
        cold(
            "cold-first",
            What::First,
            Against::Figure("a round trip and 10 ms", FIRST_BYTE_MS),
            Measure::Latency,
            1.0,
        ),
        cold(
            "cold-rand",
            What::Read(Job::RandomRanges, Before::AsItIs),
            Against::BenchRead,
            Measure::Throughput,
            0.8,
        ),
        cold("ls", What::List, Against::RawListing, Measure::Latency, 1.0 / 1.3),
        Case {
            name: "ls-again",
            setting: Setting::Listed,
            what: What::List,
            against: Against::Nothing,
            measure: Measure::Requests,
            goal: None,
        },
    ]
}

/// The cases that were named; all if none was.
pub(super) fn cases(args: &BenchMountArgs) -> Result<Vec<Case>> {
    named(all(), &args.cases, |case| case.name)
}
