//! What a session is to be like.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Settings of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentOptions {
    /// Where data is kept, each torrent in a directory of its own that is named by its hash. What is there already is
    /// checked and used; what is wrong in it is fetched again.
    pub directory: PathBuf,
    /// Where peers may connect to; port 0 is any that is free. Default: nowhere, so that all connections go out from
    /// here.
    pub listen: Option<SocketAddr>,
    /// Whether peers are looked for in the distributed hash table (BEP 5), whose nodes on the internet are asked for
    /// each torrent that is not private. Default: off.
    pub dht: bool,
    /// Bytes per second sent to peers, of all torrents. At least 16 KiB, which peers ask for at a time. Default: no
    /// limit.
    pub upload_bps: Option<NonZeroU32>,
    /// Bytes per second taken from peers, as above.
    pub download_bps: Option<NonZeroU32>,
    /// Who is asked for each torrent, besides those that its link or its trackers name.
    pub peers: Vec<SocketAddr>,
}

impl TorrentOptions {
    /// The defaults, and this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            listen: None,
            dht: false,
            upload_bps: None,
            download_bps: None,
            peers: Vec::new(),
        }
    }
}
