//! The arrows between our crates are those of the picture in ARCHITECTURE.md, and no others.

use std::collections::BTreeMap;
use std::process::Command;

/// Who may depend on whom, dev-dependencies apart. A new arrow is a decision: it changes the picture first.
const PICTURE: [(&str, &[&str]); 15] = [
    ("types", &[]),
    ("disk", &["types"]),
    ("source", &["types", "disk"]),
    ("range", &["types", "source"]),
    ("cache", &["types", "disk"]),
    ("readahead", &["types"]),
    ("reader", &["types", "source", "range", "cache", "readahead"]),
    ("manifest", &["types"]),
    ("vfs", &["types", "disk", "source", "range", "reader", "manifest"]),
    (
        "mount",
        &["types", "disk", "source", "range", "cache", "reader", "vfs"],
    ),
    ("log", &["types", "source", "range", "cache", "reader"]),
    ("torrent", &["types", "source"]),
    ("testkit", &["types"]),
    (
        "forebay",
        &[
            "types",
            "disk",
            "source",
            "range",
            "cache",
            "readahead",
            "reader",
            "log",
        ],
    ),
    // The command line brings the lab along, for `demo` and `bench --lab`.
    (
        "cli",
        &[
            "types",
            "disk",
            "source",
            "range",
            "cache",
            "readahead",
            "reader",
            "manifest",
            "vfs",
            "mount",
            "log",
            "torrent",
            "testkit",
        ],
    ),
];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn ours(package: &str) -> Option<String> {
    package
        .strip_prefix("forebay-")
        .map(str::to_owned)
        .or((package == "forebay").then(|| package.to_owned()))
}

fn arrows(kinds: &[Option<&str>]) -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let name = ours(package["name"].as_str().expect("a name")).expect("one of ours");
            let mut on: Vec<String> = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|d| kinds.contains(&d["kind"].as_str()))
                .filter_map(|d| ours(d["name"].as_str().expect("a name")))
                .collect();
            on.sort();
            on.dedup();
            (name, on)
        })
        .collect()
}

#[test]
fn the_arrows_are_those_of_the_picture() {
    let mut expected: BTreeMap<String, Vec<String>> = PICTURE
        .iter()
        .map(|(name, on)| ((*name).to_owned(), on.iter().map(|s| (*s).to_owned()).collect()))
        .collect();
    expected.values_mut().for_each(|on| on.sort());
    assert_eq!(arrows(&[None, Some("build")]), expected);
}

#[test]
fn tests_use_the_testkit_and_nothing_above_themselves() {
    for (name, on) in arrows(&[Some("dev")]) {
        let allowed =
            |dep: &String| dep == "testkit" || (name == "testkit" && dep == "source") || is_below(dep, &name);
        assert!(on.iter().all(allowed), "{name} is tested with {on:?}");
    }
}

/// Whether `name` stands on `dep`, be it through others.
fn is_below(dep: &str, name: &str) -> bool {
    let on = PICTURE
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, on)| *on);
    on.is_some_and(|on| on.iter().any(|next| *next == dep || is_below(dep, next)))
}
