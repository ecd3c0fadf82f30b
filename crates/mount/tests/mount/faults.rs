//! A server that is slow, dead or wrong.

use std::fs;
use std::io::Read;
use std::time::Duration;

use forebay_mount::MountOptions;
use forebay_testkit::{FaultKind, Point, Rule};

use crate::world::{MIB, Setup, World, noise};

/// A lab whose answers to reads never come.
fn dead(world: &World) {
    let never = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    world.lab.faults().add(Rule::new(never));
}

#[test]
fn a_program_on_a_dead_server_can_be_killed() {
    let world = World::new();
    world.put("file", noise(1, MIB));
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    assert!(mounted.at("file").exists());
    dead(&world);
    let mut child = std::process::Command::new("cat")
        .arg(mounted.at("file"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let is_waiting = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        mounted.mount.stats().waiting > 0
    });
    assert!(is_waiting, "it reads, and waits");
    child.kill().unwrap();
    let ended = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        child.try_wait().unwrap().is_some()
    });
    assert!(ended, "kill -9 ends it at once");
}

#[test]
fn a_look_at_a_name_on_a_dead_server_is_interrupted() {
    let world = World::new();
    world.put("dir/file", "content");
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let never = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    world.lab.faults().add(Rule::new(never).any_op());
    let mut child = std::process::Command::new("stat")
        .arg(mounted.at("dir/other"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let soon = |what: &mut dyn FnMut() -> bool| {
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            what()
        })
    };
    assert!(soon(&mut || mounted.mount.stats().waiting > 0), "it waits");
    child.kill().unwrap();
    assert!(
        soon(&mut || child.try_wait().unwrap().is_some()),
        "kill -9 ends it at once"
    );
    assert!(
        soon(&mut || mounted.mount.stats().interrupted > 0 && mounted.mount.stats().waiting == 0),
        "{:?}",
        mounted.mount.stats()
    );
}

#[test]
fn a_read_ends_at_its_deadline() {
    let world = World::new();
    world.put("file", noise(1, MIB));
    let setup = Setup {
        options: MountOptions {
            read_timeout: Duration::from_millis(300),
            ..MountOptions::default()
        },
        ..Setup::default()
    };
    let Some(mounted) = world.mount(setup) else { return };
    assert!(mounted.at("file").exists());
    dead(&world);
    let mut bytes = Vec::new();
    let read = fs::File::open(mounted.at("file")).and_then(|mut file| file.read_to_end(&mut bytes));
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_server_that_stumbles_is_not_noticed() {
    let world = World::new();
    let bytes = noise(4, 20 * MIB + 3);
    world.put("file", bytes.clone());
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    for kind in [
        FaultKind::Reset(Point::AfterBody(100_000)),
        FaultKind::Truncate { after: 300_000 },
        FaultKind::Status {
            code: 503,
            retry_after: None,
        },
    ] {
        world.lab.faults().add(Rule::new(kind).every(3).times(2));
    }
    assert!(fs::read(mounted.at("file")).unwrap() == bytes);
    assert_eq!(mounted.mount.stats().errors, 0);
    assert!(world.lab.faults().all_injected().values().sum::<u64>() > 0);
}

#[test]
fn a_server_that_refuses_is_told_apart_from_one_that_fails() {
    let world = World::new();
    world.put("denied", noise(1, MIB));
    world.put("broken", noise(2, MIB));
    let mut setup = Setup::default();
    setup.range.max_retries = 1;
    setup.range.retry_pause = Duration::from_millis(1);
    let Some(mounted) = world.mount(setup) else { return };
    let status = |code| FaultKind::Status {
        code,
        retry_after: None,
    };
    world
        .lab
        .faults()
        .add(Rule::new(status(403)).key_prefix("denied"));
    world
        .lab
        .faults()
        .add(Rule::new(status(500)).key_prefix("broken"));
    for (name, errno) in [("denied", libc::EACCES), ("broken", libc::EIO)] {
        let error = fs::read(mounted.at(name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno), "{name}: {error}");
    }
}
