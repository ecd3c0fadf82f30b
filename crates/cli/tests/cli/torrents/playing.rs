//! Files that are read while they are downloaded.

use std::fs::File;
use std::os::unix::fs::FileExt;

use forebay_testkit::rqbit::Rqbit;

use super::lab::{MIB, Seeder, mount, open_file, same, status, world, xattr};
use crate::at::may_mount;
use crate::harness::wait_for;

#[test]
fn a_player_gets_what_it_asks_for_first() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::slow(4 << 20);
    let film = seeder.film("film.mkv", 1, 32 * MIB + 123);
    let client = Rqbit::builder().start().unwrap();
    client.add(&film.torrent, &seeder.peers()).unwrap();
    let world = world();
    let (at, _) = mount(&world, &client.rqbit_url());
    let (open, whole) = (at.open("film.mkv"), &film.bytes);
    same(&open, whole, 0, MIB);
    // The index at the end, as of many films; it is not waited for until all the rest is here.
    same(&open, whole, whole.len() - MIB / 2, MIB / 2);
    let (here, total) = client.progress(film.torrent.hash()).unwrap();
    assert!(here < total, "the end came after all the rest");
    let progress: u64 = xattr(&at.0.join("film.mkv"), "progress").parse().unwrap();
    assert!((1..=100).contains(&progress), "{progress}");
    // On from the start; back; ahead; and a little further each time.
    for start in (MIB..4 * MIB).step_by(MIB / 4) {
        same(&open, whole, start, MIB / 4);
    }
    for start in [2 * MIB, 20 * MIB, 20 * MIB + MIB / 2, 3 * MIB, 27 * MIB] {
        same(&open, whole, start, MIB / 2);
    }
    seeder.rqbit.set_upload_bps(None);
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == *whole);
    wait_for("all of it", || xattr(&at.0.join("film.mkv"), "progress") == "100");
    drop(open);
    at.unmount(&world);
}

/// Reads all in pieces from `start` on, and from the beginning to there.
fn read_around(file: &File, whole: &[u8], start: usize) {
    const PIECE: usize = 200_003;
    for (from, to) in [(start, whole.len()), (0, start)] {
        for at in (from..to).step_by(PIECE) {
            same(file, whole, at, PIECE.min(to - at));
        }
    }
}

#[test]
fn ten_readers_share_four_streams() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::slow(8 << 20);
    let film = seeder.film("film.mkv", 1, 24 * MIB + 7);
    let other = seeder.film("other.mkv", 2, 8 * MIB);
    let client = Rqbit::builder().start().unwrap();
    for film in [&film, &other] {
        client.add(&film.torrent, &seeder.peers()).unwrap();
    }
    let proxy = client.proxy().unwrap();
    let world = world().set("FOREBAY_RQBIT_STREAM_IDLE", "2s");
    let (at, _) = mount(&world, &proxy.rqbit_url());
    std::thread::scope(|scope| {
        for reader in 0..10 {
            let (name, whole) = if reader < 7 {
                ("film.mkv", &film.bytes)
            } else {
                ("other.mkv", &other.bytes)
            };
            let file = at.open(name);
            scope.spawn(move || read_around(&file, whole, whole.len() / 10 * reader));
        }
    });
    let counts = proxy.streams();
    assert!(counts.most <= 4 && counts.requests > 0, "{counts:?}");
    wait_for("the end of the streams", || proxy.streams().open == 0);
    // Nobody begins one again of itself.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(proxy.streams().open, 0);
    at.unmount(&world);
}

#[test]
fn what_is_asked_for_once_is_asked_of_the_client_once() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 40 * MIB);
    let proxy = seeder.rqbit.proxy().unwrap();
    let world = world();
    let (at, _) = mount(&world, &proxy.rqbit_url());
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
    // Each byte once, in few streams. What the proxy counts has what was on its way in streams that were left, too.
    let now = status(&world, &at);
    assert_eq!(now["reader"]["fetched"], film.bytes.len());
    let of = |name: &str| now["streams"][name].as_u64().unwrap();
    assert!(of("opened") > 0 && of("reused") > 0, "{now}");
    // Each part rides in a stream of its own, as those of a busy machine may that come more than 2 ms apart, or on in another
    // one's. The client sees no streams but those.
    let counts = proxy.streams();
    assert_eq!(counts.requests as u64, of("opened"), "{:?}", proxy.asked());
    assert!(counts.most <= 4, "{counts:?}");
    let parts = now["range"]["requests"].as_u64().unwrap();
    assert!(of("opened") + of("reused") >= parts, "{now}");
    proxy.clear();
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
    assert_eq!(proxy.streams().bytes, 0);
    at.unmount(&world);
}

#[test]
fn the_status_tells_how_an_open_file_is_doing() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::slow(1 << 20);
    let film = seeder.film("film.mkv", 1, 40 * MIB);
    let client = Rqbit::builder().start().unwrap();
    client.add(&film.torrent, &seeder.peers()).unwrap();
    let world = world();
    let (at, _) = mount(&world, &client.rqbit_url());
    let open = at.open("film.mkv");
    open.read_exact_at(&mut [0; 4096], 0).unwrap();
    let facts = || open_file(&status(&world, &at), "film.mkv")["torrent"].clone();
    let present = || facts()["present"].as_u64().unwrap_or_default();
    wait_for("the first answer", || present() > 0);
    let (now, first) = (facts(), present());
    assert_eq!(now["state"], "live", "{now}");
    assert_eq!(now["peers"], 1, "{now}");
    assert_eq!(now["error"], serde_json::Value::Null, "{now}");
    assert!(now["download_bps"].is_u64(), "{now}");
    let ranges = now["ranges"].as_array().unwrap();
    assert!(
        !ranges.is_empty() && ranges[0][0] == 0 && ranges[0][1].as_u64() >= Some(4096),
        "{now}"
    );
    wait_for("more of it", || present() > first);
    let view = world.run(&["mount", "--status", at.name()]);
    let text = view.ok();
    for word in ["HERE", "DOWN", "PEERS", "film.mkv"] {
        assert!(text.contains(word), "{text}");
    }
    client.pause(film.torrent.hash()).unwrap();
    wait_for("the pause", || facts()["state"] == "paused");
    let now = facts();
    assert_eq!(now["peers"], serde_json::Value::Null, "{now}");
    assert_eq!(xattr(&at.0.join("film.mkv"), "state"), "paused");
    drop(open);
    at.unmount(&world);
}
