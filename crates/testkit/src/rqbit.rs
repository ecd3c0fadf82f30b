//! Real sessions of the torrent client rqbit on loopback, each with its HTTP API: what the `rqbit` store reads from.
//!
//! [`make_torrent`] names what lies on disk, [`bare_torrent`] anything one can write down. An [`Rqbit`] seeds a
//! [`Torrent`] or downloads it from the others it is told of; it knows no DHT, no trackers and no peers of its own. A
//! [`Proxy`] before its HTTP port counts who streams what, and cuts off.
//!
//! ```
//! use std::time::Duration;
//!
//! use forebay_testkit::rqbit::{Rqbit, make_torrent};
//!
//! # fn main() -> std::io::Result<()> {
//! let data = tempfile::tempdir()?;
//! std::fs::write(data.path().join("a.bin"), vec![7; 300_000])?;
//! let torrent = make_torrent(data.path(), "things", Some(65536))?;
//!
//! let seeder = Rqbit::builder().start()?;
//! seeder.seed(&torrent, data.path())?;
//! let client = Rqbit::builder().start()?;
//! client.add(&torrent, &[seeder.peer_addr()])?;
//! client.wait_finished(torrent.hash(), Duration::from_secs(30))?;
//! println!("{}torrents/{}", client.api_url(), torrent.hash());
//! # Ok(())
//! # }
//! ```

mod bencode;
mod builder;
mod exchange;
mod metainfo;
mod proxy;
mod session;
mod storage;
mod workers;

pub use builder::RqbitBuilder;
pub use metainfo::{Entry, Torrent, bare_torrent, make_torrent};
pub use proxy::{Asked, Proxy, StreamCounts};
pub use session::Rqbit;
