//! `manifest show` and `manifest diff`, and what every command of manifests refuses.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use forebay_manifest::{Hash, Kind, Limits, Manifest, Version, compose};
use serde_json::json;

use crate::harness::{World, strict_lab};

/// What crates/manifest is tested with: made by the reference, and by the draft's authors.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifest/tests/fixtures");
    std::fs::read(fixtures.join(name)).unwrap()
}

pub(crate) fn decode(bytes: &[u8]) -> Manifest {
    Manifest::decode(bytes, &Limits::default()).unwrap()
}

/// A file with these bytes and this time, in microseconds since 1970.
pub(crate) fn file(path: &Path, bytes: &[u8], mtime: i64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    set_time(path, mtime);
}

pub(crate) fn set_time(path: &Path, mtime: i64) {
    let off = Duration::from_micros(mtime.unsigned_abs());
    let time = match mtime {
        0.. => SystemTime::UNIX_EPOCH + off,
        _ => SystemTime::UNIX_EPOCH - off,
    };
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// `a/one`, `b/two`, `three` below `tree`.
pub(crate) fn small_tree(world: &World) {
    for (name, bytes, time) in [("a/one", "1", 10), ("b/two", "22", 20), ("three", "333", 30)] {
        file(&world.path("tree").join(name), bytes.as_bytes(), time);
    }
}

#[test]
fn show_says_what_a_manifest_says() {
    let lab = strict_lab();
    let golden = fixture("v2023/golden.json");
    lab.objects().put("box", "m.json", golden.clone());
    let world = World::with(&lab);
    world.write("m.json", &golden);
    let answer = world
        .run(&["manifest", "show", "s3://box/m.json", "--json"])
        .json();
    assert_eq!(
        answer,
        json!({
            "url": "s3://box/m.json", "format": "v2023-03-03", "draft": false, "kind": "snapshot", "paths": "relative",
            "files": 4, "links": 0, "directories": null, "deleted_files": 0, "deleted_directories": 0, "total_size": 7,
            "chunk_size": null, "parent": null, "hash": "f41cf4cc380fd9b8cc8cfa47a4770726", "canonical": true,
            "canonical_hash": "f41cf4cc380fd9b8cc8cfa47a4770726",
        })
    );
    // From a file and from standard input it is the same.
    let file = world.run(&["manifest", "show", "m.json"]);
    assert!(file.ok().contains("f41cf4cc380fd9b8cc8cfa47a4770726") && !file.out().contains("draft"));
    let input = world.run_with_input(&["manifest", "show", "-"], &golden);
    assert_eq!(
        input.ok().lines().skip(1).collect::<Vec<_>>(),
        file.out().lines().skip(1).collect::<Vec<_>>()
    );
}

#[test]
fn show_tells_drafts_diffs_and_other_forms() {
    let world = World::new();
    world.write("diff.json", fixture("draft/diff.json"));
    let answer = world.run(&["manifest", "show", "diff.json", "--json"]).json();
    let manifest = decode(&fixture("draft/diff.json"));
    assert_eq!(answer["format"], "beta-2025-12");
    assert_eq!(
        (&answer["draft"], &answer["kind"]),
        (&json!(true), &json!("diff"))
    );
    assert_eq!(answer["parent"], manifest.parent().unwrap().to_string());
    assert_eq!(answer["chunk_size"], 2 << 20);
    let deleted = answer["deleted_files"].as_u64().unwrap() + answer["deleted_directories"].as_u64().unwrap();
    assert!(deleted > 0, "{answer}");
    let text = world.run(&["manifest", "show", "diff.json"]);
    assert!(
        text.ok().contains("a draft that may change or go"),
        "{}",
        text.out()
    );
    // The same in other words has another hash, and both are said.
    let spaced = String::from_utf8(fixture("v2023/golden.json"))
        .unwrap()
        .replace(",\"", ", \"");
    world.write("spaced.json", &spaced);
    let answer = world.run(&["manifest", "show", "spaced.json", "--json"]).json();
    assert_eq!(answer["canonical"], false);
    assert_eq!(answer["hash"], Hash::of(spaced.as_bytes()).to_string());
    assert_eq!(answer["canonical_hash"], "f41cf4cc380fd9b8cc8cfa47a4770726");
    let text = world.run(&["manifest", "show", "spaced.json"]);
    assert!(text.ok().contains("not in canonical form"), "{}", text.out());
}

#[test]
fn files_are_listed_with_names_that_are_safe_and_exact() {
    let world = World::new();
    world.write("m.json", fixture("v2023/tree.json"));
    let text = world.run(&["manifest", "show", "m.json", "--files"]);
    assert_eq!(text.ok().lines().count(), 24, "{}", text.out());
    let unsafe_char = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert_eq!(text.out().chars().find(|c| unsafe_char(*c)), None);
    let of = |name: &str| {
        let line = text.out().lines().find(|line| line.ends_with(name));
        line.unwrap().split_whitespace().collect::<Vec<_>>()
    };
    let hash = Hash::of(b"abc").to_string();
    assert_eq!(
        of("  a.txt"),
        ["3", "2023-11-14T22:13:20.000001Z", hash.as_str(), "a.txt"]
    );
    assert!(of("caf\\xe9/b\\xff\\xfe\\x80").contains(&"8"));
    assert_eq!(of("before 1970")[1], "1969-12-31T23:59:54.999999Z");
    let answer = world
        .run(&["manifest", "show", "m.json", "--files", "--json"])
        .json();
    let entries = answer["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &answer["files"]), (24, &json!(24)));
    let names = |field: &str| -> Vec<&str> { entries.iter().filter_map(|e| e[field].as_str()).collect() };
    assert!(names("path").contains(&"\u{202e}gpj.exe"));
    assert!(names("path_base64").contains(&"/w=="), "{entries:?}");
    assert_eq!(names("path").len() + names("path_base64").len(), 24);
    let latest = entries.iter().find(|e| e["path"] == "much before").unwrap();
    assert_eq!(latest["mtime"], -2_000_000_000_000_000_i64);
    // All that a draft has besides.
    world.write("d.json", fixture("draft/snapshot.json"));
    let answer = world
        .run(&["manifest", "show", "d.json", "--files", "--json"])
        .json();
    let entries = answer["entries"].as_array().unwrap();
    for (kind, field) in [("link", "target"), ("file", "chunks"), ("file", "runnable")] {
        assert!(
            entries.iter().any(|e| e["kind"] == kind && !e[field].is_null()),
            "no {field}: {entries:?}"
        );
    }
    assert!(entries.iter().any(|e| e["kind"] == "directory"));
    let text = world.run(&["manifest", "show", "d.json", "--files"]);
    assert!(
        text.ok().contains(" -> ") && text.out().contains(" chunks  "),
        "{}",
        text.out()
    );
}

#[test]
fn hostile_manifests_are_refused_and_the_entry_is_named() {
    let world = World::new();
    std::fs::create_dir(world.path("dir")).unwrap();
    let paths = |entry: &str| {
        format!(r#"{{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{entry}],"totalSize":1}}"#)
    };
    let one = |path: &str| paths(&format!(r#"{{"hash":"aa","mtime":1,"path":"{path}","size":1}}"#));
    for (text, code, words) in [
        (one("a/../../b"), 6, &["m.json", r#"paths[0] "a/../../b""#][..]),
        (one("/etc/passwd"), 6, &[r#"paths[0] "/etc/passwd""#]),
        (one(r"\u001b[2J/.."), 6, &[r#"paths[0] "\u{1b}[2J/..""#]),
        (one(r"a\ud800"), 6, &["paths[0]"]),
        (
            paths(r#"{"hash":"../x","mtime":1,"path":"f","size":1}"#),
            6,
            &[r#"paths[0] "f""#],
        ),
        (
            paths(r#"{"hash":"aa","mtime":1,"path":"f","size":2}"#),
            6,
            &["totalSize"],
        ),
        (one("f").replace("2023-03-03", "2099-01-01"), 1, &["2099-01-01"]),
        (one("f").replace("xxh128", "md5"), 1, &["md5"]),
        ("[".repeat(1 << 20), 6, &["at byte"]),
        ("no JSON".to_owned(), 6, &["at byte"]),
        (String::new(), 6, &["at byte"]),
    ] {
        world.write("m.json", &text);
        for args in [
            &["manifest", "show", "m.json"][..],
            &["manifest", "show", "m.json", "--files"],
            &["manifest", "diff", "m.json", "dir"],
            &["manifest", "verify", "m.json", "dir"],
            &["manifest", "verify", "m.json", "--cas", "dir"],
        ] {
            let outcome = world.run(args);
            outcome.fails(code, words);
            assert!(!outcome.stderr.contains('\u{1b}'), "{:?}", outcome.stderr);
        }
        world
            .run_with_input(&["manifest", "show", "-"], text.as_bytes())
            .fails(code, &["standard input"]);
    }
}

#[test]
fn mistakes_are_told_before_anything_is_done() {
    let world = World::new();
    small_tree(&world);
    world.write("m.json", fixture("v2023/single.json"));
    // Larger than any manifest may be, and not a byte of it is read.
    let huge = std::fs::File::create(world.path("huge")).unwrap();
    huge.set_len((1 << 30) + 1).unwrap();
    let usage = |args: &[&str], words: &[&str]| world.run(args).fails(2, words);
    world
        .run(&["manifest", "show", "none.json"])
        .fails(3, &["none.json"]);
    world
        .run(&["manifest", "show", "huge"])
        .fails(1, &["huge", "1GiB"]);
    world.run(&["manifest", "snapshot", "none"]).fails(3, &["none"]);
    usage(&["manifest", "snapshot", "tree", "--json"], &["-o FILE"]);
    usage(
        &["manifest", "snapshot", "tree", "-o", "tree"],
        &["is a directory"],
    );
    usage(
        &["manifest", "snapshot", "tree", "--chunk-size", "1MiB"],
        &["--format draft"],
    );
    for size in ["0", "-1", "16EiB", "x"] {
        let size = format!("--chunk-size={size}");
        usage(
            &["manifest", "snapshot", "tree", "--format", "draft", &size],
            &["never"],
        );
    }
    usage(&["manifest", "diff", "-", "-"], &["standard input"]);
    usage(
        &["manifest", "diff", "m.json", "m.json", "--force-rehash"],
        &["NEW"],
    );
    usage(
        &["manifest", "diff", "m.json", "tree", "-o", "-"],
        &["name a file"],
    );
    usage(&["manifest", "verify", "m.json"], &["--cas"]);
    usage(
        &["manifest", "verify", "m.json", "tree", "--cas", "tree"],
        &["--cas"],
    );
    usage(&["manifest", "verify", "m.json", "tree", "--deep"], &["--cas"]);
    world
        .run(&["manifest", "snapshot", "tree", "-o", "no/such/file"])
        .fails(3, &["no/such"]);
    world.write("absolute.json", fixture("draft/absolute-snapshot.json"));
    world.write("diff.json", fixture("draft/diff.json"));
    for command in ["diff", "verify"] {
        usage(
            &["manifest", command, "absolute.json", "tree"],
            &["absolute paths"],
        );
    }
    usage(&["manifest", "diff", "diff.json", "tree"], &["is a diff"]);
    usage(
        &["manifest", "diff", "m.json", "diff.json"],
        &["one of them is a diff"],
    );
}

#[test]
fn two_manifests_are_compared_and_the_diff_makes_one_of_the_other() {
    let world = World::new();
    small_tree(&world);
    world
        .run(&["manifest", "snapshot", "tree", "-o", "old.json"])
        .ok();
    std::fs::remove_file(world.path("tree/three")).unwrap();
    file(&world.path("tree/b/two"), b"2x", 20);
    set_time(&world.path("tree/a/one"), 11);
    let odd = world.path("tree").join(std::ffi::OsStr::from_bytes(b"new\xff"));
    file(&odd, b"n", 1);
    world
        .run(&["manifest", "snapshot", "tree", "-o", "new.json"])
        .ok();
    let expected = json!({
        "new": [{"path_base64": "bmV3/w=="}], "modified": ["b/two"], "deleted": ["three"], "touched": ["a/one"],
    });
    let args = ["manifest", "diff", "old.json", "new.json"];
    assert_eq!(world.run(&[&args[..], &["--json"]].concat()).json(), expected);
    let said = world.run(&[&args[..], &["-o", "diff.json"]].concat());
    assert_eq!(
        said.ok(),
        "new       new\\xff\nmodified  b/two\ntouched   a/one\ndeleted   three\n"
    );
    assert!(said.stderr.contains("draft"), "{}", said.stderr);
    let [old, new, diff] =
        ["old.json", "new.json", "diff.json"].map(|name| decode(&std::fs::read(world.path(name)).unwrap()));
    assert_eq!((diff.kind(), diff.version()), (Kind::Diff, Version::Beta2025));
    assert_eq!(diff.parent(), Some(&old.hash()));
    let composed = compose(&[&old, &diff]).unwrap();
    assert!(composed.files().eq(new.files()));
    // Nothing changed: nothing is said.
    let same = world.run(&["manifest", "diff", "old.json", "old.json"]);
    assert_eq!((same.ok(), same.stderr.as_str()), ("", ""));
}

#[test]
fn a_directory_is_compared_by_size_and_time_and_hashed_where_they_differ() {
    let world = World::new();
    small_tree(&world);
    world
        .run(&["manifest", "snapshot", "tree", "-o", "old.json"])
        .ok();
    let diff = |more: &[&str]| {
        let args = [&["manifest", "diff", "old.json", "tree", "--json"], more].concat();
        world.run(&args).json()
    };
    let none = json!({"new": [], "modified": [], "deleted": [], "touched": []});
    assert_eq!(diff(&[]), none);
    assert_eq!(diff(&["--force-rehash"]), none);
    // Only the time is another: it is hashed, and its bytes are the same.
    set_time(&world.path("tree/a/one"), 11);
    assert_eq!(diff(&[])["touched"], json!(["a/one"]));
    set_time(&world.path("tree/a/one"), 10);
    // Other bytes of the same size at the same time: only who looks at them sees it.
    file(&world.path("tree/b/two"), b"2x", 20);
    assert_eq!(diff(&[]), none);
    assert_eq!(diff(&["--force-rehash"])["modified"], json!(["b/two"]));
    file(&world.path("tree/b/two"), b"2x", 21);
    assert_eq!(diff(&[])["modified"], json!(["b/two"]));
    std::fs::remove_file(world.path("tree/three")).unwrap();
    file(&world.path("tree/new/file"), b"", 0);
    let all = json!({"new": ["new/file"], "modified": ["b/two"], "deleted": ["three"], "touched": []});
    assert_eq!(diff(&["-o", "diff.json"]), all);
    // With file:// it is the same directory, and an empty one has lost everything.
    let url = format!("file://{}", world.path("tree").display());
    let by_url = world
        .run(&["manifest", "diff", "old.json", &url, "--json"])
        .json();
    assert_eq!(by_url, all);
    std::fs::create_dir(world.path("empty")).unwrap();
    let gone = world
        .run(&["manifest", "diff", "old.json", "empty", "--json"])
        .json();
    assert_eq!(gone["deleted"], json!(["a/one", "b/two", "three"]));
}

#[test]
fn a_draft_and_its_directory_differ_in_directories_links_and_modes_too() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let world = World::new();
    small_tree(&world);
    let tree = world.path("tree");
    std::fs::create_dir(tree.join("empty")).unwrap();
    symlink("three", tree.join("link")).unwrap();
    let snapshot = [
        "manifest", "snapshot", "tree", "--format", "draft", "-o", "old.json",
    ];
    world.run(&snapshot).ok();
    let diff = || {
        world
            .run(&["manifest", "diff", "old.json", "tree", "--json"])
            .json()
    };
    let none = json!({"new": [], "modified": [], "deleted": [], "touched": []});
    assert_eq!(diff(), none);
    std::fs::remove_dir(tree.join("empty")).unwrap();
    std::fs::create_dir(tree.join("other")).unwrap();
    std::fs::remove_file(tree.join("link")).unwrap();
    symlink("a", tree.join("link")).unwrap();
    std::fs::set_permissions(tree.join("three"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        diff(),
        json!({"new": ["other/"], "modified": ["link", "three"], "deleted": ["empty/"], "touched": []})
    );
}
