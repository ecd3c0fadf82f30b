//! What the view shows of a mount's status. Fields that it does not know are passed over.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Snapshot {
    pub(super) url: String,
    pub(super) dir: String,
    pub(super) pid: u32,
    pub(super) uptime_s: f64,
    pub(super) mount: Requests,
    pub(super) reader: Reads,
    pub(super) range: Source,
    pub(super) cache: Option<Cache>,
    pub(super) streams: Option<Streams>,
    pub(super) names: Names,
    pub(super) open_files: u64,
    pub(super) files: Vec<File>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Requests {
    pub(super) reads: u64,
    pub(super) at_once: u64,
    pub(super) bytes: u64,
    pub(super) opens: u64,
    pub(super) passthrough_opens: u64,
    pub(super) handed_over_now: u64,
    pub(super) interrupted: u64,
    pub(super) errors: u64,
    pub(super) waiting: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reads {
    pub(super) served: u64,
    pub(super) fetched: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Source {
    pub(super) requests: u64,
    pub(super) retries: u64,
    pub(super) hedges: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cache {
    pub(super) current_size: u64,
    pub(super) max_size: u64,
    pub(super) entry_count: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Streams {
    pub(super) open: u64,
    pub(super) parked: u64,
    pub(super) opened: u64,
    pub(super) reused: u64,
    pub(super) revoked: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Names {
    pub(super) lookups: u64,
    pub(super) attrs: u64,
    pub(super) read_dirs: u64,
    pub(super) hits: u64,
    pub(super) looks: u64,
    pub(super) lists: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) mode: String,
    pub(super) open_s: f64,
    pub(super) reads: u64,
    pub(super) served: u64,
    pub(super) hit_rate: Option<f64>,
    pub(super) fetched: u64,
    pub(super) fetched_per_served: Option<f64>,
    pub(super) requests: u64,
    pub(super) windows: Vec<Window>,
    pub(super) errors: u64,
    pub(super) torrent: Option<Torrent>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Torrent {
    pub(super) state: String,
    pub(super) present: u64,
    pub(super) peers: Option<u32>,
    pub(super) download_bps: Option<u64>,
    pub(super) ranges: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Window {
    pub(super) at: u64,
    pub(super) ahead: u64,
}
