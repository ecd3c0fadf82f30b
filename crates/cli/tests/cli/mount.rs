//! `mount` and `unmount`, with the real kernel.

use forebay_testkit::Content;
use forebay_types::ByteRange;

use crate::at::{At, may_mount};
use crate::harness::{World, lab, wait_for};

fn words<'a>(url: &'a str, at: &'a At, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["mount", url, at.0.to_str().unwrap()];
    words.extend_from_slice(more);
    words
}

#[test]
fn a_directory_is_mounted_until_it_is_unmounted() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("data/sub")).unwrap();
    world.write("data/sub/file", "content");
    let at = At::new(&world);
    let data = world.path("data/").to_string_lossy().into_owned();
    let said = world.run(&words(&data, &at, &[]));
    assert!(said.ok().contains("is mounted on"), "{}", said.out());
    assert_eq!(std::fs::read_to_string(at.0.join("sub/file")).unwrap(), "content");
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
    assert!(!at.is_mounted());
    world
        .run(&["unmount", at.0.to_str().unwrap()])
        .fails(3, &["nothing is mounted on"]);
}

#[test]
fn a_bucket_is_mounted_and_json_says_where() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    let content = Content::pattern(3, (9 << 20) + 5);
    lab.objects().put("bucket", "dir/model", content.clone());
    let world = World::with(&lab);
    let at = At::new(&world);
    let said = world.run(&words("s3://bucket/dir/", &at, &["--json"])).json();
    assert_eq!(said["url"], "s3://bucket/dir/");
    assert!(said["pid"].as_u64().unwrap() > 0);
    let expected = content.read(ByteRange::new(0, (9 << 20) + 5));
    assert!(std::fs::read(at.0.join("model")).unwrap() == expected);
    // What was read through the mount is in the cache that all commands share.
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
    lab.reset_counts();
    assert!(world.run(&["cat", "s3://bucket/dir/model"]).stdout == expected);
    assert!(
        lab.counts().gets <= 1,
        "one question whether it is still the same"
    );
}

#[test]
fn a_signal_unmounts() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("data")).unwrap();
    world.write("data/file", "content");
    let at = At::new(&world);
    let data = world.path("data/").to_string_lossy().into_owned();
    let mut child = world.spawn(&words(&data, &at, &["--foreground"]));
    wait_for("the mount", || at.is_mounted() && at.0.join("file").exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!at.is_mounted());
}

#[test]
fn what_cannot_be_mounted_is_said_and_told_by_the_exit_code() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("data")).unwrap();
    world.write("data/file", "content");
    let data = world.path("data/").to_string_lossy().into_owned();
    let nowhere = world.path("nowhere").to_string_lossy().into_owned();
    world
        .run(&["mount", &data, &nowhere])
        .fails(3, &["cannot mount on", "nowhere"]);
    let file = world.path("data/none").to_string_lossy().into_owned();
    let at = At::new(&world);
    world.run(&words(&file, &at, &[])).fails(3, &["does not exist"]);
    let gone = world.path("gone/").to_string_lossy().into_owned();
    world.run(&words(&gone, &at, &[])).fails(3, &["does not exist"]);
    world.run(&words("s4://b/", &at, &[])).fails(2, &["s4://"]);
    assert!(!at.is_mounted());
}

#[test]
fn a_killed_daemon_leaves_a_cache_that_the_next_one_serves_from() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    let content = Content::pattern(7, 20 << 20);
    lab.objects().put("bucket", "model", content.clone());
    let expected = content.read(ByteRange::new(0, 20 << 20));
    let world = World::with(&lab);
    let at = At::new(&world);
    let said = world.run(&words("s3://bucket/", &at, &["--json"])).json();
    assert!(std::fs::read(at.0.join("model")).unwrap() == expected);
    let pid = i32::try_from(said["pid"].as_u64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for("the end of the daemon", || {
        std::fs::read(at.0.join("model")).is_err()
    });
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
    lab.reset_counts();
    world.run(&words("s3://bucket/", &at, &[])).ok();
    assert!(std::fs::read(at.0.join("model")).unwrap() == expected);
    let again = lab.counts();
    // What had reached the disk is not asked for again: at most what was on its way there.
    assert!(again.bytes_sent < 20 << 20, "{again:?}");
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
}

#[test]
fn mount_8_can_mount_it() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("data")).unwrap();
    world.write("data/file", "content");
    let at = At::new(&world);
    // As a link of that name in /sbin would be.
    let helper = world.path("mount.forebay");
    std::os::unix::fs::symlink(world.command(&["x"]).get_program(), &helper).unwrap();
    let output = std::process::Command::new(&helper)
        .env_clear()
        .env("HOME", world.home())
        .arg(world.path("data"))
        .arg(&at.0)
        .args(["-o", "ro,_netdev,no_cache"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(std::fs::read_to_string(at.0.join("file")).unwrap(), "content");
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
}

#[test]
fn others_look_into_it_only_if_they_are_let() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir_all(world.path("data")).unwrap();
    world.write("data/file", "content");
    // Where anybody may go, but for the mount itself.
    let open = tempfile::tempdir().unwrap();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let at = At(open.path().join("mnt"));
    std::fs::create_dir(&at.0).unwrap();
    let data = world.path("data/").to_string_lossy().into_owned();
    let nobody_reads = || {
        let mut cat = std::process::Command::new("cat");
        let cat = cat.arg(at.0.join("file")).uid(65534).gid(65534).current_dir("/");
        cat.output().unwrap()
    };
    world.run(&words(&data, &at, &[])).ok();
    assert!(!nobody_reads().status.success(), "a mount is its owner's");
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
    world.run(&words(&data, &at, &["--allow-other"])).ok();
    let read = nobody_reads();
    assert_eq!(
        read.stdout,
        b"content",
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    world.run(&["unmount", at.0.to_str().unwrap()]).ok();
}
