//! Why a session or a torrent of it cannot be had.

use std::io;
use std::path::PathBuf;

use forebay_source::InfoHash;

/// Why there is no session, or no torrent. Links are not repeated: those of private trackers hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum TorrentError {
    /// The directory for data.
    #[error("{} cannot hold torrents: {why}; name another directory", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A limit below what one request of a peer takes.
    #[error("a limit of {limit} bytes per second lets nothing through; set 16384 at least, or none")]
    Limit {
        /// Which.
        limit: u32,
    },
    /// librqbit's session.
    #[error(
        "the torrent client cannot start: {why}; free the port it is to listen on, or, if there are no certificates, \
         install ca-certificates"
    )]
    Start {
        /// What it says.
        why: String,
    },
    /// Neither a link nor a file.
    #[error("{origin} is no torrent: {why}; give a path to a .torrent file, or magnet:?xt=urn:btih:HASH")]
    Source {
        /// What was given, as far as it may be shown.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file.
    #[error("the torrent file {} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody who was asked knew what is in it.
    #[error(
        "nobody told what is in torrent {hash}: {why}; name a peer that has it (x.pe=HOST:PORT in the link), switch on \
         the DHT, or take its .torrent file"
    )]
    Metadata {
        /// Which.
        hash: InfoHash,
        /// What librqbit says.
        why: String,
    },
    /// librqbit does not take it.
    #[error("torrent {hash} was refused: {why}")]
    Refused {
        /// Which.
        hash: InfoHash,
        /// What librqbit says.
        why: String,
    },
}
