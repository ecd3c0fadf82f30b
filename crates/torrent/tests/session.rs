//! A session in this process, which downloads from real ones of rqbit.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use forebay_source::{Daemon, Failure, InfoHash, State, TorrentFault};
use forebay_testkit::Content;
use forebay_testkit::rqbit::{Entry, Rqbit, Torrent, bare_torrent, make_torrent};
use forebay_torrent::{InProcess, TorrentError, TorrentOptions};
use forebay_types::ByteRange;
use futures::{FutureExt, StreamExt, TryStreamExt};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(40);
const PIECE: u32 = 65536;
const A: u64 = 1_500_000;
const B: u64 = 700_001;

/// Data, its torrent, where the torrent's file is, and whoever has it.
struct Seed {
    data: TempDir,
    torrent: Torrent,
    file: TempDir,
    seeder: Rqbit,
}

fn seed() -> Seed {
    let data = TempDir::new().unwrap();
    fs::create_dir(data.path().join("sub")).unwrap();
    for (seed, (name, length)) in [("a.bin", A), ("sub/b.bin", B)].into_iter().enumerate() {
        let bytes = Content::pattern(seed as u64, length).read(ByteRange::new(0, length));
        fs::write(data.path().join(name), &bytes).unwrap();
    }
    let torrent = make_torrent(data.path(), "things", Some(PIECE)).unwrap();
    let seeder = Rqbit::builder().start().unwrap();
    seeder.seed(&torrent, data.path()).unwrap();
    let file = TempDir::new().unwrap();
    fs::write(file.path().join("x.torrent"), torrent.bytes()).unwrap();
    Seed {
        data,
        torrent,
        file,
        seeder,
    }
}

impl Seed {
    fn path(&self) -> String {
        self.file.path().join("x.torrent").to_str().unwrap().to_owned()
    }

    fn hash(&self) -> InfoHash {
        self.torrent.hash().parse().unwrap()
    }

    fn whole(&self, name: &str) -> Vec<u8> {
        fs::read(self.data.path().join(name)).unwrap()
    }
}

async fn session(directory: &Path) -> InProcess {
    InProcess::start(TorrentOptions::new(directory)).await.unwrap()
}

async fn read(
    session: &InProcess,
    hash: InfoHash,
    file: usize,
    range: ByteRange,
) -> Result<Vec<u8>, Failure> {
    let stream = timeout(PATIENCE, session.open(hash, file, range))
        .await
        .unwrap()?;
    let chunks: Vec<Bytes> = timeout(PATIENCE, stream.try_collect()).await.unwrap()?;
    Ok(chunks.concat())
}

async fn until_complete(session: &InProcess, hash: InfoHash) {
    let complete = async {
        loop {
            let stats = session.stats(hash).await.unwrap();
            if stats.file_progress.iter().sum::<u64>() == stats.total {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, complete).await.unwrap();
}

#[tokio::test]
async fn a_torrent_file_and_a_peer_are_enough() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let options = TorrentOptions {
        peers: vec![seed.seeder.peer_addr()],
        ..TorrentOptions::new(here.path())
    };
    let session = InProcess::start(options).await.unwrap();
    let hash = session.add(&seed.path()).await.unwrap();
    assert_eq!(hash, seed.hash());
    let details = session.details(hash).await.unwrap();
    assert_eq!(details.name.as_deref(), Some("things"));
    let files: Vec<_> = details
        .files
        .iter()
        .map(|file| (file.components.join("/"), file.length))
        .collect();
    assert_eq!(files, [("a.bin".to_owned(), A), ("sub/b.bin".to_owned(), B)]);
    assert!(
        details
            .files
            .iter()
            .all(|file| !file.padding && !file.symlink && !file.executable)
    );

    let range = ByteRange::new(600_001, B);
    assert!(read(&session, hash, 1, range).await.unwrap() == seed.whole("sub/b.bin")[600_001..]);
    assert!(read(&session, hash, 0, ByteRange::new(0, A)).await.unwrap() == seed.whole("a.bin"));
    until_complete(&session, hash).await;
    let stats = session.stats(hash).await.unwrap();
    assert_eq!(
        (stats.state, stats.error, stats.total),
        (State::Live, None, A + B)
    );
    assert_eq!(stats.file_progress, [A, B]);
    assert!(stats.peers.unwrap().seen >= 1 && stats.download_bps.is_some());
    let haves = session.haves(hash).await.unwrap();
    let pieces = u32::try_from((A + B).div_ceil(u64::from(PIECE))).unwrap();
    assert_eq!(
        (haves.pieces, haves.bits.len()),
        (pieces, pieces.div_ceil(8) as usize)
    );
    assert!((0..pieces).all(|piece| haves.has(piece)));

    let listed = session.torrents().await.unwrap();
    assert_eq!(
        (listed.len(), listed[0].hash, listed[0].name.as_deref()),
        (1, hash, Some("things"))
    );
    assert_eq!(session.add(&seed.path()).await.unwrap(), hash);
    assert_eq!(session.torrents().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_link_with_a_peer_is_enough() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    // One that nobody answers at, which must not be in the way.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let link = seed.torrent.magnet(&[closed, seed.seeder.peer_addr()]);
    let hash = timeout(PATIENCE, session.add(&link)).await.unwrap().unwrap();
    assert_eq!(hash, seed.hash());
    assert!(read(&session, hash, 0, ByteRange::new(0, A)).await.unwrap() == seed.whole("a.bin"));
    // It is on disk below its hash, where another session finds it and needs nobody.
    until_complete(&session, hash).await;
    drop(session);
    assert!(here.path().join(seed.torrent.hash()).join("sub/b.bin").exists());
    let later = InProcess::start(TorrentOptions::new(here.path())).await.unwrap();
    later.add(&seed.path()).await.unwrap();
    assert!(read(&later, hash, 1, ByteRange::new(0, B)).await.unwrap() == seed.whole("sub/b.bin"));
}

#[tokio::test]
async fn a_stream_waits_for_its_piece() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let options = TorrentOptions {
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        ..TorrentOptions::new(here.path())
    };
    let session = InProcess::start(options).await.unwrap();
    let hash = session.add(&seed.path()).await.unwrap();
    let mut stream = session
        .open(hash, 0, ByteRange::new(1_000_000, 1_000_100))
        .await
        .unwrap();
    assert!(timeout(Duration::from_millis(1500), stream.next()).await.is_err());
    let haves = session.haves(hash).await.unwrap();
    assert!((0..haves.pieces).all(|piece| !haves.has(piece)));
    assert_eq!(session.stats(hash).await.unwrap().file_progress, [0, 0]);
    seed.seeder
        .add_peer(seed.torrent.hash(), session.listen_addr().unwrap())
        .unwrap();
    let bytes = timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
    assert!(bytes == seed.whole("a.bin")[1_000_000..1_000_100]);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn streams_that_wait_stop_nothing() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let options = TorrentOptions {
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        ..TorrentOptions::new(here.path())
    };
    let session = InProcess::start(options).await.unwrap();
    let hash = session.add(&seed.path()).await.unwrap();
    let mut waiting = Vec::new();
    // More than the eight that librqbit would let be.
    for at in 0..20 {
        let range = ByteRange::at(at * 50_000, 1000);
        waiting.push((range, session.open(hash, 0, range).await.unwrap()));
    }
    assert!(
        waiting
            .iter_mut()
            .all(|(_, stream)| stream.next().now_or_never().is_none())
    );
    // One that was dropped gives its place back: so all the places can be had again and again.
    for _ in 0..200 {
        drop(
            timeout(PATIENCE, session.open(hash, 1, ByteRange::new(0, 1)))
                .await
                .unwrap()
                .unwrap(),
        );
    }
    seed.seeder
        .add_peer(seed.torrent.hash(), session.listen_addr().unwrap())
        .unwrap();
    let whole = seed.whole("a.bin");
    for (range, stream) in waiting {
        let bytes: Vec<Bytes> = timeout(PATIENCE, stream.try_collect()).await.unwrap().unwrap();
        assert!(bytes.concat() == whole[range.start() as usize..range.end() as usize]);
    }
}

#[tokio::test]
async fn a_torrent_that_is_not_here_is_gone() {
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let hash = InfoHash([7; 20]);
    let gone = |failure: Failure| matches!(failure, Failure::Torrent(TorrentFault::Gone { hash: which }) if which == hash);
    assert!(gone(session.details(hash).await.unwrap_err()));
    assert!(gone(session.stats(hash).await.unwrap_err()));
    assert!(gone(session.haves(hash).await.unwrap_err()));
    assert!(gone(
        session.open(hash, 0, ByteRange::new(0, 1)).await.err().unwrap()
    ));
    assert!(session.torrents().await.unwrap().is_empty());
}

#[tokio::test]
async fn ranges_that_are_not_in_the_file_are_refused() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let hash = session.add(&seed.path()).await.unwrap();
    for (file, range) in [
        (0, ByteRange::new(0, A + 1)),
        (0, ByteRange::new(5, 5)),
        (2, ByteRange::new(0, 1)),
    ] {
        let error = session.open(hash, file, range).await.err().unwrap();
        assert!(
            matches!(error, Failure::Torrent(TorrentFault::Client { .. })),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_torrent_that_is_removed_ends_its_streams() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let hash = session.add(&seed.path()).await.unwrap();
    let mut stream = session.open(hash, 0, ByteRange::new(0, A)).await.unwrap();
    assert!(stream.next().now_or_never().is_none());
    session.remove(hash).await.unwrap();
    let error = timeout(PATIENCE, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, Failure::Torrent(TorrentFault::Gone { .. })),
        "{error}"
    );
    assert!(stream.next().await.is_none());
    let error = session.remove(hash).await.unwrap_err();
    assert!(
        matches!(error, Failure::Torrent(TorrentFault::Gone { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn the_end_of_the_session_ends_its_streams_with_an_error() {
    let seed = seed();
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let hash = session.add(&seed.path()).await.unwrap();
    let mut stream = session.open(hash, 0, ByteRange::new(0, A)).await.unwrap();
    drop(session);
    let error = timeout(PATIENCE, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_torrent_whose_files_cannot_be_made_is_refused() {
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let other = bare_torrent(b"other", PIECE, &[Entry::named("x", 5), Entry::named("y", 5)]);
    fs::write(here.path().join(other.hash()), b"in the way").unwrap();
    let file = here.path().join("other.torrent");
    fs::write(&file, other.bytes()).unwrap();
    let error = session.add(file.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, TorrentError::Refused { .. }), "{error}");
    assert!(error.to_string().contains(other.hash()), "{error}");
    assert!(session.torrents().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_torrent_is_refused() {
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let scratch = TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let climbing = bare_torrent(b"x", PIECE, &[Entry::named("../../x", 5), Entry::named("y", 5)]);
    let endless = bare_torrent(b"x", PIECE, &[Entry::named(&"n".repeat(300), 5)]);
    let mut deep = b"d4:info".to_vec();
    deep.extend(vec![b'l'; 1 << 20]);
    for (source, said) in [
        (file("text", b"hello"), "no torrent"),
        (file("empty", b""), "no torrent"),
        (file("list", b"le"), "no torrent"),
        (file("deep", &deep), "no torrent"),
        (file("climbing", &climbing.bytes()), "refused"),
        (file("endless", &endless.bytes()), "refused"),
        (
            scratch.path().join("none").to_str().unwrap().to_owned(),
            "cannot be read",
        ),
        ("https://example.org/x.torrent".to_owned(), "download the file"),
        (format!("magnet:?xt=urn:btih:{}", "0".repeat(40)), "nobody told"),
        ("magnet:?dn=secret".to_owned(), "no hash"),
    ] {
        let error = timeout(PATIENCE, session.add(&source))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains(said), "{source}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(session.torrents().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_link_whose_peer_says_nothing_can_be_given_up() {
    let here = TempDir::new().unwrap();
    let session = session(here.path()).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = format!(
        "magnet:?xt=urn:btih:{}&x.pe={}",
        "1".repeat(40),
        silent.local_addr().unwrap()
    );
    assert!(
        timeout(Duration::from_millis(300), session.add(&link))
            .await
            .is_err()
    );
    assert!(session.torrents().await.unwrap().is_empty());
}

#[tokio::test]
async fn sessions_that_cannot_be_are_refused() {
    let here = TempDir::new().unwrap();
    let file = here.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = InProcess::start(TorrentOptions::new(&file)).await.unwrap_err();
    assert!(matches!(error, TorrentError::Directory { .. }), "{error}");
    let options = TorrentOptions {
        upload_bps: NonZeroU32::new(100),
        ..TorrentOptions::new(here.path())
    };
    let error = InProcess::start(options).await.unwrap_err();
    assert!(matches!(error, TorrentError::Limit { limit: 100 }), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = TorrentOptions {
        listen: Some(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            taken.local_addr().unwrap().port(),
        ))),
        ..TorrentOptions::new(here.path())
    };
    let error = InProcess::start(options).await.unwrap_err();
    assert!(matches!(error, TorrentError::Start { .. }), "{error}");
}
