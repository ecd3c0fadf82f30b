//! How a torrent comes in: from a file, or from a link and whoever knows what it stands for.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use forebay_source::{Failure, InfoHash};
use librqbit::{AddTorrent, AddTorrentOptions, Session};

use crate::error::TorrentError;
use crate::magnet::Magnet;
use crate::session::{InProcess, id};
use crate::stream::client;

/// More bytes than a torrent file has: 64 MiB are the hashes of 7 TB in pieces of 2 MiB.
const LONGEST_FILE: u64 = 64 << 20;

impl InProcess {
    /// Adds a torrent by a magnet link (`magnet:?xt=urn:btih:…`, whose `x.pe=HOST:PORT` are asked first) or the path of
    /// its file, and begins to download it. One that is here already is not added again. Returns when it is known what
    /// is in the torrent: for a link, when a peer has told it, which is as long as peers are found.
    ///
    /// Dropping the future gives it up; then either all of it has happened or nothing.
    ///
    /// # Errors
    /// [`TorrentError::Source`] or [`TorrentError::Read`] if it is not a torrent, [`TorrentError::Metadata`] if nobody
    /// told what is in it, [`TorrentError::Refused`] if it holds what librqbit does not take, or its files cannot be
    /// made.
    pub async fn add(&self, source: &str) -> Result<InfoHash, TorrentError> {
        let (session, peers) = (Arc::clone(self.api.session()), self.peers.clone());
        let directory = self.directory.clone();
        if Magnet::is(source) {
            let magnet = Magnet::parse(source).map_err(|why| TorrentError::Source {
                origin: "the magnet link".to_owned(),
                why,
            })?;
            let hash = magnet.hash;
            let added = self.run(async move {
                let mut peers = peers;
                peers.extend(resolve(&magnet.peers).await);
                let add = AddTorrent::from_url(magnet.link());
                add_to(&session, add, hash, &directory, peers).await
            });
            return added
                .await
                .unwrap_or_else(|why| Err(TorrentError::Refused { hash, why }));
        }
        let path = PathBuf::from(source);
        let read = self.run(async move { read(&path) }).await;
        let failed = |why| TorrentError::Source {
            origin: source.to_owned(),
            why,
        };
        let (bytes, hash) = read.unwrap_or_else(|why| Err(failed(why)))?;
        let added = self.run(async move {
            let add = AddTorrent::from_bytes(bytes);
            add_to(&session, add, hash, &directory, peers).await
        });
        added
            .await
            .unwrap_or_else(|why| Err(TorrentError::Refused { hash, why }))
    }

    /// Forgets a torrent: nothing more of it is downloaded, its streams end with [`TorrentFault::Gone`] within a second.
    /// What is on disk stays.
    ///
    /// Dropping the future leaves the torrent either here or gone.
    ///
    /// # Errors
    /// [`TorrentFault::Gone`] if there is none of this hash.
    ///
    /// [`TorrentFault::Gone`]: forebay_source::TorrentFault::Gone
    pub async fn remove(&self, hash: InfoHash) -> Result<(), Failure> {
        self.torrent(hash)?;
        let session = Arc::clone(self.api.session());
        let removed = self
            .run(async move { session.delete(id(hash), false).await })
            .await;
        removed
            .map_err(client)?
            .map_err(|error| client(format!("{error:#}")))
    }
}

async fn add_to(
    session: &Arc<Session>,
    add: AddTorrent<'_>,
    hash: InfoHash,
    directory: &Path,
    peers: Vec<SocketAddr>,
) -> Result<InfoHash, TorrentError> {
    let link = matches!(add, AddTorrent::Url(_));
    // A directory of its own: what other torrents call their files, and what this one calls itself, is no matter.
    let folder = directory.join(hash.to_string());
    let options = AddTorrentOptions {
        overwrite: true,
        output_folder: folder.to_str().map(str::to_owned),
        initial_peers: Some(peers),
        ..AddTorrentOptions::default()
    };
    match session.add_torrent(add, Some(options)).await {
        Ok(_) => Ok(hash),
        Err(error) => {
            let why = format!("{error:#}");
            let unknown = why.contains("no way to discover") || why.contains("no known way to resolve peers");
            Err(if link && unknown {
                TorrentError::Metadata { hash, why }
            } else {
                TorrentError::Refused { hash, why }
            })
        }
    }
}

/// Where peers are. Those whose name nobody knows are left out: others may do.
async fn resolve(peers: &[String]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for peer in peers {
        match tokio::net::lookup_host(peer).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => tracing::warn!(peer, %error, "a peer of a magnet link was not found"),
        }
    }
    found
}

/// The file and who it is.
fn read(path: &Path) -> Result<(Bytes, InfoHash), TorrentError> {
    let wrong = |why: String| TorrentError::Source {
        origin: path.display().to_string(),
        why,
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|source| unread(path, source))?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(wrong("it is larger than any torrent file (64 MiB)".to_owned()));
    }
    let parsed = librqbit::torrent_from_bytes(&bytes).map_err(|error| wrong(error.to_string()))?;
    let hash = InfoHash(parsed.info_hash.0);
    Ok((bytes.into(), hash))
}

/// A typed URL ends here too.
fn unread(path: &Path, source: io::Error) -> TorrentError {
    let text = path.display().to_string();
    match text.split_once("://") {
        Some((scheme, _)) if source.kind() == io::ErrorKind::NotFound => TorrentError::Source {
            why: format!("{scheme}:// is not fetched from here, download the file first"),
            origin: "the URL".to_owned(),
        },
        _ => TorrentError::Read {
            path: path.to_owned(),
            source,
        },
    }
}
