//! `manifest snapshot`: what is there is what is written, byte for byte.

use std::ffi::OsStr;
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_manifest::{ChunkSize, Content, FileKind, Hash, ManifestPath, Version};

use crate::harness::World;
use crate::manifest::{decode, file, fixture, small_tree};

const US_2023: i64 = 1_700_000_000_000_000;

/// The tree that crates/manifest/tests/fixtures/make.py had the reference make a manifest of.
fn tree_of_the_reference(world: &World) {
    let (deep, long) = (["deep"; 40].join("/"), "n".repeat(255));
    let all: [(&[u8], &[u8], i64); 24] = [
        (b"z.txt", b"last", US_2023),
        (b"a.txt", b"abc", US_2023 + 1),
        (b"a/b", b"beside a.txt", US_2023 + 2),
        (b"a-b", b"before a.txt", US_2023 + 3),
        (b"dir with space/\xc3\xa9.txt", b"e", US_2023 + 4),
        (b"empty", b"", 0),
        (b"before 1970", b"old", -5_000_001),
        (b"much before", b"older", -2_000_000_000_000_000),
        (b"quote\"back\\slash\x7f\x01\x1f\n\r\t\x08\x0c", b"odd", 1),
        (b"latin-1 caf\xe9/b\xff\xfe\x80", b"no UTF-8", 2),
        (b"half \xe2\x82", b"half a character", 3),
        (b"half \xe2\x82\xac", b"a whole one", 4),
        ("\u{1F600}".as_bytes(), b"D83D DE00", 5),
        ("\u{FB33}".as_bytes(), b"FB33", 6),
        ("\u{D7FF}".as_bytes(), b"D7FF", 7),
        ("\u{E000}".as_bytes(), b"E000", 8),
        (b"\xff", b"a lone DCFF", 9),
        ("e\u{301}".as_bytes(), b"decomposed", 10),
        ("\u{202e}gpj.exe".as_bytes(), b"bidi", 11),
        (b"C:\\share", b"a name like any other here", 12),
        (b"-", b"", 13),
        (b"~", b"", 14),
        (deep.as_bytes(), b"deep", 15),
        (long.as_bytes(), b"a long name", 16),
    ];
    for (name, bytes, mtime) in all {
        file(&world.path("tree").join(OsStr::from_bytes(name)), bytes, mtime);
    }
}

fn written(world: &World, args: &[&str]) -> forebay_manifest::Manifest {
    let args = [&["manifest", "snapshot", "tree"], args].concat();
    let outcome = world.run(&args);
    outcome.ok();
    decode(&outcome.stdout)
}

#[test]
fn it_is_what_the_reference_writes() {
    let world = World::new();
    tree_of_the_reference(&world);
    let expected = fixture("v2023/tree.json");
    let outcome = world.run(&["manifest", "snapshot", "tree"]);
    outcome.ok();
    assert_eq!(outcome.out(), String::from_utf8_lossy(&expected));
    assert_eq!(outcome.stderr, "");
    // Into a file it is the same, and nothing else is left beside it.
    let answer = world
        .run(&["manifest", "snapshot", "tree", "--output", "m.json", "--json"])
        .json();
    assert_eq!(std::fs::read(world.path("m.json")).unwrap(), expected);
    assert_eq!(world.files(), ["m.json", "tree"]);
    assert_eq!(answer["hash"], Hash::of(&expected).to_string());
    assert_eq!(
        (&answer["files"], &answer["bytes"]),
        (&24.into(), &expected.len().into())
    );
    let verified = world
        .run(&["manifest", "verify", "m.json", "tree", "--json"])
        .json();
    assert_eq!(verified["good"], 24);
    // What was there is replaced, and a run that fails leaves it.
    std::fs::create_dir(world.path("empty")).unwrap();
    world
        .run(&[
            "manifest", "snapshot", "empty", "--format", "v2023", "-o", "m.json",
        ])
        .fails(2, &["file"]);
    assert_eq!(std::fs::read(world.path("m.json")).unwrap(), expected);
    file(&world.path("one/f"), b"", 0);
    world.run(&["manifest", "snapshot", "one", "-o", "m.json"]).ok();
    let single = String::from_utf8(fixture("v2023/single.json")).unwrap();
    assert_eq!(std::fs::read_to_string(world.path("m.json")).unwrap(), single);
    assert_eq!(world.files(), ["empty", "m.json", "one", "tree"]);
}

#[test]
fn what_v2023_cannot_hold_makes_a_draft_that_says_so() {
    for (what, named) in [
        ("link", "the link a/x"),
        ("runs", "the executable a/x"),
        ("dir", "the empty directory a/x"),
    ] {
        let world = World::new();
        small_tree(&world);
        let x = world.path("tree/a/x");
        match what {
            "link" => symlink("../b/two", &x).unwrap(),
            "dir" => std::fs::create_dir(&x).unwrap(),
            _ => {
                file(&x, b"#!/bin/sh\n", 5);
                std::fs::set_permissions(&x, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let outcome = world.run(&["manifest", "snapshot", "tree"]);
        outcome.ok();
        let said = &outcome.stderr;
        assert!(said.contains(named) && said.contains("draft"), "{said}");
        let manifest = decode(&outcome.stdout);
        assert_eq!(manifest.version(), Version::Beta2025);
        assert_eq!(manifest.chunk_size(), ChunkSize::Bytes(256 << 20));
        let x = ManifestPath::new(b"a/x");
        let kind = manifest.find(x).map(|n| manifest.file(n).unwrap().kind);
        match what {
            "link" => assert_eq!(
                kind,
                Some(FileKind::Symlink {
                    target: ManifestPath::new(b"b/two")
                })
            ),
            "dir" => assert!(manifest.dirs().any(|dir| dir.path == x)),
            _ => assert!(matches!(kind, Some(FileKind::Regular { runnable: true, .. }))),
        }
        // Who insists gets what the reference writes: the link is a file, the rest is left out.
        let manifest = written(&world, &["--format", "v2023"]);
        assert_eq!(manifest.version(), Version::V2023);
        assert_eq!(manifest.files().len(), if what == "dir" { 3 } else { 4 });
        // And a draft if nothing asks for one.
        let world = World::new();
        small_tree(&world);
        assert_eq!(written(&world, &[]).version(), Version::V2023);
        assert_eq!(
            written(&world, &["--format", "draft"]).version(),
            Version::Beta2025
        );
    }
}

#[test]
fn links_inside_are_followed_and_those_that_leave_are_refused() {
    let world = World::new();
    small_tree(&world);
    file(&world.path("outside"), b"secret", 1);
    let tree = world.path("tree");
    symlink("a", tree.join("dir link")).unwrap();
    symlink(tree.join("b/two"), tree.join("absolute link")).unwrap();
    let manifest = written(&world, &["--format", "v2023"]);
    let files: Vec<String> = manifest.files().map(|file| file.path.to_string()).collect();
    assert_eq!(
        files,
        ["a/one", "absolute link", "b/two", "dir link/one", "three"]
    );
    let kind = |path: &[u8]| {
        manifest
            .file(manifest.find(ManifestPath::new(path)).unwrap())
            .unwrap()
            .kind
    };
    assert_eq!(kind(b"absolute link"), kind(b"b/two"));
    assert_eq!(kind(b"dir link/one"), kind(b"a/one"));
    world.run(&["manifest", "snapshot", "tree", "-o", "d.json"]).ok();
    let draft = decode(&std::fs::read(world.path("d.json")).unwrap());
    let target = |path: &[u8]| match draft
        .file(draft.find(ManifestPath::new(path)).unwrap())
        .unwrap()
        .kind
    {
        FileKind::Symlink { target } => target.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (target(b"dir link"), target(b"absolute link")),
        ("a".into(), "b/two".into())
    );
    for (target, words) in [
        ("../outside", "leads out of the directory"),
        ("/etc/passwd", "leads out of the directory"),
        ("a/../../outside", "leads out of the directory"),
        ("..", "leads out of the directory"),
    ] {
        let bad = tree.join("bad");
        symlink(target, &bad).unwrap();
        for more in [&[][..], &["--format", "v2023"], &["--format", "draft"]] {
            world
                .run(&[&["manifest", "snapshot", "tree"], more].concat())
                .fails(2, &["tree/bad", words]);
        }
        std::fs::remove_file(bad).unwrap();
    }
    // What leads to nothing can only stay a link; what leads back never ends if it is followed.
    for (target, words, kept) in [
        ("none/at/all", "leads to nothing", "none/at/all"),
        (".", "never ends", "."),
        ("bad", "leads to nothing", "bad"),
    ] {
        let bad = tree.join("bad");
        symlink(target, &bad).unwrap();
        world
            .run(&["manifest", "snapshot", "tree", "--format", "v2023"])
            .fails(2, &["tree/bad", words]);
        let draft = written(&world, &["--format", "draft"]);
        let number = draft.find(ManifestPath::new(b"bad")).unwrap();
        let FileKind::Symlink { target } = draft.file(number).unwrap().kind else {
            panic!("no link");
        };
        assert_eq!(target.to_string(), kept);
        std::fs::remove_file(bad).unwrap();
    }
}

#[test]
fn large_files_of_a_draft_are_cut() {
    let world = World::new();
    let bytes: Vec<u8> = (0..5_000_001_u32).map(|n| (n / 7) as u8).collect();
    file(&world.path("tree/large"), &bytes, 1);
    file(&world.path("tree/exact"), &bytes[..2 << 20], 1);
    let content = |size: &str, path: &[u8]| {
        let manifest = written(&world, &["--format", "draft", "--chunk-size", size]);
        let file = manifest
            .file(manifest.find(ManifestPath::new(path)).unwrap())
            .unwrap();
        match file.kind {
            FileKind::Regular {
                content: Content::Chunks(hashes),
                ..
            } => hashes.to_vec(),
            FileKind::Regular {
                content: Content::Hash(hash),
                ..
            } => vec![hash],
            other => panic!("{other:?}"),
        }
    };
    let chunks: Vec<Hash> = bytes.chunks(2 << 20).map(Hash::of).collect();
    assert_eq!(content("2MiB", b"large"), chunks);
    assert_eq!(content("2MiB", b"exact"), [Hash::of(&bytes[..2 << 20])]);
    let chunks: Vec<Hash> = bytes.chunks(1_000_003).map(Hash::of).collect();
    assert_eq!(content("1000003", b"large"), chunks);
    assert_eq!(content("never", b"large"), [Hash::of(&bytes)]);
    assert_eq!(content("256MiB", b"large"), [Hash::of(&bytes)]);
}

#[test]
fn a_thousand_files_on_all_cores_come_out_in_order() {
    let world = World::new();
    for n in 0..1000 {
        let name = format!("tree/{:02}/f{n}", n % 17);
        file(&world.path(&name), "x".repeat(n).as_bytes(), n as i64);
    }
    file(&world.path("tree/large"), &vec![7; 3 << 20], 0);
    let first = world.run(&["manifest", "snapshot", "tree"]);
    first.ok();
    let manifest = decode(&first.stdout);
    assert_eq!(manifest.encode(), first.stdout);
    assert_eq!(manifest.files().len(), 1001);
    for file in manifest.files() {
        let bytes = std::fs::read(world.path("tree").join(OsStr::from_bytes(file.path.as_bytes()))).unwrap();
        let FileKind::Regular { size, content, .. } = file.kind else {
            panic!("no file");
        };
        assert_eq!(
            (size, content),
            (bytes.len() as u64, Content::Hash(Hash::of(&bytes)))
        );
    }
    assert_eq!(world.run(&["manifest", "snapshot", "tree"]).stdout, first.stdout);
}

#[test]
fn what_cannot_be_read_or_is_no_file_is_told() {
    let world = World::new();
    small_tree(&world);
    rustix::fs::mkfifoat(rustix::fs::CWD, world.path("tree/pipe"), 0o600.into()).unwrap();
    let outcome = world.run(&["manifest", "snapshot", "tree"]);
    assert_eq!(decode(outcome.ok().as_bytes()).files().len(), 3);
    assert!(
        outcome.stderr.contains("tree/pipe is left out"),
        "{}",
        outcome.stderr
    );
    // As deep as a manifest may be, and one directory more.
    let deep = |more: usize| format!("deep{more}/{}", ["d"; 126].join("/"));
    file(&world.path(&deep(0)).join("d/f"), b"", 1);
    let outcome = world.run(&["manifest", "snapshot", "deep0"]);
    assert_eq!(decode(outcome.ok().as_bytes()).files().len(), 1);
    file(&world.path(&deep(1)).join("d/d/f"), b"", 1);
    world
        .run(&["manifest", "snapshot", "deep1"])
        .fails(2, &["deep1/d/d", "128 parts"]);
    if rustix::process::geteuid().is_root() {
        println!("partly skipped: root may read everything");
        return;
    }
    std::fs::set_permissions(world.path("tree/three"), std::fs::Permissions::from_mode(0o000)).unwrap();
    world
        .run(&["manifest", "snapshot", "tree"])
        .fails(4, &["tree/three"]);
}

#[test]
fn a_file_that_is_written_to_is_an_error_or_right() {
    let world = World::new();
    small_tree(&world);
    let busy = world.path("tree/busy");
    std::fs::write(&busy, vec![0; 1 << 20]).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::File::options().write(true).open(&busy).unwrap();
            for n in 0_u64.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // The size stays as it is.
                file.rewind().unwrap();
                file.write_all(&n.to_ne_bytes()).unwrap();
            }
        });
        // A writer that got no turn for a while is none: once is enough.
        let refused = (0..20).any(|_| {
            let outcome = world.run(&["manifest", "snapshot", "tree"]);
            if outcome.code == Some(5) {
                outcome.fails(5, &["tree/busy", "changes while it is hashed"]);
            } else {
                outcome.ok();
            }
            outcome.code == Some(5)
        });
        stop.store(true, Ordering::SeqCst);
        assert!(refused);
    });
    // Whose writer stops meanwhile is hashed again, or refused; never is a hash that of no moment.
    for round in 0..5_u8 {
        let child = world.spawn(&["manifest", "snapshot", "tree"]);
        for n in 0..round * 5 {
            std::fs::write(&busy, vec![n; 1 << 20]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        std::fs::write(&busy, vec![round; 1 << 20]).unwrap();
        let outcome = crate::harness::Outcome::of(child.wait_with_output().unwrap());
        if outcome.code == Some(0) {
            let manifest = decode(&outcome.stdout);
            let number = manifest.find(ManifestPath::new(b"busy")).unwrap();
            let FileKind::Regular { size, content, .. } = manifest.file(number).unwrap().kind else {
                panic!("no file");
            };
            let possible = |n: u8| content == Content::Hash(Hash::of(&vec![n; size as usize]));
            assert!(round == 0 || (0..=round * 5).any(possible), "{content:?}");
        } else {
            outcome.fails(5, &["tree/busy"]);
        }
    }
    let manifest = written(&world, &[]);
    let number = manifest.find(ManifestPath::new(b"busy")).unwrap();
    let FileKind::Regular { content, .. } = manifest.file(number).unwrap().kind else {
        panic!("no file");
    };
    assert_eq!(content, Content::Hash(Hash::of(&std::fs::read(&busy).unwrap())));
}
