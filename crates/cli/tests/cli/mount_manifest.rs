//! The files of manifests, mounted over a content-addressed store, with the real kernel.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use forebay_manifest::Hash;
use forebay_testkit::Lab;

use crate::at::{At, may_mount};
use crate::harness::{World, files_below, lab, strict_lab, wait_for};
use crate::manifest::{file, small_tree};

const CAS: &str = "root/Data";

/// Puts the contents of all files below `tree` into the store, whole.
pub(crate) fn upload(lab: &Lab, tree: &Path) {
    for file in files_below(tree) {
        if !file.is_symlink() {
            put(lab, &std::fs::read(file).unwrap());
        }
    }
}

pub(crate) fn put(lab: &Lab, bytes: &[u8]) {
    let key = format!("{CAS}/{}.xxh128", Hash::of(bytes));
    lab.objects().put("box", &key, bytes.to_vec());
}

/// Makes a manifest of the directory and puts it there.
pub(crate) fn snapshot(world: &World, lab: &Lab, tree: &str, key: &str, more: &[&str]) {
    let _ = std::fs::remove_file(world.path("made.json"));
    let args = ["manifest", "snapshot", tree, "-o", "made.json"];
    world.run(&[&args[..], more].concat()).ok();
    let made = std::fs::read(world.path("made.json")).unwrap();
    lab.objects().put("box", &format!("root/Manifests/{key}"), made);
}

pub(crate) fn url(key: &str, then: &[&str]) -> String {
    let mut url = format!("manifest+s3://box/root/Manifests/{key}?cas=s3://box/{CAS}");
    for key in then {
        url.push_str(&format!("&then=s3://box/root/Manifests/{key}"));
    }
    url
}

/// Bytes that no hash function takes for zeros.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_mount_is_what_the_manifest_says() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    small_tree(&world);
    let tree = world.path("tree");
    let large = noise(5 << 20, 7);
    file(&tree.join("deep/er/large"), &large, 1_700_000_000_123_456);
    file(&tree.join("empty"), b"", 5);
    symlink("a/one", tree.join("link")).unwrap();
    symlink("../../three", tree.join("deep/er/up")).unwrap();
    let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(tree.join("a/one"), run).unwrap();
    std::fs::create_dir(tree.join("nothing")).unwrap();
    snapshot(
        &world,
        &lab,
        "tree",
        "m",
        &["--format", "draft", "--chunk-size", "1MiB"],
    );
    for chunk in large.chunks(1 << 20) {
        put(&lab, chunk);
    }
    upload(&lab, &tree);
    let at = At::new(&world);
    let answer = world.run(&["mount", &url("m", &[]), at.name(), "--json"]).json();
    assert_eq!(answer["url"], url("m", &[]));
    lab.reset_counts();
    // Of names and attributes the store is asked nothing.
    let meta = std::fs::metadata(at.0.join("deep/er/large")).unwrap();
    assert_eq!(
        (meta.size(), meta.mtime(), meta.mtime_nsec()),
        (5 << 20, 1_700_000_000, 123_456_000)
    );
    assert_eq!(
        std::fs::metadata(at.0.join("a/one")).unwrap().mode() & 0o111,
        0o111
    );
    assert_eq!(std::fs::metadata(at.0.join("three")).unwrap().mode() & 0o111, 0);
    assert_eq!(
        std::fs::read_link(at.0.join("deep/er/up")).unwrap(),
        Path::new("../../three")
    );
    assert!(at.0.join("nothing").is_dir());
    assert_eq!(lab.counts().requests, 0);
    let same = |name: &str| {
        let (there, here) = (std::fs::read(at.0.join(name)), std::fs::read(tree.join(name)));
        assert!(there.unwrap() == here.unwrap(), "{name}");
    };
    for name in [
        "a/one",
        "b/two",
        "three",
        "deep/er/large",
        "empty",
        "link",
        "deep/er/up",
    ] {
        same(name);
    }
    // A file of several chunks is one file of the cache, which the kernel reads when it is opened again.
    let before = lab.counts().gets;
    wait_for("the file to be checked and sealed", || {
        same("deep/er/large");
        let status = world.run(&["mount", "--status", "--json", at.name()]).json();
        status["mount"]["handed_over"].as_u64().unwrap() > 0
    });
    assert_eq!(lab.counts().gets, before);
    // It is read-only.
    let refused = std::fs::write(at.0.join("three"), "4").unwrap_err();
    assert_eq!(
        refused.raw_os_error(),
        Some(rustix::io::Errno::ROFS.raw_os_error())
    );
    world.run(&["unmount", at.name()]).ok();
}

#[test]
fn later_manifests_win() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    small_tree(&world);
    upload(&lab, &world.path("tree"));
    snapshot(&world, &lab, "tree", "one", &[]);
    file(&world.path("other/three"), b"3!", 50);
    file(&world.path("other/b/new"), b"new", 50);
    upload(&lab, &world.path("other"));
    snapshot(&world, &lab, "other", "two", &[]);
    let at = At::new(&world);
    world.run(&["mount", &url("one", &["two"]), at.name()]).ok();
    let read = |name: &str| std::fs::read_to_string(at.0.join(name)).unwrap();
    assert_eq!(
        (&*read("three"), &*read("b/two"), &*read("b/new"), &*read("a/one")),
        ("3!", "22", "new", "1")
    );
    world.run(&["unmount", at.name()]).ok();
    world.run(&["mount", &url("two", &["one"]), at.name()]).ok();
    assert_eq!((&*read("three"), &*read("b/new")), ("333", "new"));
    world.run(&["unmount", at.name()]).ok();
}

#[test]
fn a_little_of_a_large_content_costs_a_little() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    let world = World::with(&lab);
    let large = noise(64 << 20, 3);
    file(&world.path("tree/large"), &large, 1);
    snapshot(&world, &lab, "tree", "m", &[]);
    put(&lab, &large);
    let at = At::new(&world);
    world.run(&["mount", &url("m", &[]), at.name()]).ok();
    lab.reset_counts();
    let file = std::fs::File::open(at.0.join("large")).unwrap();
    let mut bytes = [0; 4096];
    file.read_exact_at(&mut bytes, 40 << 20).unwrap();
    assert_eq!(bytes, large[40 << 20..(40 << 20) + 4096]);
    let counts = lab.counts();
    assert!(counts.gets <= 2 && counts.heads == 0, "{counts:?}");
    assert!(counts.bytes_sent <= 2 << 20, "{counts:?}");
    drop(file);
    world.run(&["unmount", at.name()]).ok();
}

#[test]
fn a_wrong_content_is_refused_once_it_is_known() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    let world = World::with(&lab);
    let right = noise(3 << 20, 1);
    file(&world.path("tree/bad"), &right, 1);
    file(&world.path("tree/good"), b"good", 1);
    snapshot(&world, &lab, "tree", "m", &[]);
    upload(&lab, &world.path("tree"));
    let mut other = right.clone();
    other[2 << 20] ^= 1;
    let key = format!("{CAS}/{}.xxh128", Hash::of(&right));
    lab.objects().put("box", &key, other.clone());
    let at = At::new(&world);
    world.run(&["mount", &url("m", &[]), at.name()]).ok();
    let mut file = std::fs::File::open(at.0.join("bad")).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == other, "as they came");
    // The kernel is told to drop its pages; whoever reads then hears why not.
    let mut failed = None;
    wait_for("the content to be refused", || {
        file.seek(SeekFrom::Start(0)).unwrap();
        failed = file.read(&mut [0; 4096]).err();
        failed.is_some()
    });
    let errno = failed.unwrap().raw_os_error();
    assert_eq!(errno, Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(std::fs::read(at.0.join("good")).unwrap(), b"good");
    // Reads fail from the moment on at which it is known; the copy goes right after that, perhaps while we look.
    wait_for("the copy to be gone", || {
        files_below(&world.cache()).iter().all(|file| {
            let len = file.metadata().map_or(0, |metadata| metadata.len());
            len < 1 << 20 || !file.to_string_lossy().contains("objects")
        })
    });
    drop(file);
    world.run(&["unmount", at.name()]).ok();
    // Strictly, it cannot even be opened; another one can.
    let strict = World::with(&lab).set("FOREBAY_MOUNT_VERIFY", "strict");
    let at = At::new(&strict);
    strict.run(&["mount", &url("m", &[]), at.name()]).ok();
    let refused = std::fs::File::open(at.0.join("bad")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert_eq!(std::fs::read(at.0.join("good")).unwrap(), b"good");
    strict.run(&["unmount", at.name()]).ok();
}

#[test]
fn manifests_and_stores_may_be_directories() {
    if !may_mount() {
        return;
    }
    for verify in ["complete", "strict"] {
        let world = World::new().set("FOREBAY_MOUNT_VERIFY", verify);
        small_tree(&world);
        world.run(&["manifest", "snapshot", "tree", "-o", "m.json"]).ok();
        for bytes in ["1", "22", "333"] {
            let name = format!("cas/{}.xxh128", Hash::of(bytes.as_bytes()));
            file(&world.path(&name), bytes.as_bytes(), 1);
        }
        let at = At::new(&world);
        let url = format!(
            "manifest+{}?cas={}",
            world.path("m.json").display(),
            world.path("cas").display()
        );
        world.run(&["mount", &url, at.name()]).ok();
        assert_eq!(std::fs::read_to_string(at.0.join("b/two")).unwrap(), "22");
        // What the store has not, is not there for its reader; the name is.
        let gone = world.path(&format!("cas/{}.xxh128", Hash::of(b"333")));
        std::fs::remove_file(gone).unwrap();
        assert!(std::fs::read(at.0.join("three")).is_err());
        assert!(at.0.join("three").exists());
        world.run(&["unmount", at.name()]).ok();
    }
}

#[test]
fn what_cannot_be_mounted_is_said() {
    let lab = strict_lab();
    let world = World::with(&lab);
    small_tree(&world);
    snapshot(&world, &lab, "tree", "m", &[]);
    let at = At::new(&world);
    let refused = |url: &str, code: i32, words: &[&str]| {
        world.run(&["mount", url, at.name()]).fails(code, words);
    };
    refused(
        "manifest+s3://box/root/Manifests/m",
        2,
        &["where the bytes of its files are", "?cas="],
    );
    refused(&url("none", &[]), 3, &["root/Manifests/none"]);
    lab.objects().put("box", "root/Manifests/bad", "{}");
    refused(&url("bad", &[]), 6, &["root/Manifests/bad"]);
    file(&world.path("tree/new"), b"new", 1);
    world
        .run(&["manifest", "diff", "made.json", "tree", "-o", "diff.json"])
        .ok();
    let diff = std::fs::read(world.path("diff.json")).unwrap();
    lab.objects().put("box", "root/Manifests/diff", diff);
    refused(&url("diff", &[]), 2, &["diff"]);
}
