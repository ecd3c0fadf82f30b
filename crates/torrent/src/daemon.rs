//! The questions of the store, answered from the session.

use async_trait::async_trait;
use bytes::Bytes;
use forebay_source::{
    Daemon, Details, Failure, FileBytes, Haves, InfoHash, Listed, Peers, State, Stats, TorrentFault,
    TorrentFile,
};
use forebay_types::ByteRange;
use librqbit::{ManagedTorrent, TorrentMetadata, TorrentStatsState};
use std::sync::Arc;

use crate::session::{InProcess, id};
use crate::stream::{client, stopped_on};

#[async_trait]
impl Daemon for InProcess {
    async fn torrents(&self) -> Result<Vec<Listed>, Failure> {
        let mut all: Vec<_> = self.api.session().with_torrents(|all| {
            all.map(|(id, torrent)| {
                let listed = Listed {
                    hash: InfoHash(torrent.info_hash().0),
                    name: torrent.name(),
                };
                (id, listed)
            })
            .collect()
        });
        // The numbers rise as torrents are added; the session has them in no order.
        all.sort_by_key(|(id, _)| *id);
        Ok(all.into_iter().map(|(_, listed)| listed).collect())
    }

    async fn details(&self, hash: InfoHash) -> Result<Details, Failure> {
        let torrent = self.torrent(hash)?;
        let metadata = metadata(&torrent)?;
        let files = metadata.info.iter_file_details().map(|file| {
            let attributes = file.attrs();
            TorrentFile {
                components: file.filename.to_vec(),
                length: file.len,
                padding: attributes.padding,
                symlink: attributes.symlink,
                executable: attributes.executable,
            }
        });
        Ok(Details {
            name: torrent.name(),
            files: files.collect(),
        })
    }

    async fn stats(&self, hash: InfoHash) -> Result<Stats, Failure> {
        let torrent = self.torrent(hash)?;
        let metadata = metadata(&torrent)?;
        let stats = torrent.stats();
        let mut file_progress = stats.file_progress;
        // While data is checked, and after an error, the session does not say.
        file_progress.resize(metadata.file_infos.len(), 0);
        Ok(Stats {
            state: match stats.state {
                TorrentStatsState::Initializing { .. } => State::Initializing,
                TorrentStatsState::Live => State::Live,
                TorrentStatsState::Paused => State::Paused,
                TorrentStatsState::Error => State::Failed,
            },
            error: stopped_on(&torrent).or(stats.error),
            file_progress,
            total: metadata.lengths().total_length(),
            peers: stats.live.as_ref().map(|live| Peers {
                live: live.snapshot.peer_stats.live,
                seeders: live.snapshot.peer_stats.live_seeders,
                seen: live.snapshot.peer_stats.seen,
            }),
            download_bps: stats.live.as_ref().map(|live| live.download_speed.as_bytes()),
        })
    }

    async fn haves(&self, hash: InfoHash) -> Result<Haves, Failure> {
        let torrent = self.torrent(hash)?;
        let pieces = metadata(&torrent)?.lengths().total_pieces();
        if let Ok((bits, _)) = self.api.api_dump_haves(id(hash)) {
            let bits = Bytes::copy_from_slice(bits.as_raw_slice());
            return Ok(Haves { pieces, bits });
        }
        if let Some(why) = stopped_on(&torrent) {
            return Err(Failure::Torrent(TorrentFault::Failed { why }));
        }
        // Its data is being checked: nothing can be read until then.
        let bits = vec![0; pieces.div_ceil(8) as usize];
        Ok(Haves {
            pieces,
            bits: bits.into(),
        })
    }

    async fn open(&self, hash: InfoHash, file: usize, range: ByteRange) -> Result<FileBytes, Failure> {
        self.stream(hash, file, range).await
    }
}

fn metadata(torrent: &ManagedTorrent) -> Result<Arc<TorrentMetadata>, Failure> {
    let metadata = torrent.metadata.load_full();
    metadata.ok_or_else(|| client("it is not known yet what is in the torrent"))
}
