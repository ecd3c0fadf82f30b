//! The JSON of rqbit's HTTP API, as far as it is read (shapes of 9.1.0). Unknown fields are passed over.

use forebay_types::printable;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::{Details, InfoHash, Listed, Peers, State, Stats, TorrentFile};
use crate::transport::Failure;

/// Longest text of the client that goes into an error, in characters.
const MAX_TEXT: usize = 300;

/// What the client says, short and fit to show.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.trim().chars().take(MAX_TEXT).collect();
    printable(&start).into_owned()
}

/// `GET /torrents`, in the order in which they were added: the client keeps them in none, but numbers them.
pub(super) fn list(body: &[u8]) -> Result<Vec<Listed>, Failure> {
    let mut torrents = read::<ListDoc>("list of torrents", body)?.torrents;
    torrents.sort_by_key(|torrent| torrent.id);
    let listed = torrents.into_iter().map(|torrent| Listed {
        hash: torrent.info_hash.0,
        name: torrent.name,
    });
    Ok(listed.collect())
}

/// `GET /torrents/{hash}`.
pub(super) fn details(hash: InfoHash, body: &[u8]) -> Result<Details, Failure> {
    const WHAT: &str = "description of a torrent";
    let malformed = |why: String| Failure::Malformed { what: WHAT, why };
    let doc: DetailsDoc = read(WHAT, body)?;
    if doc.info_hash.0 != hash {
        return Err(malformed(format!(
            "asked for torrent {hash}, it is about {}",
            doc.info_hash.0
        )));
    }
    let total = doc
        .files
        .iter()
        .try_fold(0_u64, |sum, file| sum.checked_add(file.length));
    if total.is_none() {
        return Err(malformed(format!(
            "the files of torrent {hash} have more than {} bytes together",
            u64::MAX
        )));
    }
    let files = doc.files.into_iter().map(|file| TorrentFile {
        components: file.components,
        length: file.length,
        padding: file.attributes.padding,
        symlink: file.attributes.symlink,
        executable: file.attributes.executable,
    });
    Ok(Details {
        name: doc.name,
        files: files.collect(),
    })
}

/// `GET /torrents/{hash}/stats/v1`.
pub(super) fn stats(body: &[u8]) -> Result<Stats, Failure> {
    let doc: StatsDoc = read("report how a torrent is doing", body)?;
    let live = doc.live.as_ref();
    Ok(Stats {
        state: match doc.state {
            StateDoc::Initializing => State::Initializing,
            StateDoc::Live => State::Live,
            StateDoc::Paused => State::Paused,
            StateDoc::Error => State::Failed,
        },
        error: doc.error.as_deref().map(shown),
        file_progress: doc.file_progress,
        total: doc.total_bytes,
        peers: live.map(|live| {
            let peers = &live.snapshot.peer_stats;
            Peers {
                live: peers.live,
                seeders: peers.live_seeders,
                seen: peers.seen,
            }
        }),
        // It says mbps and means MiB/s. What is no number of bytes becomes the nearest one.
        download_bps: live.map(|live| (live.download_speed.mbps * f64::from(1 << 20)) as u64),
    })
}

/// The text of a refusal, if it is one of rqbit's.
pub(super) fn refusal(body: &[u8]) -> Option<String> {
    let doc: RefusalDoc = serde_json::from_slice(body).ok()?;
    Some(shown(&doc.human_readable)).filter(|text| !text.is_empty())
}

/// Nesting is limited by the parser, numbers by their types.
fn read<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Malformed {
        what,
        why: shown(&error.to_string()),
    })
}

#[derive(Deserialize)]
struct ListDoc {
    torrents: Vec<EntryDoc>,
}

#[derive(Deserialize)]
struct EntryDoc {
    id: u64,
    info_hash: HashDoc,
    name: Option<String>,
}

struct HashDoc(InfoHash);

impl<'de> Deserialize<'de> for HashDoc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = text.parse().map_err(|()| {
            D::Error::custom(format!(
                "the info_hash '{}' is not of 40 hexadecimal digits",
                shown(&text)
            ))
        });
        hash.map(Self)
    }
}

#[derive(Deserialize)]
struct DetailsDoc {
    info_hash: HashDoc,
    name: Option<String>,
    files: Vec<FileDoc>,
}

#[derive(Deserialize)]
struct FileDoc {
    components: Vec<String>,
    length: u64,
    attributes: AttributesDoc,
}

#[derive(Deserialize)]
struct AttributesDoc {
    symlink: bool,
    padding: bool,
    executable: bool,
}

#[derive(Deserialize)]
struct StatsDoc {
    state: StateDoc,
    error: Option<String>,
    file_progress: Vec<u64>,
    total_bytes: u64,
    live: Option<LiveDoc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateDoc {
    Initializing,
    Live,
    Paused,
    Error,
}

#[derive(Deserialize)]
struct LiveDoc {
    snapshot: SnapshotDoc,
    download_speed: SpeedDoc,
}

#[derive(Deserialize)]
struct SnapshotDoc {
    peer_stats: PeersDoc,
}

#[derive(Deserialize)]
struct PeersDoc {
    live: u32,
    live_seeders: u32,
    seen: u32,
}

#[derive(Deserialize)]
struct SpeedDoc {
    mbps: f64,
}

#[derive(Deserialize)]
struct RefusalDoc {
    human_readable: String,
}

#[cfg(test)]
mod tests;
