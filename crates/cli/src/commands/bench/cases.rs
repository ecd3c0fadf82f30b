//! What is measured, and what is promised.

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
}

/// Which figure of a case is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Throughput,
    Latency,
}

const ALL: [Case; 8] = [
    Case::Sequential,
    Case::SequentialKnown,
    Case::AnyOrder,
    Case::File,
    Case::FirstByte,
    Case::Random,
    Case::Many,
    Case::Memory,
];

/// Readers and bytes of the random case.
pub(crate) const RANDOM_READERS: usize = 16;
pub(crate) const RANDOM_READ: u64 = 256 * 1024;
pub(crate) const RANDOM_READS_EACH: usize = 50;
/// Bytes of one of many objects.
pub(crate) const SMALL_OBJECT: u64 = 64 * 1024;
/// Bytes of the first-byte case.
pub(crate) const FIRST_BYTES: u64 = 1024 * 1024;

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
        }
    }

    /// The cases named, or all that make sense.
    pub(crate) fn chosen(names: &[String], own_object: bool) -> Result<Vec<Self>> {
        let possible = |case: &Self| !own_object || !matches!(case, Self::Many | Self::Memory);
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

    pub(crate) fn measure(self) -> Measure {
        if self == Self::FirstByte {
            Measure::Latency
        } else {
            Measure::Throughput
        }
    }

    /// The ratio to the raw client of the same run that docs/benchmarks.md promises. Small requests have one only
    /// where there is a latency to compare with: on loopback they measure signing and checks, which the raw client lacks.
    pub(crate) fn goal(self, profile: LabProfile) -> Option<f64> {
        match (self, profile) {
            (Self::Sequential | Self::SequentialKnown | Self::AnyOrder | Self::File, _) => Some(0.95),
            (Self::FirstByte, LabProfile::Standard) => Some(0.95),
            (Self::Random | Self::Many, LabProfile::Standard) => Some(0.9),
            (Self::FirstByte | Self::Random | Self::Many, LabProfile::Loopback) | (Self::Memory, _) => None,
        }
    }
}
