//! The store of torrents against real rqbit: a session that seeds, one that downloads, both on loopback.

use std::net::SocketAddr;
use std::path::Path as File;
use std::time::Duration;

use bytes::Bytes;
use forebay_source::{Opener, RqbitOptions, Source, SourceOptions};
use forebay_testkit::rqbit::{Rqbit, RqbitBuilder, Torrent, make_torrent};
use forebay_types::ErrorKind;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use tempfile::TempDir;

use crate::world::{get, kind, open, read, within};

const MIB: usize = 1 << 20;
const PIECE: u32 = 256 << 10;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// A film, and a directory with some files.
struct Seeds {
    rqbit: Rqbit,
    film: (Torrent, Vec<u8>),
    album: Torrent,
    _dir: TempDir,
}

impl Seeds {
    fn new() -> Self {
        Self::of(Rqbit::builder())
    }

    fn of(rqbit: RqbitBuilder) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let film = noise(1, 24 * MIB + 123);
        std::fs::write(dir.path().join("film.mkv"), &film).unwrap();
        let album = dir.path().join("album");
        std::fs::create_dir_all(album.join("sub d\u{ef}r")).unwrap();
        for (name, bytes) in album_files() {
            std::fs::write(album.join(name), bytes).unwrap();
        }
        let rqbit = rqbit.start().unwrap();
        let film = (
            make_torrent(&dir.path().join("film.mkv"), "film.mkv", Some(PIECE)).unwrap(),
            film,
        );
        let album = make_torrent(&album, "album", Some(PIECE)).unwrap();
        rqbit.seed(&film.0, dir.path()).unwrap();
        rqbit.seed(&album, &dir.path().join("album")).unwrap();
        Self {
            rqbit,
            film,
            album,
            _dir: dir,
        }
    }

    fn peers(&self) -> [SocketAddr; 1] {
        [self.rqbit.peer_addr()]
    }
}

fn album_files() -> [(&'static str, Vec<u8>); 4] {
    [
        ("01 one.flac", noise(2, MIB)),
        ("empty", Vec::new()),
        ("sub d\u{ef}r/02.flac", noise(3, 3 * MIB + 1)),
        ("z", b"z".to_vec()),
    ]
}

fn opener(rqbit: RqbitOptions) -> Opener {
    Opener::new(SourceOptions {
        rqbit,
        ..SourceOptions::default()
    })
}

fn at(source: &Source, path: &str) -> Source {
    let mut source = source.clone();
    source.path = Path::parse(path).unwrap();
    source
}

async fn range(source: &Source, range: impl Into<GetRange>) -> object_store::Result<Bytes> {
    let options = GetOptions {
        range: Some(range.into()),
        ..GetOptions::default()
    };
    get(source, options).await
}

async fn keys(source: &Source, prefix: &str) -> Vec<String> {
    let prefix = Path::parse(prefix).unwrap();
    let listed: Vec<_> = source.store.list(Some(&prefix)).try_collect().await.unwrap();
    listed
        .iter()
        .map(|meta| format!("{} {}", meta.location, meta.size))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_torrents_are_objects() {
    let seeds = Seeds::new();
    within(async {
        let source = open(&opener(RqbitOptions::default()), &seeds.rqbit.rqbit_url());
        assert!(source.is_prefix && source.torrents().is_some());
        assert_eq!(
            keys(&source, "").await,
            [
                "album/01 one.flac 1048576".to_owned(),
                "album/empty 0".to_owned(),
                "album/sub d\u{ef}r/02.flac 3145729".to_owned(),
                "album/z 1".to_owned(),
                "film.mkv 25165947".to_owned(),
            ]
        );
        assert_eq!(keys(&source, "album/sub d\u{ef}r").await.len(), 1);
        assert_eq!(keys(&source, "alb").await.len(), 0);
        let top = source.store.list_with_delimiter(None).await.unwrap();
        assert_eq!(top.common_prefixes, [Path::from("album")]);
        assert_eq!(top.objects.len(), 1);
        let album = source
            .store
            .list_with_delimiter(Some(&Path::from("album")))
            .await
            .unwrap();
        assert_eq!((album.common_prefixes.len(), album.objects.len()), (1, 3));
        for (name, bytes) in album_files() {
            let file = at(&source, &format!("album/{name}"));
            assert_eq!(
                file.store.head(&file.path).await.unwrap().size,
                bytes.len() as u64
            );
            assert!(read(&file).await.unwrap() == bytes, "{name}");
        }
        // By its hash, too, however it is called.
        let by_hash = at(&source, &format!("{}/z", seeds.album.hash()));
        assert_eq!(read(&by_hash).await.unwrap(), "z");
        let film = at(&source, "film.mkv");
        assert!(read(&film).await.unwrap() == seeds.film.1);
        for (path, expected) in [
            ("film", ErrorKind::NotFound),
            ("album", ErrorKind::NotFound),
            ("album/x", ErrorKind::NotFound),
        ] {
            let error = read(&at(&source, path)).await.unwrap_err();
            assert_eq!(kind(&error), expected, "{path}: {error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_is_what_http_says_and_rqbit_does_not() {
    let seeds = Seeds::new();
    within(async {
        let film = open(
            &opener(RqbitOptions::default()),
            &format!("{}film.mkv", seeds.rqbit.rqbit_url()),
        );
        let bytes = &seeds.film.1;
        let len = bytes.len() as u64;
        for (start, end) in [
            (0, 1),
            (5, 100_000),
            (len - 1, len),
            (len - 7, len + 1000),
            (0, len * 2),
        ] {
            let got = range(&film, start..end).await.unwrap();
            assert!(
                got == bytes[start as usize..end.min(len) as usize],
                "{start}..{end}"
            );
        }
        assert!(range(&film, GetRange::Suffix(1000)).await.unwrap() == bytes[bytes.len() - 1000..]);
        assert!(range(&film, GetRange::Suffix(len * 2)).await.unwrap() == bytes[..]);
        assert!(range(&film, GetRange::Offset(len - 3)).await.unwrap() == bytes[bytes.len() - 3..]);
        let error = range(&film, len..len + 5).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Invalid, "{error}");
        // What rqbit has no word for, the store has: a version that is the content.
        let meta = film.store.head(&film.path).await.unwrap();
        let tag = meta.e_tag.unwrap();
        assert!(tag.contains(seeds.film.0.hash()), "{tag}");
        let same = GetOptions {
            if_none_match: Some(tag.clone()),
            ..GetOptions::default()
        };
        let error = get(&film, same).await.unwrap_err();
        assert!(
            matches!(error, object_store::Error::NotModified { .. }),
            "{error}"
        );
        let other = GetOptions {
            if_match: Some("\"other\"".to_owned()),
            ..GetOptions::default()
        };
        assert_eq!(kind(&get(&film, other).await.unwrap_err()), ErrorKind::Changed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_stream_and_ten_readers_are_four() {
    let seeds = Seeds::new();
    let proxy = seeds.rqbit.proxy().unwrap();
    within(async {
        let film = open(
            &opener(RqbitOptions::default()),
            &format!("{}film.mkv", proxy.rqbit_url()),
        );
        let bytes = &seeds.film.1;
        for start in (0..bytes.len() as u64).step_by(MIB) {
            let got = range(&film, start..start + MIB as u64).await.unwrap();
            let expected = &bytes[start as usize..(start as usize + MIB).min(bytes.len())];
            assert!(got == expected, "{start}");
        }
        assert_eq!(proxy.streams().requests, 2, "{:?}", proxy.asked());
        proxy.clear();
        let readers = (0..10_usize).map(|reader| {
            let film = film.clone();
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut at = reader * 2 * MIB;
                let end = (at + 8 * MIB).min(bytes.len());
                while at < end {
                    let to = (at + MIB / 2).min(end);
                    let got = range(&film, at as u64..to as u64).await.unwrap();
                    assert!(got == bytes[at..to], "{reader} {at}");
                    at = to;
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.unwrap();
        }
        let counts = proxy.streams();
        assert!(counts.most <= 4, "{counts:?}");
        tokio::time::sleep(RqbitOptions::default().stream_idle + Duration::from_secs(1)).await;
        assert_eq!(proxy.streams().open, 0, "nobody reads any more");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_downloaded_while_it_is_read_is_waited_for() {
    let seeds = Seeds::of(Rqbit::builder().upload_bps(2 << 20));
    let reader = Rqbit::builder().start().unwrap();
    reader.add(&seeds.film.0, &seeds.peers()).unwrap();
    within(async {
        let film = open(
            &opener(RqbitOptions::default()),
            &format!("{}film.mkv", reader.rqbit_url()),
        );
        let bytes = &seeds.film.1;
        let (here, total) = reader.progress(seeds.film.0.hash()).unwrap();
        assert!(here < total / 2, "{here} of {total} are here before it began");
        // A player: the start, the index at the end, then on from where it was.
        let at = |start: usize, end: usize| range(&film, start as u64..end as u64);
        assert!(at(0, MIB).await.unwrap() == bytes[..MIB]);
        assert!(at(bytes.len() - MIB, bytes.len()).await.unwrap() == bytes[bytes.len() - MIB..]);
        for start in (MIB..6 * MIB).step_by(MIB) {
            assert!(
                at(start, start + MIB).await.unwrap() == bytes[start..start + MIB],
                "{start}"
            );
        }
        let facts = film.file_facts(&film.path).await.unwrap().unwrap();
        assert!(
            facts.here >= 7 * MIB as u64 && facts.length == bytes.len() as u64,
            "{facts:?}"
        );
        assert!(facts.peers.is_some_and(|peers| peers.live >= 1), "{facts:?}");
        assert!(facts.present.iter().any(|range| range.start() == 0), "{facts:?}");
        seeds.rqbit.set_upload_bps(None);
        assert!(read(&film).await.unwrap() == bytes[..]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_does_not_come_times_out_and_comes_later() {
    let seeds = Seeds::new();
    let reader = Rqbit::builder().start().unwrap();
    reader.add_paused(&seeds.film.0, &seeds.peers()).unwrap();
    within(async {
        let options = RqbitOptions {
            read_timeout: Duration::from_secs(3),
            ..RqbitOptions::default()
        };
        let film = open(&opener(options), &format!("{}film.mkv", reader.rqbit_url()));
        let error = range(&film, 0..1000).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::TimedOut, "{error}");
        assert!(
            error.to_string().contains("paused") || format!("{error:?}").contains("paused"),
            "{error:?}"
        );
        reader.start_torrent(seeds.film.0.hash()).unwrap();
        assert!(range(&film, 0..1000).await.unwrap() == seeds.film.1[..1000]);
        reader.remove(seeds.film.0.hash()).unwrap();
        tokio::time::sleep(RqbitOptions::default().believed + Duration::from_millis(200)).await;
        let error = range(&film, 0..1000).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::NotFound, "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_started_anew_is_read_on() {
    let seeds = Seeds::new();
    let dir = tempfile::tempdir().unwrap();
    let start = |port, dir: &File| Rqbit::builder().directory(dir).http_port(port).start().unwrap();
    let reader = start(0, dir.path());
    reader.add(&seeds.film.0, &seeds.peers()).unwrap();
    reader
        .wait_finished(seeds.film.0.hash(), Duration::from_secs(30))
        .unwrap();
    let port = reader.http_port();
    let film = open(
        &opener(RqbitOptions::default()),
        &format!("{}film.mkv", reader.rqbit_url()),
    );
    within(async { assert!(range(&film, 0..1000).await.unwrap() == seeds.film.1[..1000]) }).await;
    drop(reader);
    let (again, dir) = (dir.path().to_owned(), dir);
    let again = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(2));
        start(port, &again)
    });
    within(async {
        assert!(range(&film, 5000..90_000).await.unwrap() == seeds.film.1[5000..90_000]);
    })
    .await;
    let again = again.await.unwrap();
    drop(dir);
    drop(again);
    let options = RqbitOptions {
        read_timeout: Duration::from_secs(2),
        believed: Duration::ZERO,
        ..RqbitOptions::default()
    };
    let gone = open(&opener(options), &format!("rqbit://127.0.0.1:{port}/film.mkv"));
    within(async {
        let error = range(&gone, 0..10).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_is_refused_and_it_is_never_shown() {
    let rqbit = Rqbit::builder().auth("user", "s3cr:t").start().unwrap();
    let port = rqbit.http_port();
    let with = async |userpass: Option<&str>, url: &str| {
        let options = SourceOptions {
            rqbit_userpass: userpass.map(str::to_owned),
            ..SourceOptions::default()
        };
        let source = open(&Opener::new(options), url);
        within(async move {
            let listed: object_store::Result<Vec<_>> = source.store.list(None).try_collect().await;
            let shown = format!("{source:?} {} {:?}", source.store, source.origin);
            assert!(!shown.contains("s3cr") && !shown.contains("c2VjcjM"), "{shown}");
            listed.map_err(|error| (kind(&error), format!("{error} {error:?}")))
        })
        .await
    };
    let plain = format!("rqbit://127.0.0.1:{port}/");
    assert_eq!(with(Some("user:s3cr:t"), &plain).await.unwrap(), []);
    assert_eq!(
        with(None, &format!("rqbit://user:s3cr%3At@127.0.0.1:{port}/"))
            .await
            .unwrap(),
        []
    );
    for (userpass, url) in [
        (None, plain.clone()),
        (Some("user:wrong"), plain),
        (
            Some("user:s3cr:t"),
            format!("rqbit://other:s3cr%3At@127.0.0.1:{port}/"),
        ),
    ] {
        let (kind, text) = with(userpass, &url).await.unwrap_err();
        assert_eq!(kind, ErrorKind::Denied, "{text}");
        assert!(
            !text.contains("s3cr") && text.contains("RQBIT_HTTP_BASIC_AUTH_USERPASS"),
            "{text}"
        );
    }
}
