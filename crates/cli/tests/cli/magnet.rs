//! Torrents that are downloaded by the mount itself, without a client beside it.

use std::time::Duration;

use forebay_testkit::rqbit::{Rqbit, make_torrent};

use crate::at::{At, may_mount};
use crate::harness::World;

/// A session that has a torrent of a directory with two files.
fn seed(dir: &std::path::Path) -> (Rqbit, forebay_testkit::rqbit::Torrent, Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(11);
    let film: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take((5 << 20) + 77)
        .collect();
    let data = dir.join("Season 1");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("film.mkv"), &film).unwrap();
    std::fs::write(data.join("film.srt"), "1\n00:00:01 --> 00:00:02\nHello\n").unwrap();
    let torrent = make_torrent(&data, "Season 1", Some(256 << 10)).unwrap();
    let rqbit = Rqbit::builder().start().unwrap();
    rqbit.seed(&torrent, &data).unwrap();
    (rqbit, torrent, film)
}

/// Without anybody on the internet being asked.
fn world(dir: &std::path::Path) -> World {
    World::new()
        .set("FOREBAY_TORRENT_DHT", "false")
        .set("FOREBAY_TORRENT_DIR", dir.join("downloads").to_str().unwrap())
}

#[test]
#[cfg_attr(
    not(feature = "torrent"),
    ignore = "a build without a torrent client of its own"
)]
fn a_magnet_link_is_mounted() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (rqbit, torrent, film) = seed(dir.path());
    let world = world(dir.path());
    let at = At::new(&world);
    let link = format!(
        "{}&tr=http%3A%2F%2F127.0.0.1%3A1%2Fs3cret",
        torrent.magnet(&[rqbit.peer_addr()])
    );
    let answer = world.run(&["mount", "--json", &link, at.name()]).json();
    let shown = answer["url"].as_str().unwrap();
    assert!(
        shown.contains(torrent.hash()) && !shown.contains("s3cret"),
        "{shown}"
    );
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", answer["pid"])).unwrap();
    assert!(
        !String::from_utf8_lossy(&cmdline).contains("s3cret"),
        "others may read it"
    );
    let file = at.0.join("Season 1/film.mkv");
    assert!(std::fs::read(&file).unwrap() == film);
    assert_eq!(std::fs::read_dir(at.0.join("Season 1")).unwrap().count(), 2);
    let status = world.run(&["mount", "--status", "--json", at.name()]).json();
    assert!(
        status["url"].as_str().unwrap().contains(torrent.hash()),
        "{status}"
    );
    at.unmount(&world);
    // What was downloaded is kept: without a peer it is there again.
    drop(rqbit);
    let path = dir.path().join("season.torrent");
    std::fs::write(&path, torrent.bytes()).unwrap();
    world.run(&["mount", path.to_str().unwrap(), at.name()]).ok();
    assert!(std::fs::read(&file).unwrap() == film);
    at.unmount(&world);
}

#[test]
#[cfg_attr(
    not(feature = "torrent"),
    ignore = "a build without a torrent client of its own"
)]
fn what_is_no_torrent_is_said() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path());
    let at = At::new(&world);
    world
        .run(&["mount", "magnet:?xt=urn:btih:xyz", at.name()])
        .fails(2, &["magnet"]);
    let path = dir.path().join("x.torrent");
    std::fs::write(&path, "no torrent").unwrap();
    world
        .run(&["mount", path.to_str().unwrap(), at.name()])
        .fails(2, &["x.torrent"]);
    world
        .run(&["mount", "/does/not/exist.torrent", at.name()])
        .fails(3, &["exist.torrent"]);
}

#[test]
#[cfg_attr(
    not(feature = "torrent"),
    ignore = "a build without a torrent client of its own"
)]
fn limits_hold_for_downloads() {
    if !may_mount() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (rqbit, torrent, film) = seed(dir.path());
    let world = world(dir.path())
        .set("FOREBAY_TORRENT_DOWNLOAD", "512KiB")
        .set("FOREBAY_TORRENT_UPLOAD", "64KiB");
    let at = At::new(&world);
    let link = torrent.magnet(&[rqbit.peer_addr()]);
    world.run(&["mount", &link, at.name()]).ok();
    let file = at.0.join("Season 1/film.mkv");
    let progress = || {
        let mut value = [0; 16];
        let len = rustix::fs::getxattr(&file, "user.forebay.progress", &mut value).unwrap();
        String::from_utf8_lossy(&value[..len]).parse::<u64>().unwrap()
    };
    assert!(progress() < 100, "5 MiB are not here at once");
    let mut buffer = vec![0; 1000];
    std::os::unix::fs::FileExt::read_exact_at(
        &std::fs::File::open(&file).unwrap(),
        &mut buffer,
        film.len() as u64 - 1000,
    )
    .unwrap();
    assert!(buffer == film[film.len() - 1000..], "what is read comes first");
    std::thread::sleep(Duration::from_millis(100));
    at.unmount(&world);
}
