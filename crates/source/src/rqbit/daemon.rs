//! What a torrent client is asked: the few questions that the store has, whoever answers them.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use forebay_types::ByteRange;
use futures::stream::BoxStream;

use crate::transport::Failure;

/// SHA-1 of a torrent's info dictionary (BEP 3): who it is, in every client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Display for InfoHash {
    /// 40 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InfoHash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.as_bytes();
        if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(());
        }
        let mut hash = [0; 20];
        for (byte, at) in hash.iter_mut().zip((0..40).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(hash))
    }
}

/// A torrent that the client has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Who it is.
    pub hash: InfoHash,
    /// What it is called; `None` while only a magnet link is known of it.
    pub name: Option<String>,
}

/// What is in a torrent. Never changes for an [`InfoHash`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What it is called.
    pub name: Option<String>,
    /// Its files, by their index.
    pub files: Vec<TorrentFile>,
}

/// One file of a torrent, as whoever made the torrent wrote it: names may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentFile {
    /// The names that lead to it.
    pub components: Vec<String>,
    /// Bytes.
    pub length: u64,
    /// Only there to begin the next one at a piece (BEP 47).
    pub padding: bool,
    /// A symbolic link (BEP 47); it has no bytes.
    pub symlink: bool,
    /// It may be executed (BEP 47).
    pub executable: bool,
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What is on disk is being checked.
    Initializing,
    /// It is downloaded and uploaded.
    Live,
    /// It is not.
    Paused,
    /// It stopped on an error.
    Failed,
}

impl State {
    /// A word for people and scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Failed => "error",
        }
    }
}

/// How a torrent is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// What it does.
    pub state: State,
    /// Why it stopped.
    pub error: Option<String>,
    /// Bytes that are here of each file, by its index.
    pub file_progress: Vec<u64>,
    /// Bytes of all files.
    pub total: u64,
    /// Peers, as long as it is live.
    pub peers: Option<Peers>,
    /// Bytes per second that come in.
    pub download_bps: Option<u64>,
}

/// The other side of a torrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Connected now.
    pub live: u32,
    /// Of these, who have all of it.
    pub seeders: u32,
    /// Ever heard of.
    pub seen: u32,
}

/// Which pieces are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Haves {
    /// How many pieces there are.
    pub pieces: u32,
    /// A bit for each, most significant first.
    pub bits: Bytes,
}

impl Haves {
    /// Whether a piece is here; one that there is not is not.
    pub fn has(&self, piece: u32) -> bool {
        let byte = self.bits.get(piece as usize / 8);
        piece < self.pieces && byte.is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    }
}

/// The bytes of a file as they come; waits as long as the piece that is next is not here.
pub type FileBytes = BoxStream<'static, Result<Bytes, Failure>>;

/// A torrent client: rqbit's HTTP server, or a session in this process. Displayed as it may be shown: without secrets.
///
/// Dropping one of its futures, or a stream, gives up the request.
#[async_trait]
pub trait Daemon: fmt::Debug + fmt::Display + Send + Sync {
    /// All torrents, in the order in which they were added.
    ///
    /// # Errors
    /// If the client is not to be reached, or refuses.
    async fn torrents(&self) -> Result<Vec<Listed>, Failure>;

    /// What is in a torrent.
    ///
    /// # Errors
    /// [`Failure::Torrent`] with [`TorrentFault::Gone`] if there is none of this hash; else as [`Self::torrents`].
    async fn details(&self, hash: InfoHash) -> Result<Details, Failure>;

    /// How a torrent is doing.
    ///
    /// # Errors
    /// As [`Self::details`].
    async fn stats(&self, hash: InfoHash) -> Result<Stats, Failure>;

    /// Which pieces of a torrent are here.
    ///
    /// # Errors
    /// As [`Self::details`].
    async fn haves(&self, hash: InfoHash) -> Result<Haves, Failure>;

    /// Opens a stream of a file: `range`, which is not empty and lies inside of it. Takes one of the client's few places
    /// for streams until it is dropped or has given its last byte.
    ///
    /// # Errors
    /// As [`Self::details`]. A piece that is not here is no error: the stream waits.
    async fn open(&self, hash: InfoHash, file: usize, range: ByteRange) -> Result<FileBytes, Failure>;
}

/// What is wrong with a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TorrentFault {
    /// The client has no such torrent, or no longer.
    #[error("the torrent client has no torrent {hash}; was it removed?")]
    Gone {
        /// Which.
        hash: InfoHash,
    },
    /// The torrent stopped on an error of the client.
    #[error("the torrent stopped on an error: {why}")]
    Failed {
        /// What the client says.
        why: String,
    },
    /// The bytes did not come in time.
    #[error("no byte came for {}.{:03} s: {why}", after.as_secs(), after.subsec_millis())]
    Waited {
        /// Why they may not have come, and what to do.
        why: String,
        /// The deadline.
        after: std::time::Duration,
    },
    /// The client failed in a way that has no better name.
    #[error("the torrent client says: {why}")]
    Client {
        /// What it says.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_forty_digits() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        let hash: InfoHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(hash));
        for wrong in [
            "",
            "0123",
            &format!("{text}0"),
            &text.replace('0', "g"),
            &"\u{e9}".repeat(20),
        ] {
            assert!(wrong.parse::<InfoHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_piece_is_the_highest_bit() {
        let haves = Haves {
            pieces: 10,
            bits: Bytes::from_static(&[0b1000_0001, 0b0111_1111]),
        };
        let here: Vec<u32> = (0..20).filter(|piece| haves.has(*piece)).collect();
        assert_eq!(here, [0, 7, 9]);
    }
}
