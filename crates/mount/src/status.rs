//! What a mount shows of itself: a snapshot for people and scripts. docs/status.md tells its fields.

use std::path::Path;

use forebay_cache::CacheStats;
use forebay_range::RangeStats;
use forebay_source::{FileFacts, RqbitStore, StreamStats};
use forebay_types::Clock;
use forebay_vfs::TreeStats;
use forebay_vfs::merged::MergedFile;
use serde::Serialize;

use crate::mount::Mount;
use crate::options::IoMode;
use crate::passthrough::Opened;
use crate::stats::MountStats;

/// Open files that are listed; of more than these the ones that were served the most.
pub(crate) const LISTED: usize = 1000;

/// Ranges of a file that are told: enough to draw it, and a thousand files stay a short answer.
const RANGES: usize = 64;

/// What a mount did and has open, at one moment. Each figure is true; they are not all read in the same instant.
#[derive(Clone, Debug, Serialize)]
pub struct MountStatus {
    /// What is mounted, without secrets.
    pub url: String,
    /// Where.
    pub dir: String,
    /// Of the process that serves it.
    pub pid: u32,
    /// Seconds since it was mounted.
    pub uptime_s: f64,
    /// What the kernel asked for.
    pub mount: MountStats,
    /// What reads came to.
    pub reader: ReaderStatus,
    /// What requests to the source took.
    pub range: RangeStats,
    /// The cache, with what other processes did to it; `None` without one.
    pub cache: Option<CacheStats>,
    /// The streams that it has at the torrent client; `None` of other sources.
    pub streams: Option<StreamStats>,
    /// Names and attributes.
    pub names: TreeStats,
    /// Files that are open, listed or not.
    pub open_files: u64,
    /// Those that are listed, in the order in which they were opened.
    pub files: Vec<FileStatus>,
}

/// Reads of all files, those that were closed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReaderStatus {
    /// Reads answered.
    pub reads: u64,
    /// Bytes asked for by them.
    pub served: u64,
    /// Reads that found all their bytes here.
    pub hits: u64,
    /// Bytes that came from the source.
    pub fetched: u64,
}

/// How the bytes of an open file reach a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileMode {
    /// The kernel reads it by itself; no read of it is seen, or counted, here.
    Passthrough,
    /// Each read of the program is a request.
    Direct,
    /// By the kernel's page cache: what that has is not asked for.
    Pages,
}

impl From<&Opened> for FileMode {
    fn from(opened: &Opened) -> Self {
        match opened {
            Opened::Backed(_) => Self::Passthrough,
            Opened::Served(IoMode::Direct) => Self::Direct,
            Opened::Served(IoMode::Pages) => Self::Pages,
        }
    }
}

/// One open of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileStatus {
    /// Tells opens apart; never used twice by a mount.
    pub id: u64,
    /// From the root of the mount on, as it is: not made safe for a terminal.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// How it is read.
    pub mode: FileMode,
    /// Seconds since it was opened.
    pub open_s: f64,
    /// Reads that were seen.
    pub reads: u64,
    /// Bytes answered.
    pub served: u64,
    /// Reads that found all their bytes here.
    pub hits: u64,
    /// Hits among the reads, 0 to 1; `None` before the first.
    pub hit_rate: Option<f64>,
    /// Bytes that came from the source for it; of a file that is written to, for all who have it open.
    pub fetched: u64,
    /// `None` before the first byte was served.
    pub fetched_per_served: Option<f64>,
    /// Requests to the source for it.
    pub requests: u64,
    /// What read-ahead has ahead of each of its runs.
    pub windows: Vec<WindowStatus>,
    /// Reads that ended in an error.
    pub errors: u64,
    /// How it is doing if it is a file of a torrent and the client has been asked, see [`Mount::refresh_facts`].
    pub torrent: Option<TorrentStatus>,
}

impl FileStatus {
    /// Counts what came from below for a file that is above.
    pub(crate) fn brought(&mut self, file: &MergedFile) {
        if let Some(stats) = file.below_stats() {
            self.fetched += stats.range.bytes_fetched;
            self.requests += stats.range.requests;
        }
        self.rates();
    }

    /// Works out what follows from the other figures.
    pub(crate) fn rates(&mut self) {
        let part = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        self.hit_rate = part(self.hits, self.reads);
        self.fetched_per_served = part(self.fetched, self.served);
    }
}

/// How a file of a torrent is doing, as its client said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TorrentStatus {
    /// What the torrent does: `initializing`, `live`, `paused` or `error`.
    pub state: String,
    /// Why it stopped, in the client's words: not made safe for a terminal.
    pub error: Option<String>,
    /// Bytes of the file that the client has.
    pub present: u64,
    /// Peers that it is connected to; `None` unless it is live.
    pub peers: Option<u32>,
    /// Bytes per second that come in, of the whole torrent.
    pub download_bps: Option<u64>,
    /// Bytes of the file that the client has, from the first to one past the last of each range, in order. Of more than
    /// 64 ranges the longest.
    pub ranges: Vec<(u64, u64)>,
}

impl TorrentStatus {
    pub(crate) fn of(facts: &FileFacts) -> Self {
        let mut ranges: Vec<(u64, u64)> = facts
            .present
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect();
        if ranges.len() > RANGES {
            ranges.sort_by_key(|(start, end)| std::cmp::Reverse(end - start));
            ranges.truncate(RANGES);
            ranges.sort_unstable();
        }
        Self {
            state: facts.state.as_str().to_owned(),
            error: facts.error.clone(),
            present: facts.here,
            peers: facts.peers.map(|peers| peers.live),
            download_bps: facts.download_bps,
            ranges,
        }
    }
}

/// What read-ahead keeps ahead of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WindowStatus {
    /// Where the reader is.
    pub at: u64,
    /// One past the last byte that was asked for; `at` if there is none.
    pub end: u64,
    /// Bytes asked for and not read.
    pub ahead: u64,
}

impl Mount {
    /// Where it is mounted, without symlinks.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it did and has open. Takes each lock for a moment only; the cache's figures are read from a file.
    pub fn status(&self) -> MountStatus {
        let fs = &self.fs;
        let reader = fs.reader.stats();
        let (open_files, files) = match &self.writable {
            Some(writable) => writable.open_files(),
            None => fs.open_files(),
        };
        let source = &fs.options.source;
        MountStatus {
            url: source.strip_prefix("forebay:").unwrap_or(source).to_owned(),
            dir: self.dir.to_string_lossy().into_owned(),
            pid: std::process::id(),
            uptime_s: fs.clock.now().as_secs_f64(),
            mount: self.stats(),
            reader: ReaderStatus {
                reads: reader.reads,
                served: reader.served,
                hits: reader.hits,
                fetched: reader.range.bytes_fetched,
            },
            range: reader.range,
            cache: reader.cache,
            streams: fs.source.torrents().map(RqbitStore::stream_stats),
            names: fs.tree.stats(),
            open_files,
            files,
        }
    }
}

#[cfg(test)]
mod tests;
