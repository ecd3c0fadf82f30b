//! Torrents in this process: a session of librqbit behind the questions that the `rqbit` store asks.
//!
//! [`InProcess::start`] opens a session on threads of its own ([`TorrentOptions`]: where data is kept, who may connect,
//! how peers are found). [`InProcess::add`] takes a path to a torrent file or a magnet link, for which it waits until a
//! peer has told what is in the torrent. Then the store asks as it asks rqbit's HTTP server, through
//! [`forebay_source::Daemon`]: which torrents there are, what is in them, how they do; and [`Daemon::open`] gives bytes
//! of a file as they come, the pieces that somebody reads first, the rest behind them.
//!
//! librqbit reads files on the threads of its runtime and says so to tokio, which only a runtime with several threads
//! takes: hence the threads. A stream is a task there that hands over what it read, and ends when nobody takes it.
//!
//! [`Daemon::open`]: forebay_source::Daemon::open

mod add;
mod daemon;
mod error;
mod magnet;
mod options;
mod session;
mod stream;

pub use error::TorrentError;
pub use options::TorrentOptions;
pub use session::InProcess;
