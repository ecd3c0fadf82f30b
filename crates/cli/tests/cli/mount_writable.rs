//! Mounts that are written: what is there after a crash, and what a commit makes of it.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use forebay_manifest::Hash;
use forebay_testkit::Lab;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::at::{At, kill, may_mount, mount_writable, tree};
use crate::harness::{World, files_below, strict_lab, wait_for};
use crate::manifest::{decode, small_tree};
use crate::mount_manifest::{noise, put, snapshot, upload, url};

/// A tree in a store, described by the manifest `m`.
pub(crate) fn inputs(world: &World, lab: &Lab) {
    small_tree(world);
    std::fs::write(world.path("tree/large"), noise(3 << 20, 5)).unwrap();
    upload(lab, &world.path("tree"));
    snapshot(world, lab, "tree", "m", &[]);
}

/// Mounts it so that it can be written; the process that serves it.
pub(crate) fn mount(world: &World, at: &At) -> Pid {
    mount_writable(world, at, &url("m", &[]), &[])
}

pub(crate) fn commit(world: &World, at: &At, key: &str, more: &[&str]) -> Value {
    let to = format!("s3://box/root/Manifests/{key}");
    let words = ["commit", at.name(), "-o", &to, "--json"];
    world.run(&[&words[..], more].concat()).json()
}

/// Writes into a mounted tree whatever can be written.
fn change(dir: &Path) {
    let path = |name: &str| dir.join(name);
    std::fs::create_dir_all(path("out/deep")).unwrap();
    std::fs::write(path("out/deep/frame"), noise(200_000, 9)).unwrap();
    std::fs::write(path("three"), "three and more").unwrap();
    std::fs::rename(path("a"), path("moved")).unwrap();
    std::fs::remove_file(path("b/two")).unwrap();
    std::fs::write(path("b/other"), "other").unwrap();
    let large = std::fs::File::options().write(true).open(path("large")).unwrap();
    large.write_all_at(b"changed in the middle", 1_500_001).unwrap();
    large.set_len(2_000_003).unwrap();
}

/// A copy of the tree in a plain directory.
pub(crate) fn copy(world: &World) -> PathBuf {
    let plain = world.path("plain");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(world.path("tree"))
        .arg(&plain)
        .status();
    assert!(copied.unwrap().success());
    plain
}

/// What a mounted tree is after the changes.
fn expected(world: &World) -> PathBuf {
    let plain = copy(world);
    change(&plain);
    plain
}

/// Names, kinds and contents of all files below.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = files_below(dir).into_iter().map(|file| {
        let name = file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(&file).unwrap())
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// Both have the same files with the same bytes.
#[track_caller]
pub(crate) fn same(one: &Path, other: &Path) {
    let (one, other) = (contents(one), contents(other));
    let names =
        |files: &[(String, Vec<u8>)]| -> Vec<String> { files.iter().map(|(name, _)| name.clone()).collect() };
    assert_eq!(names(&one), names(&other));
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert!(one == other, "{name}: {} and {} bytes", one.len(), other.len());
    }
}

#[test]
fn what_was_written_is_there_after_a_kill() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    let at = At::new(&world);
    let pid = mount(&world, &at);
    change(&at.0);
    kill(pid);
    let pid = mount(&world, &at);
    let plain = expected(&world);
    same(&at.0, &plain);
    // Also what is written after that, by somebody who has it open when the process goes.
    let open = std::fs::File::create(at.0.join("open")).unwrap();
    open.write_all_at(b"written", 0).unwrap();
    kill(pid);
    drop(open);
    mount(&world, &at);
    assert_eq!(std::fs::read(at.0.join("open")).unwrap(), b"written");
    std::fs::remove_file(at.0.join("open")).unwrap();
    same(&at.0, &plain);
    at.unmount(&world);
    // Nothing of it reached the store.
    let at_rest = World::with(&lab);
    let plain_at = At::new(&at_rest);
    at_rest.run(&["mount", &url("m", &[]), plain_at.name()]).ok();
    same(&plain_at.0, &world.path("tree"));
    plain_at.unmount(&at_rest);
}

#[test]
fn a_commit_is_a_manifest_of_what_is_there() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    let at = At::new(&world);
    mount(&world, &at);
    change(&at.0);
    lab.reset_counts();
    let answer = commit(&world, &at, "new", &[]);
    assert_eq!(answer["format"], "v2023-03-03");
    assert_eq!(
        (&answer["url"], &answer["entries"], &answer["same_was_there"]),
        (&json!("s3://box/root/Manifests/new"), &json!(5), &json!(false))
    );
    // The frame, three, other, and large; what was only moved is not sent again, nor even looked for.
    assert_eq!(
        (&answer["uploaded_objects"], &answer["there_objects"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(lab.counts().puts, 5);
    // It is what is there, and what a plain directory would be.
    let plain = expected(&world);
    same(&at.0, &plain);
    world
        .run(&[
            "manifest",
            "verify",
            "s3://box/root/Manifests/new",
            plain.to_str().unwrap(),
        ])
        .ok();
    world
        .run(&[
            "manifest",
            "verify",
            "s3://box/root/Manifests/new",
            "--cas",
            "s3://box/root/Data",
            "--deep",
        ])
        .ok();
    // Again it is the same, and nothing is sent.
    lab.reset_counts();
    let again = commit(&world, &at, "new", &[]);
    assert_eq!(
        (&again["same_was_there"], &again["hash"]),
        (&json!(true), &answer["hash"])
    );
    assert_eq!(again["uploaded_objects"], 0);
    // Another one is not replaced unless somebody says so.
    std::fs::write(at.0.join("three"), "another").unwrap();
    let to = "s3://box/root/Manifests/new";
    world
        .run(&["commit", at.name(), "-o", to])
        .fails(1, &["root/Manifests/new"]);
    let replaced = commit(&world, &at, "new", &["--replace"]);
    assert_ne!(replaced["hash"], answer["hash"]);
    // Without a place it goes beside the one that is mounted.
    let beside = world.run(&["commit", at.name(), "--json"]).json();
    let there = beside["url"].as_str().unwrap();
    assert!(there.starts_with("s3://box/root/Manifests/m.20"), "{there}");
    let text = world.run(&["commit", at.name(), "-o", "s3://box/root/Manifests/text"]);
    assert!(
        text.ok().contains("manifest      s3://box/root/Manifests/text\n"),
        "{}",
        text.out()
    );
    at.unmount(&world);
    // Mounted, it is the tree.
    std::fs::write(plain.join("three"), "another").unwrap();
    world.run(&["mount", &url("new", &[]), at.name()]).ok();
    same(&at.0, &plain);
    at.unmount(&world);
}

#[test]
fn a_commit_takes_the_format_that_can_hold_it() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    let at = At::new(&world);
    mount(&world, &at);
    std::fs::write(at.0.join("new"), noise(2_500_000, 3)).unwrap();
    symlink("new", at.0.join("link")).unwrap();
    let answer = commit(&world, &at, "draft", &["--chunk-size", "1MiB"]);
    assert_eq!(answer["format"], "beta-2025-12");
    assert!(answer["draft"].as_str().unwrap().contains("link"), "{answer}");
    let bytes = lab.objects().get("box", "root/Manifests/draft").unwrap();
    let content = &bytes.content;
    let draft = decode(&content.read(forebay_types::ByteRange::new(0, content.size())));
    assert_eq!(draft.chunk_size().bytes(), Some(1 << 20));
    let to = "s3://box/root/Manifests/insist";
    world
        .run(&["commit", at.name(), "-o", to, "--format", "v2023"])
        .fails(1, &["link"]);
    assert!(lab.objects().get("box", "root/Manifests/insist").is_none());
    std::fs::remove_file(at.0.join("link")).unwrap();
    std::fs::remove_file(at.0.join("three")).unwrap();
    let answer = commit(&world, &at, "insist", &["--format", "v2023"]);
    assert_eq!(answer["format"], "v2023-03-03");
    // What changed, and what it is made with the base.
    let answer = commit(&world, &at, "diff", &["--diff"]);
    assert_eq!(
        (&answer["kind"], &answer["format"]),
        (&json!("diff"), &json!("beta-2025-12"))
    );
    let expected = contents(&at.0);
    at.unmount(&world);
    world.run(&["mount", &url("m", &["diff"]), at.name()]).ok();
    assert!(contents(&at.0) == expected);
    at.unmount(&world);
}

#[test]
fn an_overlay_has_one_base_and_one_user() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    put(&lab, b"other");
    std::fs::create_dir(world.path("other")).unwrap();
    std::fs::write(world.path("other/file"), "other").unwrap();
    snapshot(&world, &lab, "other", "n", &[]);
    let at = At::new(&world);
    let pid = mount(&world, &at);
    std::fs::write(at.0.join("new"), "new").unwrap();
    let second = world.path("second");
    std::fs::create_dir(&second).unwrap();
    let overlay = world.path("overlay");
    let (second, overlay) = (second.to_str().unwrap(), overlay.to_str().unwrap());
    let again = |url: &str| world.run(&["mount", "--writable", "--overlay-dir", overlay, url, second]);
    again(&url("m", &[])).fails(1, &["overlay", &pid.as_raw_nonzero().to_string()]);
    at.unmount(&world);
    again(&url("n", &[])).fails(2, &["overlay", "Manifests/m"]);
    let mode = std::fs::metadata(overlay).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Without a directory it has one of its own, with the user's state; there nothing was written yet.
    world.run(&["mount", "--writable", &url("m", &[]), second]).ok();
    assert!(!Path::new(second).join("new").exists());
    let state = world.home().join(".local/state/forebay/overlays");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    assert_eq!(
        std::fs::metadata(&state).unwrap().permissions().mode() & 0o777,
        0o700
    );
    world.run(&["unmount", second]).ok();
    // What was written stays where it is.
    mount(&world, &at);
    assert_eq!(std::fs::read_to_string(at.0.join("new")).unwrap(), "new");
    at.unmount(&world);
}

#[test]
fn what_cannot_be_committed_is_said() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    inputs(&world, &lab);
    let at = At::new(&world);
    world
        .run(&["commit", at.name()])
        .fails(3, &["nothing is mounted"]);
    world.run(&["mount", &url("m", &[]), at.name()]).ok();
    world
        .run(&["commit", at.name()])
        .fails(3, &["so that it can be written", "--writable"]);
    at.unmount(&world);
    mount(&world, &at);
    world
        .run(&["commit", at.name(), "-o", "nonsense://x"])
        .fails(2, &["nonsense"]);
    // A store that does not take it: no manifest, and nothing is lost.
    std::fs::write(at.0.join("new"), "new").unwrap();
    world
        .run(&["commit", at.name(), "-o", "s3://none/manifest"])
        .fails(3, &["none"]);
    assert_eq!(std::fs::read_to_string(at.0.join("new")).unwrap(), "new");
    assert_eq!(commit(&world, &at, "good", &[])["entries"], 5);
    at.unmount(&world);
}

#[test]
fn a_local_directory_can_be_written_over() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    small_tree(&world);
    let at = At::new(&world);
    mount_writable(&world, &at, &tree(&world), &[]);
    std::fs::write(at.0.join("three"), "3").unwrap();
    std::fs::remove_dir_all(at.0.join("a")).unwrap();
    assert_eq!(std::fs::read_to_string(at.0.join("b/two")).unwrap(), "22");
    assert_eq!(std::fs::read_to_string(world.path("tree/three")).unwrap(), "333");
    assert!(world.path("tree/a/one").exists() && !at.0.join("a").exists());
    let hash = Hash::of(b"3");
    assert_eq!(Hash::of(&std::fs::read(at.0.join("three")).unwrap()), hash);
    at.unmount(&world);
}

/// The kernel lets nobody open a program that runs for writing; who opens it for reading, to be emptied, it asks us to empty
/// it first.
#[test]
fn a_program_that_runs_is_not_emptied() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    let at = At::new(&world);
    let mut programs = ["/usr/bin/sleep", "/bin/sleep"].into_iter();
    let sleep = programs.find(|path| Path::new(path).exists()).unwrap();
    std::fs::create_dir(world.path("programs")).unwrap();
    std::fs::copy(sleep, world.path("programs/below")).unwrap();
    upload(&lab, &world.path("programs"));
    // The draft says of a file that it may be run.
    snapshot(&world, &lab, "programs", "m", &["--format", "draft"]);
    mount(&world, &at);
    std::fs::copy(sleep, at.0.join("above")).unwrap();
    let bytes = std::fs::read(sleep).unwrap();
    for name in ["above", "below"] {
        let program = at.0.join(name);
        let mut runs = Command::new(&program).arg("100").spawn().unwrap();
        let emptied = || {
            let flags = OFlags::RDONLY | OFlags::TRUNC;
            rustix::fs::open(&program, flags, Mode::empty()).map(drop)
        };
        assert_eq!(emptied(), Err(Errno::TXTBSY), "{name}");
        assert!(std::fs::read(&program).unwrap() == bytes, "{name}");
        // Whose pages are gone is killed by the next one.
        assert!(runs.try_wait().unwrap().is_none(), "{name}");
        runs.kill().unwrap();
        runs.wait().unwrap();
        // The kernel says later that it has closed the file.
        wait_for("the program has ended", || emptied().is_ok());
        assert_eq!(std::fs::metadata(&program).unwrap().len(), 0, "{name}");
    }
}
