//! How a file of a torrent is doing.

use forebay_types::ByteRange;

use super::{Daemon, Haves, InfoHash, Peers, State, TorrentFault};
use crate::transport::Failure;

/// What a torrent client tells of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Whose file it is.
    pub hash: InfoHash,
    /// What the torrent does.
    pub state: State,
    /// Why it stopped.
    pub error: Option<String>,
    /// Bytes of the file that the client has. None while it checks what it has, and after an error.
    pub here: u64,
    /// Bytes of the file.
    pub length: u64,
    /// The other side, as long as the torrent is live.
    pub peers: Option<Peers>,
    /// Bytes per second that come in for the whole torrent, as long as it is live.
    pub download_bps: Option<u64>,
    /// Which bytes of the file the client has: in order, not touching each other. Empty as well if that cannot be told,
    /// because the client does not say how long a piece is and it cannot be derived.
    pub present: Vec<ByteRange>,
}

/// Where a file lies in the bytes of its torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Bytes of the files before it.
    pub(crate) before: u64,
    /// Its own.
    pub(crate) length: u64,
    /// Bytes of all files.
    pub(crate) total: u64,
}

/// Asks how a file is doing.
///
/// # Errors
/// As [`Daemon::stats`].
///
/// # Cancel safety
/// Dropping the future gives up its requests.
pub(crate) async fn facts(
    daemon: &dyn Daemon,
    span: Span,
    hash: InfoHash,
    file: usize,
) -> Result<FileFacts, Failure> {
    let stats = daemon.stats(hash).await?;
    let here = stats.file_progress.get(file).copied().unwrap_or_default();
    let here = here.min(span.length);
    let present = match (here, stats.state) {
        (0, _) | (_, State::Initializing | State::Failed) => Vec::new(),
        (all, _) if all == span.length => vec![ByteRange::new(0, all)],
        _ => match daemon.haves(hash).await {
            Ok(haves) => present(&haves, span, here),
            // It stopped since it was asked how it does.
            Err(Failure::Torrent(TorrentFault::Client { .. })) => Vec::new(),
            Err(failure) => return Err(failure),
        },
    };
    Ok(FileFacts {
        hash,
        state: stats.state,
        error: stats.error,
        here,
        length: span.length,
        peers: stats.peers,
        download_bps: stats.download_bps,
        present,
    })
}

/// The parts of a file that lie in pieces which are here. Nothing if the length of a piece is not to be derived, or is
/// not what it seems: there are fewer bytes in them than `least`, which were here before.
fn present(haves: &Haves, span: Span, least: u64) -> Vec<ByteRange> {
    let Some(piece) = piece_length(span.total, haves.pieces) else {
        return Vec::new();
    };
    let file = ByteRange::at(span.before, span.length);
    if file.is_empty() {
        return Vec::new();
    }
    let first = (file.start() / piece) as u32;
    let last = ((file.end() - 1) / piece) as u32;
    let mut ranges: Vec<ByteRange> = Vec::new();
    for number in (first..=last).filter(|number| haves.has(*number)) {
        let here = ByteRange::at(u64::from(number) * piece, piece).intersect(file);
        let (start, end) = (here.start() - span.before, here.end() - span.before);
        match ranges.last_mut() {
            Some(before) if before.end() == start => *before = ByteRange::new(before.start(), end),
            _ => ranges.push(ByteRange::new(start, end)),
        }
    }
    let bytes: u64 = ranges.iter().map(|range| range.len()).sum();
    if bytes < least { Vec::new() } else { ranges }
}

/// How long a piece is: the power of two that cuts `total` bytes into so many, if there is just one. All clients in use
/// make pieces of such lengths.
fn piece_length(total: u64, pieces: u32) -> Option<u64> {
    if total == 0 {
        return None;
    }
    match pieces {
        0 => None,
        1 => Some(total),
        _ => {
            let piece = total.div_ceil(u64::from(pieces)).checked_next_power_of_two()?;
            // The next longer one would be twice as long, and two pieces or more would become fewer.
            (total.div_ceil(piece) == u64::from(pieces)).then_some(piece)
        }
    }
}

#[cfg(test)]
mod tests;
