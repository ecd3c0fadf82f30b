//! Reads of bytes that do not come.

use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use forebay_testkit::rqbit::Rqbit;
use forebay_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use super::lab::{Film, MIB, Seeder, errno, mount, same, status, world, xattr};
use crate::at::{At, may_mount};
use crate::harness::{World, wait_for};

/// A client that has nothing of a film, and does not ask for it.
fn paused(seeder: &Seeder) -> (Rqbit, Film) {
    let film = seeder.film("film.mkv", 1, 6 * MIB);
    let client = Rqbit::builder().start().unwrap();
    client.add_paused(&film.torrent, &seeder.peers()).unwrap();
    // It may still be looking at its disk.
    let world = World::new();
    wait_for("the torrent", || {
        let url = format!("{}film.mkv", client.rqbit_url());
        world.run(&["stat", &url]).code == Some(0)
    });
    (client, film)
}

#[test]
fn a_read_of_a_paused_torrent_times_out_and_works_later() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let (client, film) = paused(&seeder);
    let world = world().set("FOREBAY_RQBIT_READ_TIMEOUT", "5s");
    let (at, _) = mount(&world, &client.rqbit_url());
    let path = at.0.join("film.mkv");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 6 * MIB as u64);
    wait_for("the pause", || xattr(&path, "state") == "paused");
    assert_eq!(xattr(&path, "progress"), "0");
    let open = at.open("film.mkv");
    let clock = SystemClock::new();
    let outcome = open.read_exact_at(&mut [0; 100_000], 1000);
    assert_eq!(errno(outcome), libc::ETIMEDOUT);
    let took = clock.now().as_secs_f64();
    // Once, though the kernel asks twice.
    assert!((4.9..9.5).contains(&took), "{took} s");
    client.start_torrent(film.torrent.hash()).unwrap();
    same(&open, &film.bytes, 1000, 100_000);
    same(&open, &film.bytes, 5 * MIB, MIB);
    assert!(std::fs::read(&path).unwrap() == film.bytes);
    drop(open);
    at.unmount(&world);
}

#[test]
fn a_read_that_waits_goes_on_when_the_torrent_does() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let (client, film) = paused(&seeder);
    let world = world();
    let (at, _) = mount(&world, &client.rqbit_url());
    let open = at.open("film.mkv");
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| same(&open, &film.bytes, 2 * MIB, MIB));
        wait_for("the read", || is_waiting(&world, &at));
        client.start_torrent(film.torrent.hash()).unwrap();
        reading.join().unwrap();
    });
    drop(open);
    at.unmount(&world);
}

/// Whether somebody waits for bytes of the mount.
fn is_waiting(world: &World, at: &At) -> bool {
    status(world, at)["mount"]["waiting"].as_u64() > Some(0)
}

/// Waits until a program waits for bytes of the file. What the kernel reads for it goes on when it is killed, so that
/// the mount's own figure says nothing of the next one.
fn wait_until_it_reads(child: &Child, path: &Path) {
    let pid = child.id();
    wait_for("the open", || {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        let mut open = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        open.any(|open| open == path)
    });
    wait_for("the read", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
        // Asleep, and in `read` where the kernel tells.
        let reads = call.map_or(true, |call| call.starts_with(&format!("{} ", libc::SYS_read)));
        reads && (stat.contains(") D ") || stat.contains(") S "))
    });
}

#[test]
fn who_waits_can_be_killed() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let (client, film) = paused(&seeder);
    // Far longer than is waited for here.
    let world = world().set("FOREBAY_RQBIT_READ_TIMEOUT", "10m");
    let (at, _) = mount(&world, &client.rqbit_url());
    for signal in [Signal::KILL, Signal::INT, Signal::TERM] {
        let mut cat = Command::new("cat")
            .arg(at.0.join("film.mkv"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until_it_reads(&cat, &at.0.join("film.mkv"));
        kill_process(Pid::from_child(&cat), signal).unwrap();
        wait_for("the end of who read", || cat.try_wait().unwrap().is_some());
        let ended = cat.wait().unwrap();
        assert_eq!(ended.signal(), Some(signal.as_raw()), "{ended}");
    }
    // What was given up is in nobody's way.
    client.start_torrent(film.torrent.hash()).unwrap();
    assert!(std::fs::read(at.0.join("film.mkv")).unwrap() == film.bytes);
    at.unmount(&world);
}

#[test]
fn a_mount_in_which_a_read_waits_ends_by_a_signal() {
    if !may_mount() {
        return;
    }
    let seeder = Seeder::new();
    let (client, _) = paused(&seeder);
    let world = world().set("FOREBAY_RQBIT_READ_TIMEOUT", "10m");
    let (at, said) = mount(&world, &client.rqbit_url());
    let mut cat = Command::new("cat")
        .arg(at.0.join("film.mkv"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the read", || is_waiting(&world, &at));
    let pid = Pid::from_raw(i32::try_from(said["pid"].as_u64().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    wait_for("the end of who read", || cat.try_wait().unwrap().is_some());
    assert!(!cat.wait().unwrap().success());
    world.run(&["unmount", at.name()]).ok();
}

#[test]
fn commands_say_why_nothing_comes() {
    let seeder = Seeder::new();
    let (client, film) = paused(&seeder);
    let world = World::new().set("FOREBAY_RQBIT_READ_TIMEOUT", "2s");
    let url = format!("{}film.mkv", client.rqbit_url());
    let clock = SystemClock::new();
    for args in [&["cat", &url][..], &["get", &url]] {
        world
            .run(args)
            .fails(1, &["film.mkv", "paused", "rqbit.read_timeout says how long"]);
    }
    assert!(clock.now().as_secs() < 25, "{:?}", clock.now());
    assert!(world.files().is_empty(), "{:?}", world.files());
    // Nobody has it who could give it.
    let lonely = Rqbit::builder().start().unwrap();
    lonely.add(&film.torrent, &[]).unwrap();
    let url = format!("{}film.mkv", lonely.rqbit_url());
    world
        .run(&["cat", &url])
        .fails(1, &["no peer is connected", "no byte came for 2"]);
    client.start_torrent(film.torrent.hash()).unwrap();
    let url = format!("{}film.mkv", client.rqbit_url());
    assert!(world.run(&["cat", &url]).stdout == film.bytes);
}

#[test]
fn cat_that_waits_can_be_interrupted() {
    let seeder = Seeder::new();
    let (client, _) = paused(&seeder);
    let proxy = client.proxy().unwrap();
    let world = World::new().set("FOREBAY_RQBIT_READ_TIMEOUT", "10m");
    for signal in [Signal::INT, Signal::TERM] {
        proxy.clear();
        let mut cat = world.spawn(&["cat", &format!("{}film.mkv", proxy.rqbit_url())]);
        wait_for("its stream", || proxy.streams().open > 0);
        kill_process(Pid::from_child(&cat), signal).unwrap();
        wait_for("its end", || cat.try_wait().unwrap().is_some());
        let ended = cat.wait_with_output().unwrap();
        assert!(!ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
        wait_for("the end of its stream", || proxy.streams().open == 0);
    }
}
