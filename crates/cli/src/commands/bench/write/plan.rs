//! What is measured, against what, and what docs/benchmarks.md promises. Pure.

use forebay_mount::IoMode;

use super::super::cases::{Measure, named};
use super::super::job::Job;
use super::job::Places;
use crate::args::BenchWriteArgs;
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

/// How files are read and written that are whole in the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// By the kernel, which was handed them.
    Handed,
    /// By the daemon.
    Served(IoMode),
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A new file is written, from its open to its close.
    New,
    /// Blocks of a file that was written are written again.
    Again(Places),
    /// It is read.
    Read(Job, Of),
    /// A repository is cloned.
    Clone,
    /// A program is built.
    Build,
    /// The middle of a chunk of a manifest's file is read, with an empty cache.
    Chunk,
    /// A manifest of many files is mounted: until it answers,
    Mount,
    /// and the memory that it takes.
    Memory,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A file that was written in the mount.
    New,
    /// One that was there before, of which a quarter was written again, and nothing was read since.
    Lower,
}

/// What it is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Against {
    /// The same without a mount. Where a file is read or written again, the very file that lies in the overlay.
    Native,
    /// A server that answers from memory.
    Memory,
    /// A file system that forwards everything, and hands no file to the kernel.
    Mirror,
    Figure(&'static str, f64),
}

/// Bytes that are written at a time where nothing else is said.
pub(super) const BLOCK: usize = 1 << 20;
/// Bytes of what is small.
pub(super) const SMALL: usize = 4096;

const IN_ORDER: Job = Job::Sequential { block: BLOCK };
const AT_RANDOM: Job = Job::Random {
    block: SMALL,
    threads: 1,
};

/// A round trip of the lab, and 1 MiB at 90 MB/s.
const CHUNK_MS: f64 = 30.0 + (1 << 20) as f64 / 90e6 * 1e3;
/// A manifest's mount answers.
const MOUNT_MS: f64 = 5_000.0;
/// Bytes of memory that a file of a manifest may take.
const FILE_BYTES: usize = 400;

fn all(args: &BenchWriteArgs) -> Vec<Case> {
    let case = |name, setting, what, against, goal| Case {
        name,
        setting,
        what,
        against,
        measure: match what {
            What::New | What::Again(_) | What::Read(..) => Measure::Throughput,
            What::Clone | What::Build | What::Chunk | What::Mount => Measure::Latency,
            What::Memory => Measure::Memory,
        },
        goal,
    };
    let handed = |name, what, against, goal| case(name, Setting::Handed, what, against, Some(goal));
    let dirty = |name, io, job, of| {
        case(
            name,
            Setting::Served(io),
            What::Read(job, of),
            Against::Memory,
            // Most of a file that was there before is brought and kept by this very read.
            matches!(of, Of::New).then_some(0.9),
        )
    };
    let (native, mirror) = (Against::Native, Against::Mirror);
    let memory = (args.entries * FILE_BYTES) as f64 / f64::from(1 << 20);
    vec![
        handed("write-new", What::New, native, 0.8),
        handed("write-small", What::Again(Places::Middle), native, 0.8),
        handed("write-rand", What::Again(Places::Random), native, 0.8),
        case(
            "write-served",
            Setting::Served(IoMode::Pages),
            What::New,
            mirror,
            None,
        ),
        handed("dirty-read", What::Read(IN_ORDER, Of::New), native, 0.9),
        handed("dirty-rand", What::Read(AT_RANDOM, Of::New), native, 0.85),
        dirty("dirty-served", IoMode::Direct, IN_ORDER, Of::New),
        dirty("dirty-served-rand", IoMode::Direct, AT_RANDOM, Of::New),
        dirty("dirty-pages", IoMode::Pages, IN_ORDER, Of::New),
        dirty("mixed-served", IoMode::Direct, IN_ORDER, Of::Lower),
        dirty("mixed-pages", IoMode::Pages, IN_ORDER, Of::Lower),
        handed("git-clone", What::Clone, mirror, 1.0 / 1.2),
        case("git-clone-native", Setting::Handed, What::Clone, native, None),
        handed("cargo-build", What::Build, native, 1.0 / 1.2),
        handed(
            "chunk-first",
            What::Chunk,
            Against::Figure("a round trip and 1 MiB", CHUNK_MS),
            1.0,
        ),
        handed(
            "manifest-mount",
            What::Mount,
            Against::Figure("5 s", MOUNT_MS),
            1.0,
        ),
        handed(
            "manifest-memory",
            What::Memory,
            Against::Figure("400 B a file", memory),
            1.0,
        ),
    ]
}

impl Case {
    /// The program that it needs.
    pub(super) fn program(&self) -> Option<&'static str> {
        match self.what {
            What::Clone => Some("git"),
            What::Build => Some("cargo"),
            What::New | What::Again(_) | What::Read(..) | What::Chunk | What::Mount | What::Memory => None,
        }
    }
}

/// The cases that were named; all if none was.
pub(super) fn cases(args: &BenchWriteArgs) -> Result<Vec<Case>> {
    named(all(args), &args.cases, |case| case.name)
}
