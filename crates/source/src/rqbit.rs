//! Torrents as an object store.
//!
//! A [`Daemon`] is asked which torrents there are and what is in them; [`TorrentFault`] says what went wrong with one.

mod daemon;
mod options;

pub use daemon::{
    Daemon, Details, FileBytes, Haves, InfoHash, Listed, Peers, State, Stats, TorrentFault, TorrentFile,
};
pub use options::RqbitOptions;
