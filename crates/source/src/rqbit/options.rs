//! How torrents are read.

use std::time::Duration;

/// Settings of a torrent client's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RqbitOptions {
    /// Streams of the client that are open at a time. rqbit has eight places by default, which its own disk writes and
    /// uploads share: with all of them taken by streams that wait, the download stands still.
    pub max_streams: usize,
    /// A stream that nobody reads is closed after this long. Until then the client keeps fetching what comes next in it.
    pub stream_idle: Duration,
    /// How long a read waits for the next byte, whatever holds it up: a missing piece, a paused torrent, a client that
    /// is started anew.
    pub read_timeout: Duration,
    /// A read that begins at most so many bytes after the end of the last one goes on in its stream; the bytes between
    /// are read and dropped.
    pub reach: u64,
    /// For how long the client's answer which torrents it has is believed.
    pub believed: Duration,
}

impl Default for RqbitOptions {
    fn default() -> Self {
        Self {
            max_streams: 4,
            stream_idle: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            reach: 32 << 20,
            believed: Duration::from_secs(1),
        }
    }
}
