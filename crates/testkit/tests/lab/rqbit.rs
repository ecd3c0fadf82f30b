//! Sessions of rqbit, told of each other and asked over HTTP.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use forebay_testkit::Content;
use forebay_testkit::rqbit::{Entry, Proxy, Rqbit, StreamCounts, Torrent, bare_torrent, make_torrent};
use forebay_types::ByteRange;
use tempfile::TempDir;

use crate::client::{Client, End};

const PATIENCE: Duration = Duration::from_secs(30);

/// Three files of odd lengths in two directories, and their torrent.
fn data() -> (TempDir, Torrent) {
    let data = TempDir::new().unwrap();
    fs::create_dir(data.path().join("sub")).unwrap();
    for (seed, (name, length)) in [("a.bin", 1_500_000), ("sub/b.bin", 700_001), ("empty", 0)]
        .into_iter()
        .enumerate()
    {
        let bytes = Content::pattern(seed as u64, length).read(ByteRange::new(0, length));
        fs::write(data.path().join(name), &bytes).unwrap();
    }
    let torrent = make_torrent(data.path(), "things", Some(65536)).unwrap();
    (data, torrent)
}

fn seeder(data: &Path, torrent: &Torrent) -> Rqbit {
    let seeder = Rqbit::builder().start().unwrap();
    seeder.seed(torrent, data).unwrap();
    seeder
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap()
}

/// Whether a connection gives nothing but an error.
fn refuses(addr: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A reset is told once, to whoever asks first.
    let written = stream.write_all(b"GET /torrents HTTP/1.1\r\nhost: lab\r\n\r\n");
    let read = written.and_then(|()| stream.read(&mut [0; 10]));
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

#[test]
fn what_one_seeds_another_downloads() {
    let (data, torrent) = data();
    assert_eq!(
        (torrent.name().as_str(), torrent.piece_length()),
        ("things", 65536)
    );
    let seeder = seeder(data.path(), &torrent);
    let here = TempDir::new().unwrap();
    let client = Rqbit::builder().directory(here.path()).start().unwrap();
    client.add(&torrent, &[seeder.peer_addr()]).unwrap();
    client.wait_finished(torrent.hash(), PATIENCE).unwrap();
    assert_eq!(client.progress(torrent.hash()).unwrap(), (2_200_001, 2_200_001));
    for name in ["a.bin", "sub/b.bin", "empty"] {
        let came = fs::read(here.path().join("things").join(name)).unwrap();
        assert!(came == fs::read(data.path().join(name)).unwrap(), "{name}");
    }
    let mut http = Client::connect(address(&client.api_url()));
    let answer = http.get(&format!("/torrents/{}", torrent.hash()), &[]);
    assert!(String::from_utf8(answer.body).unwrap().contains("sub/b.bin"));
    client.delete(torrent.hash()).unwrap();
    assert!(client.torrents().is_empty());
    assert!(!here.path().join("things/a.bin").exists());
}

#[test]
fn data_that_is_not_the_torrents_is_no_seed() {
    let (data, torrent) = data();
    fs::write(data.path().join("a.bin"), b"short").unwrap();
    let session = Rqbit::builder().start().unwrap();
    let error = session.seed(&torrent, data.path()).unwrap_err().to_string();
    assert!(error.contains("of 2200001 bytes"), "{error}");
}

#[test]
fn a_limit_limits_until_it_is_lifted() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("large");
    fs::write(
        &file,
        Content::pattern(9, 8 << 20).read(ByteRange::new(0, 8 << 20)),
    )
    .unwrap();
    let torrent = make_torrent(&file, "large", Some(256 * 1024)).unwrap();
    let seeder = Rqbit::builder().upload_bps(256 * 1024).start().unwrap();
    seeder.seed(&torrent, data.path()).unwrap();
    let client = Rqbit::builder().start().unwrap();
    client.add(&torrent, &[seeder.peer_addr()]).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let (here, total) = client.progress(torrent.hash()).unwrap();
    assert!(here < total / 2, "{here} of {total}");
    seeder.set_upload_bps(None);
    client.wait_finished(torrent.hash(), PATIENCE).unwrap();
    assert!(Rqbit::builder().download_bps(1000).start().is_err());
}

#[test]
fn who_brings_no_password_gets_nothing() {
    let (data, torrent) = data();
    let session = Rqbit::builder().auth("user", "secret").start().unwrap();
    session.seed(&torrent, data.path()).unwrap();
    let addr = address(&session.api_url());
    assert_eq!(Client::connect(addr).get("/torrents", &[]).status, 401);
    let authorization = session.authorization().unwrap();
    let answer = Client::connect(addr).get("/torrents", &[("Authorization", &authorization)]);
    assert_eq!(answer.status, 200);
    session
        .add_peer(torrent.hash(), ([127, 0, 0, 1], 1).into())
        .unwrap();
}

#[test]
fn another_one_on_the_same_directory_and_port_has_the_torrents() {
    let (data, torrent) = data();
    let seeder = seeder(data.path(), &torrent);
    let here = TempDir::new().unwrap();
    let first = Rqbit::builder().directory(here.path()).start().unwrap();
    first.add(&torrent, &[seeder.peer_addr()]).unwrap();
    first.wait_finished(torrent.hash(), PATIENCE).unwrap();
    let (url, port) = (first.api_url(), first.http_port());
    // A connection of HTTP that is open across the restart.
    let mut http = Client::connect(address(&url));
    assert_eq!(http.get("/torrents", &[]).status, 200);
    drop(first);
    let second = Rqbit::builder()
        .directory(here.path())
        .http_port(port)
        .start()
        .unwrap();
    assert_eq!(second.api_url(), url);
    assert_eq!(second.torrents(), [torrent.hash()]);
    second.wait_finished(torrent.hash(), PATIENCE).unwrap();
    second.remove(torrent.hash()).unwrap();
    assert!(here.path().join("things/a.bin").exists());
}

#[test]
fn a_pause_is_a_pause() {
    let (data, torrent) = data();
    let seeder = seeder(data.path(), &torrent);
    let client = Rqbit::builder().start().unwrap();
    client.add_paused(&torrent, &[seeder.peer_addr()]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client.progress(torrent.hash()).unwrap().0, 0);
    client.start_torrent(torrent.hash()).unwrap();
    client.wait_finished(torrent.hash(), PATIENCE).unwrap();
    client.pause(torrent.hash()).unwrap();
    assert!(client.pause(torrent.hash()).is_err());
    assert!(client.pause(&"0".repeat(40)).is_err());
}

#[test]
fn a_peer_that_is_told_of_later_brings_it() {
    let (data, torrent) = data();
    let seeder = seeder(data.path(), &torrent);
    let client = Rqbit::builder().start().unwrap();
    client.add(&torrent, &[]).unwrap();
    client.add_peer(torrent.hash(), seeder.peer_addr()).unwrap();
    client.wait_finished(torrent.hash(), PATIENCE).unwrap();
}

#[test]
fn names_of_any_bytes_are_listed_as_rqbit_lists_them() {
    let session = Rqbit::builder().start().unwrap();
    let control = "tab\tnewline\nbell\u{7}";
    let padding = Entry {
        attributes: b"p".to_vec(),
        ..Entry::named(".pad/100", 100)
    };
    let link = Entry {
        attributes: b"lx".to_vec(),
        target: Some(vec![b"..".to_vec(), b"secret".to_vec()]),
        ..Entry::named("link", 0)
    };
    let odd = Entry {
        components: vec![b"\xe9t\xe9".to_vec(), vec![b'n'; 300]],
        length: 1 << 40,
        ..Entry::default()
    };
    let entries = [
        Entry::named(control, 5),
        padding,
        link,
        odd,
        Entry::named("./x", 1),
    ];
    let torrent = bare_torrent(b"odd", 16 << 20, &entries);
    session.add_without_data(&torrent).unwrap();
    let mut http = Client::connect(address(&session.api_url()));
    let answer = http.get(&format!("/torrents/{}", torrent.hash()), &[]);
    let text = String::from_utf8(answer.body).unwrap();
    for part in [
        "tab\\tnewline\\nbell\\u0007",
        "\"padding\":true",
        "\"symlink\":true",
        "1099511627776",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for refused in [
        vec![Entry::named("../x", 1)],
        vec![Entry {
            components: vec![b"a/b".to_vec()],
            length: 1,
            ..Entry::default()
        }],
        vec![Entry::named("twice", 1), Entry::named("twice", 1)],
    ] {
        let torrent = bare_torrent(b"refused", 16384, &refused);
        assert!(session.add_without_data(&torrent).is_err(), "{refused:?}");
    }
}

#[test]
fn the_proxy_counts_streams_and_cuts_them_off() {
    let (data, torrent) = data();
    let seeder = seeder(data.path(), &torrent);
    let client = Rqbit::builder().start().unwrap();
    // Nothing of it ever comes: streams stay open.
    client.add(&torrent, &[]).unwrap();
    let stream = format!("/torrents/{}/stream/0", torrent.hash());

    let proxy = seeder.proxy().unwrap();
    let mut http = Client::connect(address(&proxy.api_url()));
    assert_eq!(http.get("/torrents", &[]).status, 200);
    let answer = http.range(&stream, "100000-299999");
    assert_eq!(
        (answer.status, answer.body.len(), answer.end),
        (206, 200_000, End::Complete)
    );
    let whole = fs::read(data.path().join("a.bin")).unwrap();
    assert!(answer.body == whole[100_000..300_000]);
    assert_eq!(http.send("HEAD", &stream, &[], b"").status, 200);
    let counts = StreamCounts {
        open: 0,
        most: 1,
        requests: 2,
        bytes: 200_000,
    };
    assert_eq!(proxy.streams(), counts);
    let asked = proxy.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(
        (asked[1].range.as_deref(), asked[1].stream),
        (Some("bytes=100000-299999"), true)
    );
    proxy.refuse(true);
    assert!(refuses(address(&proxy.api_url())));
    proxy.refuse(false);
    assert_eq!(
        Client::connect(address(&proxy.api_url()))
            .get("/torrents", &[])
            .status,
        200
    );
    proxy.stall(true);
    let mut stalled = Client::connect(address(&proxy.api_url()));
    assert_eq!(stalled.get("/torrents", &[]).end, End::Silent);
    proxy.stall(false);

    let proxy = client.proxy().unwrap();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..3 {
        let mut http = Client::connect(address(&proxy.api_url()));
        assert_eq!(http.range(&stream, "0-9").end, End::Silent);
        clients.push(http);
    }
    assert_eq!((proxy.streams().open, proxy.streams().most), (3, 3));
    clients.pop();
    assert_eq!(proxy.streams().open, 2);
    proxy.clear();
    assert_eq!(
        proxy.streams(),
        StreamCounts {
            open: 2,
            most: 2,
            requests: 0,
            bytes: 0
        }
    );
    proxy.cut();
    until("all streams are closed", || proxy.streams().open == 0);
}

#[test]
fn nothing_is_left_of_a_session_that_was_dropped() {
    let (data, torrent) = data();
    let session = seeder(data.path(), &torrent);
    let (http, peer) = (address(&session.api_url()), session.peer_addr());
    let client = Rqbit::builder().start().unwrap();
    client.add(&torrent, &[]).unwrap();
    let stream = format!("/torrents/{}/stream/0", torrent.hash());
    let waiting = address(&client.api_url());
    let mut open = Client::connect(waiting);
    assert_eq!(open.range(&stream, "0-9").end, End::Silent);
    drop((session, client));
    for addr in [http, peer, waiting] {
        assert!(TcpStream::connect(addr).is_err(), "{addr}");
    }
    // A proxy outlives who is behind it.
    let proxy = Proxy::start(http).unwrap();
    assert!(refuses(address(&proxy.api_url())));
}

#[tokio::test]
async fn it_may_be_used_and_dropped_in_a_runtime() {
    let (data, torrent) = data();
    drop(seeder(data.path(), &torrent));
}
