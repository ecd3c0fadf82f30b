//! Orders for one run of ours.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::args::DiskEngine;
use crate::settings::Settings;

/// Orders for one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::commands::bench) struct Spec {
    pub(super) job: Job,
    /// The file, or the directory of the files.
    pub(super) place: PathBuf,
    /// What reads the disk, if not what the settings say.
    pub(super) engine: Option<DiskEngine>,
    pub(in crate::commands::bench) config: Option<PathBuf>,
}

/// What is done; all bytes are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Job {
    /// A file, or its beginning, through the range engine.
    Stream {
        through: Through,
        /// All, if nothing is said.
        bytes: Option<u64>,
        cut: Cut,
        /// Whether memory and rings are ready before the clock runs.
        warmed: bool,
        on: Threads,
    },
    /// Blocks at random places, `depth` readers.
    Random {
        block: u64,
        depth: usize,
        reads: usize,
        on: Threads,
    },
    /// All files of a directory, each as a whole.
    Files { at_a_time: usize, by: By },
}

/// What the runtime of a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Threads {
    /// One, as a job of fio and a plain loop.
    One,
    /// One for each CPU, as the other commands.
    All,
}

/// Which way bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Through {
    /// `direct://`
    Disk,
    /// `file://`
    PageCache,
}

/// How a file is cut into ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cut {
    /// Into blocks, so many at a time.
    Blocks { block: u64, depth: usize },
    /// As the settings say.
    Settings,
    /// As the settings say, but for this.
    Engine(bool),
}

/// Who reads whole files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum By {
    /// A `get` of the store.
    Store,
    /// The range engine, on or off.
    Engine(bool),
    /// Open, fstat, pread, close, in threads.
    Plain,
}

impl Job {
    /// What its runtime has.
    pub(super) fn threads(&self) -> Threads {
        match self {
            Self::Stream { on, .. } | Self::Random { on, .. } => *on,
            Self::Files { at_a_time: 1, .. } => Threads::One,
            Self::Files { .. } => Threads::All,
        }
    }
}

impl Spec {
    /// The user's settings, with what the run needs.
    pub(super) fn settings(&self, users: &Settings) -> Settings {
        let mut settings = super::settings(users, self.engine);
        let depth = match self.job {
            Job::Stream {
                cut: Cut::Blocks { depth, .. },
                ..
            }
            | Job::Random { depth, .. } => depth,
            Job::Stream { .. } => 0,
            Job::Files { at_a_time, .. } => at_a_time,
        };
        // Otherwise a deep queue would be one of as many requests as all reads may have.
        settings.range.max_connections = settings.range.max_connections.max(depth);
        settings
    }
}
