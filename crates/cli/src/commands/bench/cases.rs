//! What is measured, against what, and what is promised.

use serde::{Deserialize, Serialize};

use crate::args::LabProfile;
use crate::exit::{CliError, Result};

/// One way of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// One reader, all bytes of a large object in order, its size unknown before; bytes dropped.
    Sequential,
    /// The same with the size known, as after a listing or from a mount's look-up.
    SequentialKnown,
    /// All bytes in any order, dropped: what the raw client does.
    AnyOrder,
    /// All bytes into a file.
    File,
    /// Open, and the first MiB.
    FirstByte,
    /// 16 readers, 256 KiB at random aligned places.
    Random,
    /// Many small objects whose sizes a listing told, 64 KiB each.
    Many,
    /// Ten times the large object in order: for the memory it takes.
    Memory,
    /// All bytes in order into an empty cache.
    Cold,
    /// An unknown object opened, and its first MiB, into an empty cache.
    FirstByteCold,
    /// All bytes out of a complete cache, 1 MiB at a time.
    Warm,
    /// 4 KiB at random places of a warm object, on the calling thread.
    TryRead,
    /// 16 readers, a handle each, 256 KiB at random places that are whole blocks; the cache is empty.
    RandomCold,
    /// The same at odd places.
    RandomUnaligned,
    /// 256 KiB of every 4 MiB, in order; the cache is empty.
    Strided,
    /// Eight readers of one object at once; the cache is empty.
    Readers,
    /// One reader, 128 KiB at a time in order, as a mount's kernel reads; the cache is empty.
    SequentialReadAt,
    /// 64 handles on 64 objects that read in turn: for the memory it takes.
    Handles,
    /// From opening a cache of many objects to the first read.
    Start,
}

/// What is there to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// All that the lab brings along.
    Lab,
    /// One object of the user's.
    Object,
    /// One file of the user's.
    LocalFile,
}

/// Which figure of a case is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Throughput,
    Latency,
    Requests,
    Memory,
    /// Records a second.
    Records,
    /// The slowest of a hundred.
    Tail,
    /// Reads that found everything here, among all.
    Hits,
    /// Objects written.
    Puts,
    /// How often a film stood still.
    #[cfg_attr(
        not(feature = "torrent"),
        expect(dead_code, reason = "only torrents are watched")
    )]
    Stalls,
}

/// What one row of a report is to say.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) case: String,
    pub(crate) measure: Measure,
    pub(crate) baseline: Baseline,
    /// The ratio to the baseline that docs/benchmarks.md promises.
    pub(crate) goal: Option<f64>,
    /// Bytes fetched for each byte served that it promises at most.
    pub(crate) most_fetched: Option<f64>,
}

/// What a case is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Baseline {
    /// The raw parallel client, in a run of its own. It reads from the lab only.
    Raw,
    /// The same work done otherwise, in a run of its own.
    Run(&'static str),
    /// A number.
    Figure(&'static str, f64),
    /// Nothing.
    None,
}

/// What a run finds in its cache directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheBefore {
    /// There is none.
    None,
    /// Nothing yet.
    Empty,
    /// The large object; the same for all runs.
    Whole,
    /// Many small objects; the same for all runs.
    Crowded,
}

const ALL: [Case; 19] = [
    Case::Sequential,
    Case::SequentialKnown,
    Case::AnyOrder,
    Case::File,
    Case::FirstByte,
    Case::Random,
    Case::Many,
    Case::Memory,
    Case::Cold,
    Case::FirstByteCold,
    Case::Warm,
    Case::TryRead,
    Case::RandomCold,
    Case::RandomUnaligned,
    Case::Strided,
    Case::Readers,
    Case::SequentialReadAt,
    Case::Handles,
    Case::Start,
];

/// Readers and bytes of the random cases.
pub(crate) const RANDOM_READERS: usize = 16;
pub(crate) const RANDOM_READ: u64 = 256 * 1024;
pub(crate) const RANDOM_READS_EACH: usize = 50;
/// Bytes of one of many objects.
pub(crate) const SMALL_OBJECT: u64 = 64 * 1024;
/// Bytes of the first-byte case.
pub(crate) const FIRST_BYTES: u64 = 1024 * 1024;
/// Bytes of one read of the warm case, and of what it is compared with: `cat` reads that much.
pub(crate) const WARM_READ: usize = 1024 * 1024;
pub(crate) const CAT_READ: usize = 128 * 1024;
/// Reads of the try-read case, and their bytes.
pub(crate) const TRY_READS: usize = 100_000;
pub(crate) const TRY_READ: usize = 4096;
/// From one read of the strided case to the next.
pub(crate) const STRIDE: u64 = 4 * 1024 * 1024;
/// Readers of one object.
pub(crate) const READERS: usize = 8;
/// Bytes of one read of a mount's kernel.
pub(crate) const KERNEL_READ: usize = 128 * 1024;
/// Handles of the case that counts memory, each on an object of its own.
pub(crate) const HANDLES: usize = 64;
/// Objects in the cache of the start case, for each of the many-objects case: 100,000 by default.
pub(crate) const CROWD: usize = 10;

/// 16 reads of 256 KiB at a time, 30 ms and their transfer at 90 MB/s each: 127 MB/s.
const RANDOM_BOUND: f64 =
    RANDOM_READERS as f64 * RANDOM_READ as f64 / 1e6 / (0.030 + RANDOM_READ as f64 / 90e6);
/// 3 µs and 0.2 s in ms.
const TRY_MS: f64 = 0.003;
const START_MS: f64 = 200.0;

impl Case {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::SequentialKnown => "sequential-known",
            Self::AnyOrder => "any-order",
            Self::File => "file",
            Self::FirstByte => "first-byte",
            Self::Random => "random",
            Self::Many => "many",
            Self::Memory => "memory",
            Self::Cold => "cold",
            Self::FirstByteCold => "first-byte-cold",
            Self::Warm => "warm",
            Self::TryRead => "try-read",
            Self::RandomCold => "random-cold",
            Self::RandomUnaligned => "random-unaligned",
            Self::Strided => "strided",
            Self::Readers => "readers",
            Self::SequentialReadAt => "sequential-read-at",
            Self::Handles => "handles",
            Self::Start => "start",
        }
    }

    /// Whether it can be measured on `subject`.
    fn is_possible(self, subject: Subject) -> bool {
        match subject {
            Subject::Lab => true,
            // These need more objects than the one that was named.
            Subject::Object => !matches!(self, Self::Many | Self::Memory | Self::Handles),
            // Local files are not cached.
            Subject::LocalFile => self.is_possible(Subject::Object) && self.cache() == CacheBefore::None,
        }
    }

    /// The cases named, or all that make sense.
    pub(crate) fn chosen(names: &[String], subject: Subject) -> Result<Vec<Self>> {
        let possible = |case: &Self| case.is_possible(subject);
        if names.is_empty() {
            return Ok(ALL.into_iter().filter(possible).collect());
        }
        names
            .iter()
            .map(|name| {
                let known = ALL
                    .iter()
                    .copied()
                    .filter(possible)
                    .find(|case| case.name() == name);
                known.ok_or_else(|| {
                    let all: Vec<&str> = ALL.iter().filter(|c| possible(c)).map(|c| c.name()).collect();
                    CliError::usage(format!(
                        "there is no case '{name}' here; there are {}",
                        all.join(", ")
                    ))
                })
            })
            .collect()
    }

    /// On the lab's network or (`None`) one that nobody knows; see [`Self::baseline`].
    pub(crate) fn terms(self, profile: Option<LabProfile>, budget_mib: f64) -> Terms {
        Terms {
            case: self.name().to_owned(),
            measure: self.measure(),
            baseline: self.baseline(profile, budget_mib),
            goal: profile.and_then(|profile| self.goal(profile)),
            most_fetched: self.most_fetched(),
        }
    }

    fn measure(self) -> Measure {
        match self {
            Self::FirstByte | Self::FirstByteCold | Self::TryRead | Self::Start => Measure::Latency,
            Self::Readers => Measure::Requests,
            Self::Handles => Measure::Memory,
            _ => Measure::Throughput,
        }
    }

    /// What it is compared with, on the lab's network or (`None`) one that nobody knows. `budget_mib`: the memory that
    /// bytes on their way may take.
    pub(crate) fn baseline(self, profile: Option<LabProfile>, budget_mib: f64) -> Baseline {
        match self {
            Self::Sequential
            | Self::SequentialKnown
            | Self::AnyOrder
            | Self::File
            | Self::FirstByte
            | Self::FirstByteCold
            | Self::Random
            | Self::Many
            | Self::Memory
            | Self::SequentialReadAt => Baseline::Raw,
            Self::Cold => Baseline::Run("cache off"),
            Self::Warm => Baseline::Run("read(2), 128 KiB"),
            Self::Strided => Baseline::Run("no read-ahead"),
            Self::Readers => Baseline::Run("one reader"),
            // The bound knows one network only.
            Self::RandomCold | Self::RandomUnaligned if profile == Some(LabProfile::Standard) => {
                Baseline::Figure("16 / (30 ms+transfer)", RANDOM_BOUND)
            }
            Self::RandomCold | Self::RandomUnaligned => Baseline::None,
            Self::TryRead => Baseline::Figure("3 µs", TRY_MS),
            Self::Start => Baseline::Figure("0.2 s", START_MS),
            Self::Handles => Baseline::Figure("budget + 64 MiB", budget_mib + 64.0),
        }
    }

    pub(crate) fn cache(self) -> CacheBefore {
        match self {
            Self::Sequential
            | Self::SequentialKnown
            | Self::AnyOrder
            | Self::File
            | Self::FirstByte
            | Self::Random
            | Self::Many
            | Self::Memory => CacheBefore::None,
            Self::Cold
            | Self::FirstByteCold
            | Self::RandomCold
            | Self::RandomUnaligned
            | Self::Strided
            | Self::Readers
            | Self::SequentialReadAt
            | Self::Handles => CacheBefore::Empty,
            Self::Warm | Self::TryRead => CacheBefore::Whole,
            Self::Start => CacheBefore::Crowded,
        }
    }

    /// The ratio to the baseline that docs/benchmarks.md promises. Small requests have one only
    /// where there is a latency to compare with: on loopback they measure signing and checks, which the raw client lacks.
    fn goal(self, profile: LabProfile) -> Option<f64> {
        match (self, profile) {
            (Self::Sequential | Self::SequentialKnown | Self::AnyOrder | Self::File, _) => Some(0.95),
            (Self::FirstByte | Self::FirstByteCold, LabProfile::Standard) => Some(0.95),
            (Self::Random | Self::Many | Self::RandomCold | Self::RandomUnaligned, LabProfile::Standard) => {
                Some(0.9)
            }
            (Self::Cold, _) => Some(0.97),
            (Self::Warm, _) => Some(0.8),
            (Self::TryRead | Self::Readers | Self::Handles | Self::Start, _) => Some(1.0),
            (
                Self::FirstByte
                | Self::FirstByteCold
                | Self::Random
                | Self::Many
                | Self::RandomCold
                | Self::RandomUnaligned,
                LabProfile::Loopback,
            )
            | (Self::Memory | Self::Strided | Self::SequentialReadAt, _) => None,
        }
    }

    /// Bytes fetched for each byte served, at most: whole blocks are fetched, a quarter more for four blocks that are
    /// five at an odd place.
    fn most_fetched(self) -> Option<f64> {
        match self {
            Self::RandomCold => Some(1.1),
            Self::RandomUnaligned => Some(1.3),
            _ => None,
        }
    }
}

/// The cases whose names begin as one of those that were asked for; all if none was.
pub(super) fn named<T>(mut cases: Vec<T>, asked: &[String], name: fn(&T) -> &'static str) -> Result<Vec<T>> {
    if asked.is_empty() {
        return Ok(cases);
    }
    let known: Vec<&str> = cases.iter().map(name).collect();
    for asked in asked {
        if !known.iter().any(|known| known.starts_with(asked.as_str())) {
            let message = format!("there is no case '{}'", forebay_types::printable(asked));
            return Err(CliError::usage(message).hint(format!("cases are {}", known.join(", "))));
        }
    }
    cases.retain(|case| asked.iter().any(|asked| name(case).starts_with(asked.as_str())));
    Ok(cases)
}
