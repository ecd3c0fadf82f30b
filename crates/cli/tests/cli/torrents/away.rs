//! Clients that go away, and connections that break.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use forebay_testkit::rqbit::Rqbit;
use forebay_types::{Clock, SystemClock};

use super::lab::{MIB, Seeder, mount, same, world};
use crate::at::may_mount;
use crate::harness::wait_for;

/// No read here may take longer, whatever becomes of the client.
const BOUND: Duration = Duration::from_secs(30);

fn start(port: u16, directory: &Path) -> Rqbit {
    let mut rqbit = None;
    wait_for("the port", || {
        rqbit = Rqbit::builder().directory(directory).http_port(port).start().ok();
        rqbit.is_some()
    });
    rqbit.unwrap()
}

/// Reads it; the bytes are right, or it is an error, and that in time.
#[track_caller]
fn right_or_error(file: &File, whole: &[u8], start: usize, len: usize) -> std::io::Result<()> {
    let (clock, mut piece) = (SystemClock::new(), vec![0; len]);
    let outcome = file.read_exact_at(&mut piece, start as u64);
    assert!(clock.now() < BOUND, "{:?}", clock.now());
    if outcome.is_ok() {
        assert!(piece == whole[start..start + len], "{len} bytes at {start}");
    }
    outcome
}

#[test]
fn a_client_that_was_killed_is_read_again_when_it_is_back() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 8 * MIB);
    let other = seeder.film("other.mkv", 2, 3 * MIB);
    let album = seeder.directory("album", &super::lab::album());
    let directory = tempfile::tempdir().unwrap();
    let client = start(0, directory.path());
    for torrent in [&film.torrent, &other.torrent, &album] {
        client.add(torrent, &seeder.peers()).unwrap();
        client.wait_finished(torrent.hash(), BOUND).unwrap();
    }
    let (port, url) = (client.http_port(), client.rqbit_url());
    let world = world().set("FOREBAY_RQBIT_READ_TIMEOUT", "2s");
    let (at, _) = mount(&world, &url);
    let (open, cold) = (at.open("film.mkv"), at.open("other.mkv"));
    same(&open, &film.bytes, 0, MIB);
    drop(client);
    // What was read is there; what was not is not, and that is said soon.
    same(&open, &film.bytes, 0, MIB);
    let error = right_or_error(&cold, &other.bytes, MIB, 1000).unwrap_err();
    let expected = [libc::EIO, libc::ETIMEDOUT];
    assert!(expected.contains(&error.raw_os_error().unwrap()), "{error}");
    let clock = SystemClock::new();
    let error = std::fs::read(at.0.join("album/sub d\u{ef}r/02.flac")).unwrap_err();
    assert!(expected.contains(&error.raw_os_error().unwrap()), "{error}");
    // Names that are not known: an error, or none of that name, but no wait without an end.
    drop(std::fs::metadata(at.0.join("none")));
    drop(std::fs::read_dir(&at.0).map(Iterator::count));
    assert!(clock.now() < BOUND, "{:?}", clock.now());

    let client = start(port, directory.path());
    wait_for("the other file", || {
        right_or_error(&cold, &other.bytes, MIB, 1000).is_ok()
    });
    same(&open, &film.bytes, 3 * MIB, 5 * MIB);
    wait_for("the directory", || {
        std::fs::read(at.0.join("album/z")).is_ok_and(|read| read == b"z")
    });
    assert!(std::fs::read(at.0.join("other.mkv")).unwrap() == other.bytes);
    drop((open, cold));
    at.unmount(&world);
    drop(client);
}

#[test]
fn a_read_waits_for_a_client_that_is_started_anew() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 8 * MIB);
    let directory = tempfile::tempdir().unwrap();
    let client = start(0, directory.path());
    client.add(&film.torrent, &seeder.peers()).unwrap();
    client.wait_finished(film.torrent.hash(), BOUND).unwrap();
    let port = client.http_port();
    let world = world();
    let (at, _) = mount(&world, &client.rqbit_url());
    let open = at.open("film.mkv");
    drop(client);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| right_or_error(&open, &film.bytes, 5 * MIB, MIB));
        std::thread::sleep(Duration::from_secs(1));
        let again = start(port, directory.path());
        reading.join().unwrap().unwrap();
        drop(again);
    });
    drop(open);
    at.unmount(&world);
}

#[test]
fn broken_connections_give_no_wrong_bytes() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::slow(6 << 20);
    let film = seeder.film("film.mkv", 1, 32 * MIB);
    let client = Rqbit::builder().start().unwrap();
    client.add(&film.torrent, &seeder.peers()).unwrap();
    let proxy = client.proxy().unwrap();
    let world = world().set("FOREBAY_RQBIT_READ_TIMEOUT", "4s");
    let (at, _) = mount(&world, &proxy.rqbit_url());
    let (open, over) = (at.open("film.mkv"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            for start in (0..32 * MIB).step_by(300_007) {
                let len = 300_007.min(32 * MIB - start);
                drop(right_or_error(&open, &film.bytes, start, len));
            }
            over.store(true, Relaxed);
        });
        let pause = || std::thread::sleep(Duration::from_millis(300));
        wait_for("the first stream", || proxy.streams().bytes > 0);
        while !over.load(Relaxed) {
            proxy.cut();
            pause();
            proxy.refuse(true);
            pause();
            proxy.refuse(false);
            pause();
            proxy.stall(true);
            pause();
            proxy.stall(false);
            pause();
        }
        reading.join().unwrap();
    });
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
    drop(open);
    at.unmount(&world);
}

#[test]
fn a_client_that_says_nothing_fails_reads_in_time() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 8 * MIB);
    let proxy = seeder.rqbit.proxy().unwrap();
    let world = world().set("FOREBAY_RQBIT_READ_TIMEOUT", "2s");
    for (what, set) in [
        (
            "stall",
            (|proxy, on| proxy.stall(on)) as fn(&forebay_testkit::rqbit::Proxy, bool),
        ),
        ("refuse", |proxy, on| proxy.refuse(on)),
    ] {
        let (at, _) = mount(&world, &proxy.rqbit_url());
        let open = at.open("film.mkv");
        set(&proxy, true);
        let error = right_or_error(&open, &film.bytes, 0, 1000).unwrap_err();
        let expected = [libc::EIO, libc::ETIMEDOUT];
        assert!(
            expected.contains(&error.raw_os_error().unwrap()),
            "{what}: {error}"
        );
        set(&proxy, false);
        wait_for("the read to work again", || {
            right_or_error(&open, &film.bytes, 0, 1000).is_ok()
        });
        same(&open, &film.bytes, 0, 8 * MIB);
        drop(open);
        at.unmount(&world);
        world.run(&["cache", "clear"]).ok();
    }
}
