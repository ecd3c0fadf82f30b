//! The process behind a mount: killed, and mounted again.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use forebay_testkit::{Content, FaultKind, Lab, Point, Rule};
use forebay_types::ByteRange;
use rustix::mount::MountFlags;
use rustix::process::Pid;
use tempfile::TempDir;

use crate::at::{At, kill, may_mount};
use crate::harness::{World, lab, on_disk, wait_for};

const MIB: u64 = 1 << 20;

/// A world whose cache is on a disk.
pub(crate) fn world(lab: &Lab, cache: &TempDir) -> World {
    World::with(lab).set("FOREBAY_CACHE_DIR", cache.path().join("cache").to_str().unwrap())
}

/// What is said of a mount that is taken away because its process is gone.
const DETACHED: &str = "its mount is detached";

/// Mounts the bucket; the process that serves it.
fn mount(world: &World, at: &At) -> Pid {
    let (pid, said) = mount_and_hear(world, at);
    assert!(!said.contains(DETACHED), "{said}");
    pid
}

/// Mounts the bucket where that of a killed daemon is.
fn mount_again(world: &World, at: &At) -> Pid {
    let (pid, said) = mount_and_hear(world, at);
    assert_eq!(said.matches(DETACHED).count(), 1, "{said}");
    pid
}

fn mount_and_hear(world: &World, at: &At) -> (Pid, String) {
    let outcome = world.run(&["mount", "s3://bucket/", at.name(), "--json"]);
    let pid = i32::try_from(outcome.json()["pid"].as_u64().unwrap()).unwrap();
    (Pid::from_raw(pid).unwrap(), outcome.stderr)
}

/// What a program gets whose file system is gone.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOTCONN | libc::ECONNABORTED | libc::EIO | libc::ENODEV)
    )
}

#[test]
fn programs_with_files_open_in_a_killed_daemon_hear_of_it() {
    if !may_mount() {
        return;
    }
    let (lab, cache) = (lab(), on_disk());
    let content = Content::pattern(1, 64 * MIB);
    lab.objects().put("bucket", "file", content.clone());
    lab.objects().put("bucket", "slow", content.clone());
    let world = world(&lab, &cache);
    let at = At::new(&world);
    let pid = mount(&world, &at);
    let file = File::open(at.0.join("file")).unwrap();
    let mut bytes = vec![0; 100_000];
    file.read_exact_at(&mut bytes, 0).unwrap();
    content.check(0, &bytes).unwrap();
    let never = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    lab.faults().add(Rule::new(never.clone()).key_prefix("slow"));
    // One waits for bytes, one for a name.
    let mut waiting = Command::new("cat")
        .arg(at.0.join("slow"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("a read under way", || {
        lab.faults().all_injected().values().sum::<u64>() > 0
    });
    lab.faults().add(Rule::new(never).any_op().key_prefix("missing"));
    let mut looking = Command::new("cat")
        .arg(at.0.join("missing"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let before = lab.counts().heads;
    wait_for("a look under way", || {
        lab.counts().heads > before || lab.faults().all_injected().values().sum::<u64>() > 1
    });
    kill(pid);
    for child in [&mut waiting, &mut looking] {
        wait_for("the end of who waited", || child.try_wait().unwrap().is_some());
        assert!(!child.wait().unwrap().success());
        let mut said = String::new();
        child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("not connected") || said.contains("abort"), "{said}");
    }
    // What the kernel had read may still be there; nothing else is.
    for start in (0..64 * MIB).step_by(5_000_001) {
        match file.read_exact_at(&mut bytes, start.min(64 * MIB - 100_000)) {
            Ok(()) => content.check(start.min(64 * MIB - 100_000), &bytes).unwrap(),
            Err(error) => assert!(is_gone(&error), "{error}"),
        }
    }
    let error = file.read_exact_at(&mut bytes, 60 * MIB).unwrap_err();
    assert!(is_gone(&error), "{error}");
    let error = File::open(at.0.join("file")).unwrap_err();
    assert!(is_gone(&error), "{error}");
}

#[test]
fn a_tree_whose_daemon_was_killed_is_mounted_again_and_reads_what_is_cached() {
    if !may_mount() {
        return;
    }
    let (lab, cache) = (lab(), on_disk());
    let contents: Vec<_> = (0..3)
        .map(|n| {
            let content = Content::pattern(n, 9 * MIB + n * 1000);
            lab.objects().put("bucket", &format!("dir/f{n}"), content.clone());
            content
        })
        .collect();
    let world = world(&lab, &cache);
    let at = At::new(&world);
    let pid = mount(&world, &at);
    let path = |n: usize| at.0.join(format!("dir/f{n}"));
    let read_all = || {
        for (n, content) in contents.iter().enumerate() {
            let read = std::fs::read(path(n)).unwrap();
            assert!(read == content.read(ByteRange::new(0, content.size())), "f{n}");
        }
    };
    read_all();
    let cached = |n| {
        let mut value = [0; 16];
        let len = rustix::fs::getxattr(path(n), "user.forebay.cached", &mut value[..]).unwrap();
        value[..len] == *b"100"
    };
    wait_for("the disk", || (0..3).all(cached));
    // One is open by way of the daemon or of the kernel, as may be.
    let open = File::open(path(1)).unwrap();
    kill(pid);
    assert!(std::fs::read(path(0)).is_err());
    let mut bytes = vec![0; 100_000];
    match open.read_exact_at(&mut bytes, 5 * MIB) {
        Ok(()) => contents[1].check(5 * MIB, &bytes).unwrap(),
        Err(error) => assert!(is_gone(&error), "{error}"),
    }
    // What is left there is taken away, though somebody has a file open in it.
    lab.reset_counts();
    let again = mount_again(&world, &at);
    assert_eq!(at.mounts(), ["fuse.forebay"]);
    read_all();
    let asked = lab.counts();
    assert_eq!((asked.gets, asked.bytes_sent / MIB), (0, 0), "{asked:?}");
    drop(open);
    kill(again);
    // And once more, for good.
    mount_again(&world, &at);
    read_all();
    world.run(&["unmount", at.name()]).ok();
}

/// A bucket with one file of a MiB.
fn one_file() -> (Lab, TempDir, World, Content) {
    let (lab, cache) = (lab(), on_disk());
    let content = Content::pattern(7, MIB);
    lab.objects().put("bucket", "file", content.clone());
    let world = world(&lab, &cache);
    (lab, cache, world, content)
}

#[test]
fn a_dead_mount_is_unmounted_when_nobody_has_a_file_open_in_it() {
    if !may_mount() {
        return;
    }
    let (_lab, _cache, world, _) = one_file();
    let at = At::new(&world);
    let pid = mount(&world, &at);
    let open = File::open(at.0.join("file")).unwrap();
    kill(pid);
    world
        .run(&["unmount", at.name()])
        .fails(1, &["cannot unmount", "end it first"]);
    drop(open);
    world.run(&["unmount", at.name()]).ok();
    assert!(at.mounts().is_empty());
}

#[test]
fn several_dead_mounts_are_detached_and_live_ones_stay() {
    if !may_mount() {
        return;
    }
    let (_lab, _cache, world, content) = one_file();
    let at = At::new(&world);
    let pids = [mount(&world, &at), mount(&world, &at)];
    assert_eq!(at.mounts(), ["fuse.forebay"; 2], "the first lives, so it stays");
    // What is below one that lives is not reached, dead or not.
    kill(pids[0]);
    let third = mount(&world, &at);
    assert_eq!(at.mounts(), ["fuse.forebay"; 3]);
    kill(pids[1]);
    kill(third);
    mount_again(&world, &at);
    assert_eq!(at.mounts(), ["fuse.forebay"]);
    assert!(std::fs::read(at.0.join("file")).unwrap() == content.read(ByteRange::new(0, MIB)));
    world.run(&["unmount", at.name()]).ok();
    assert!(at.mounts().is_empty());
}

/// Mounts a FUSE file system of another program on it, which is dead from the beginning.
fn mount_another(at: &At) {
    let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let data = CString::new(data).unwrap();
    rustix::mount::mount(
        "another",
        &at.0,
        "fuse.another",
        MountFlags::RDONLY,
        data.as_c_str(),
    )
    .unwrap();
}

#[test]
fn a_dead_mount_of_another_program_stays() {
    if !may_mount() {
        return;
    }
    let (_lab, _cache, world, _) = one_file();
    let at = At::new(&world);
    mount_another(&at);
    let error = std::fs::metadata(&at.0).unwrap_err();
    assert!(is_gone(&error), "{error}");
    let outcome = world.run(&["mount", "s3://bucket/", at.name()]);
    assert!(!outcome.stderr.contains(DETACHED), "{}", outcome.stderr);
    outcome.fails(2, &["mnt"]);
    assert_eq!(at.mounts(), ["fuse.another"]);
}

#[test]
fn what_lies_upon_a_dead_mount_stays() {
    if !may_mount() {
        return;
    }
    let (_lab, _cache, world, _) = one_file();
    let at = At::new(&world);
    kill(mount(&world, &at));
    mount_another(&at);
    let outcome = world.run(&["mount", "s3://bucket/", at.name()]);
    assert!(!outcome.stderr.contains(DETACHED), "{}", outcome.stderr);
    outcome.fails(2, &["mnt"]);
    assert_eq!(at.mounts(), ["fuse.forebay", "fuse.another"]);
}

#[test]
fn the_daemon_keeps_nothing_that_its_starter_had_open() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir(world.path("tree")).unwrap();
    let at = At::new(&world);
    let lock = world.write("lock", "");
    let command = world.command(&["mount", &format!("{}/", world.path("tree").display()), at.name()]);
    let program = command.get_program().to_owned();
    let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut locked = Command::new("flock");
    locked.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    locked
        .arg(&lock)
        .arg(program)
        .args(words)
        .current_dir(world.path(""));
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            locked.env(name, value);
        }
    }
    assert!(locked.status().unwrap().success());
    // The lock is free again though the mount is there.
    let free = Command::new("flock").arg("-n").arg(&lock).arg("true").status();
    assert!(at.is_mounted() && free.unwrap().success());
    world.run(&["unmount", at.name()]).ok();
}
