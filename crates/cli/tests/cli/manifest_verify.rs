//! `manifest verify`: what is missing, different or extra is found, in a directory and in a store.

use std::os::unix::fs::{PermissionsExt, symlink};

use forebay_manifest::Hash;
use serde_json::{Value, json};

use crate::harness::{Outcome, World, strict_lab};
use crate::manifest::{decode, file, fixture, set_time, small_tree};

/// The answer of a run that found something, which ended with `code`.
#[track_caller]
fn found(outcome: &Outcome, code: i32) -> Value {
    assert_eq!(outcome.code, Some(code), "{}{}", outcome.out(), outcome.stderr);
    serde_json::from_str(outcome.out()).unwrap()
}

#[test]
fn a_directory_that_is_right_and_all_that_can_be_wrong() {
    let world = World::new();
    small_tree(&world);
    world.run(&["manifest", "snapshot", "tree", "-o", "m.json"]).ok();
    let verify = || world.run(&["manifest", "verify", "m.json", "tree", "--json"]);
    // Times may be others.
    set_time(&world.path("tree/three"), 99);
    let answer = verify().json();
    assert_eq!((&answer["good"], &answer["bytes"]), (&json!(3), &json!(6)));
    assert_eq!(
        world.run(&["manifest", "verify", "m.json", "tree"]).ok(),
        "good      3\n"
    );
    // A byte is another.
    file(&world.path("tree/three"), b"343", 30);
    let answer = found(&verify(), 6);
    assert_eq!(answer["different"][0]["path"], "three");
    let why = answer["different"][0]["why"].as_str().unwrap();
    assert!(why.contains(&Hash::of(b"343").to_string()), "{why}");
    assert_eq!((&answer["missing"], &answer["extra"]), (&json!([]), &json!([])));
    file(&world.path("tree/three"), b"3333", 30);
    let answer = found(&verify(), 6);
    assert_eq!(answer["different"][0]["why"], "it has 4 bytes, not 3");
    // One is missing.
    std::fs::remove_file(world.path("tree/three")).unwrap();
    let answer = found(&verify(), 3);
    assert_eq!(answer["missing"], json!([{"path": "three"}]));
    std::fs::create_dir(world.path("tree/three")).unwrap();
    let answer = found(&verify(), 6);
    assert_eq!(answer["different"][0]["why"], "it is a directory, no file");
    std::fs::remove_dir(world.path("tree/three")).unwrap();
    file(&world.path("tree/three"), b"333", 1);
    // One is too many; directories do not count, since v2023-03-03 has none.
    std::fs::create_dir(world.path("tree/empty")).unwrap();
    verify().json();
    file(&world.path("tree/a/extra\u{1b}"), b"", 1);
    let answer = found(&verify(), 1);
    assert_eq!(answer["extra"], json!([{"path": "a/extra\u{1b}"}]));
    let text = world.run(&["manifest", "verify", "m.json", "tree"]);
    assert_eq!(text.out(), "extra     a/extra\\u{1b}\ngood      3\n");
    assert!(
        text.stderr.contains("tree is not what m.json says"),
        "{}",
        text.stderr
    );
}

#[test]
fn a_draft_has_links_directories_modes_and_chunks_to_be_compared() {
    let world = World::new();
    small_tree(&world);
    let tree = world.path("tree");
    file(&tree.join("large"), &vec![1; 3 << 20], 1);
    symlink("three", tree.join("link")).unwrap();
    std::fs::create_dir(tree.join("empty")).unwrap();
    let snapshot = [
        "manifest", "snapshot", "tree", "--format", "draft", "-o", "m.json",
    ];
    world
        .run(&[&snapshot[..], &["--chunk-size", "1MiB"]].concat())
        .ok();
    let verify = || world.run(&["manifest", "verify", "m.json", "tree", "--json"]);
    assert_eq!(verify().json()["good"], 5);
    let mut bytes = vec![1; 3 << 20];
    bytes[2 << 20] = 2;
    file(&tree.join("large"), &bytes, 1);
    std::fs::remove_file(tree.join("link")).unwrap();
    symlink("a/one", tree.join("link")).unwrap();
    std::fs::remove_dir(tree.join("empty")).unwrap();
    std::fs::create_dir(tree.join("other")).unwrap();
    std::fs::set_permissions(tree.join("three"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let answer = found(&verify(), 6);
    let why = |n: usize| answer["different"][n]["why"].as_str().unwrap();
    assert!(why(0).contains("chunk 2"), "{answer}");
    assert_eq!(why(1), "it leads to a/one, not to three");
    assert_eq!(why(2), "its owner may run it");
    assert_eq!(answer["missing"], json!([{"path": "empty/"}]));
    assert_eq!(answer["extra"], json!([{"path": "other/"}]));
}

#[test]
fn a_diff_says_what_has_to_be_gone() {
    let world = World::new();
    small_tree(&world);
    world
        .run(&["manifest", "snapshot", "tree", "-o", "old.json"])
        .ok();
    std::fs::remove_file(world.path("tree/three")).unwrap();
    std::fs::remove_dir_all(world.path("tree/b")).unwrap();
    file(&world.path("tree/new"), b"new", 1);
    world
        .run(&["manifest", "diff", "old.json", "tree", "-o", "diff.json"])
        .ok();
    // What it says nothing of may be there.
    let verify = || world.run(&["manifest", "verify", "diff.json", "tree", "--json"]);
    assert_eq!(verify().json()["extra"], json!([]));
    small_tree(&world);
    let answer = found(&verify(), 1);
    let paths: Vec<&str> = answer["extra"]
        .as_array()
        .unwrap()
        .iter()
        .map(|extra| extra["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["b/two", "three"]);
}

#[test]
fn links_that_lead_out_are_never_read() {
    let world = World::new();
    small_tree(&world);
    world.run(&["manifest", "snapshot", "tree", "-o", "m.json"]).ok();
    file(&world.path("outside"), b"333", 30);
    std::fs::remove_file(world.path("tree/three")).unwrap();
    symlink("../outside", world.path("tree/three")).unwrap();
    let answer = found(&world.run(&["manifest", "verify", "m.json", "tree", "--json"]), 6);
    let why = answer["different"][0]["why"].as_str().unwrap();
    assert!(why.contains("leads out of the directory"), "{why}");
}

#[test]
fn a_store_is_asked_for_every_object() {
    let lab = strict_lab();
    let world = World::with(&lab);
    small_tree(&world);
    file(&world.path("tree/again"), b"333", 1);
    world.run(&["manifest", "snapshot", "tree", "-o", "m.json"]).ok();
    let key = |bytes: &[u8]| format!("root/Data/{}.xxh128", Hash::of(bytes));
    for bytes in ["1", "22", "333"] {
        lab.objects().put("box", &key(bytes.as_bytes()), bytes);
    }
    let cas = |more: &[&str]| {
        let args = [
            "manifest",
            "verify",
            "m.json",
            "--cas",
            "s3://box/root/Data",
            "--json",
        ];
        world.run(&[&args[..], more].concat())
    };
    // Equal files are one object.
    let answer = cas(&[]).json();
    assert_eq!((&answer["good"], &answer["bytes"]), (&json!(3), &json!(0)));
    let answer = cas(&["--deep"]).json();
    assert_eq!((&answer["good"], &answer["bytes"]), (&json!(3), &json!(6)));
    let slash = [
        "manifest",
        "verify",
        "m.json",
        "--cas",
        "s3://box/root/Data/",
        "--json",
    ];
    assert_eq!(world.run(&slash).json()["good"], 3);
    // A byte is another: only who reads finds it.
    lab.objects().put("box", &key(b"22"), "2x");
    cas(&[]).json();
    let answer = found(&cas(&["--deep"]), 6);
    assert_eq!(answer["different"][0]["path"], "b/two");
    assert_eq!(
        answer["different"][0]["object"],
        key(b"22").strip_prefix("root/Data/").unwrap()
    );
    lab.objects().put("box", &key(b"22"), "222");
    for more in [&[][..], &["--deep"]] {
        let answer = found(&cas(more), 6);
        assert_eq!(answer["different"][0]["why"], "it has 3 bytes, not 2");
    }
    lab.objects().put("box", &key(b"22"), "22");
    lab.objects().delete("box", &key(b"333"));
    for more in [&[][..], &["--deep"]] {
        let answer = found(&cas(more), 3);
        assert_eq!(answer["missing"][0]["path"], "again");
        assert_eq!(answer["good"], 2);
    }
    let text = world.run(&["manifest", "verify", "m.json", "--cas", "s3://box/root/Data"]);
    assert!(text.out().starts_with("missing   "), "{}", text.out());
    // A bucket that is not there is no store without objects.
    let none = world.run(&["manifest", "verify", "m.json", "--cas", "s3://none/root"]);
    assert_ne!(none.code, Some(0));
}

#[test]
fn a_store_may_be_a_directory_and_chunks_are_objects() {
    let world = World::new();
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| (n / 3) as u8).collect();
    file(&world.path("tree/large"), &bytes, 1);
    file(&world.path("tree/empty"), b"", 1);
    let snapshot = [
        "manifest", "snapshot", "tree", "--format", "draft", "-o", "m.json",
    ];
    world
        .run(&[&snapshot[..], &["--chunk-size", "1000000"]].concat())
        .ok();
    for chunk in bytes.chunks(1_000_000).chain([&b""[..]]) {
        let name = format!("cas/Data/{}.xxh128", Hash::of(chunk));
        file(&world.path(&name), chunk, 1);
    }
    let verify = |more: &[&str]| {
        world.run(
            &[
                &["manifest", "verify", "m.json", "--cas", "cas/Data", "--json"],
                more,
            ]
            .concat(),
        )
    };
    assert_eq!(verify(&[]).json()["good"], 4);
    assert_eq!(verify(&["--deep"]).json()["bytes"], bytes.len());
    let last = Hash::of(bytes.chunks(1_000_000).last().unwrap());
    let last = world.path(&format!("cas/Data/{last}.xxh128"));
    let mut other = std::fs::read(&last).unwrap();
    other[0] ^= 1;
    std::fs::write(&last, other).unwrap();
    assert_eq!(found(&verify(&["--deep"]), 6)["different"][0]["path"], "large");
}

#[test]
fn sizes_that_contradict_each_other_are_the_manifests_fault() {
    let world = World::new();
    let entry = |path: &str, size: u64| format!(r#"{{"hash":"aa","mtime":1,"path":"{path}","size":{size}}}"#);
    let text = format!(
        r#"{{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{},{}],"totalSize":3}}"#,
        entry("a", 1),
        entry("b", 2)
    );
    assert_eq!(decode(text.as_bytes()).files().len(), 2);
    world.write("m.json", text);
    std::fs::create_dir(world.path("cas")).unwrap();
    world
        .run(&["manifest", "verify", "m.json", "--cas", "cas"])
        .fails(6, &["aa", "1 bytes of a", "2 bytes of b"]);
    // What the reference takes for hashes need not be hexadecimal; then nothing can be those bytes.
    world.write("h.json", fixture("v2023/hashes.json"));
    for name in ["a", "b", "c", "d"] {
        file(&world.path("tree").join(name), b"x", 1);
    }
    let answer = found(&world.run(&["manifest", "verify", "h.json", "tree", "--json"]), 6);
    assert_eq!(answer["different"].as_array().unwrap().len(), 4);
}
