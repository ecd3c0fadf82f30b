//! Mounts of buckets that are written, and commits that make the bucket the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::time::Duration;

use forebay_testkit::{FaultKind, Lab, ListQuery, Op, Rule, WebServer};
use forebay_types::ByteRange;
use serde_json::{Value, json};

use crate::at::{At, kill, may_mount, mount_writable};
use crate::harness::{World, files_below, strict_lab, wait_for};
use crate::mount_manifest::noise;

type Files = BTreeMap<String, Vec<u8>>;

const URL: &str = "s3://box/tree/";

fn lower() -> Files {
    let files = [
        ("three", b"333".to_vec()),
        ("a/one", b"1".to_vec()),
        ("a/deep/two", b"22".to_vec()),
        ("b/x", b"xx".to_vec()),
        ("b/y", b"yyy".to_vec()),
        ("gone/1", b"gone".to_vec()),
        ("gone/more/2", b"gone".to_vec()),
        ("linked", b"linked".to_vec()),
        ("large", noise(3 << 20, 5)),
    ];
    files.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

fn fill(lab: &Lab) {
    for (name, bytes) in lower() {
        lab.objects().put("box", &format!("tree/{name}"), bytes);
    }
}

/// What the bucket has below the prefix.
fn objects(lab: &Lab) -> Files {
    let query = ListQuery {
        prefix: "tree/".into(),
        ..ListQuery::default()
    };
    let page = lab.objects().list("box", &query).unwrap();
    let bytes =
        |object: &forebay_testkit::Object| object.content.read(ByteRange::new(0, object.size())).to_vec();
    let objects = page.objects.iter();
    objects
        .map(|(key, object)| (key["tree/".len()..].to_owned(), bytes(object)))
        .collect()
}

/// What a directory has.
fn files(dir: &Path) -> Files {
    let files = files_below(dir).into_iter().filter(|file| !file.is_symlink());
    let named = files.map(|file| {
        let name = file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        (name, fs::read(&file).unwrap())
    });
    named.collect()
}

#[track_caller]
fn same(one: &Files, other: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other));
    for (name, bytes) in one {
        assert!(*bytes == other[name], "{name}");
    }
}

fn commit(world: &World, at: &At) -> Value {
    world.run(&["commit", at.name(), "--json"]).json()
}

fn done(answer: &Value) -> [u64; 3] {
    ["put", "copied", "deleted"].map(|name| answer[name].as_u64().unwrap())
}

/// Whatever programs do.
fn change(dir: &Path) {
    let path = |name: &str| dir.join(name);
    fs::write(path("three"), "three and more").unwrap();
    fs::create_dir_all(path("out/deep")).unwrap();
    fs::write(path("out/deep/frame"), noise(200_000, 9)).unwrap();
    let large = fs::File::options().write(true).open(path("large")).unwrap();
    large.write_all_at(b"changed in the middle", 1_500_001).unwrap();
    drop(large);
    // As editors save.
    fs::write(path("b/.x.swp"), "new x").unwrap();
    fs::rename(path("b/.x.swp"), path("b/x")).unwrap();
    fs::rename(path("a"), path("moved")).unwrap();
    fs::write(path("moved/deep/three"), "3").unwrap();
    fs::remove_dir_all(path("gone")).unwrap();
    fs::hard_link(path("linked"), path("second")).unwrap();
    // A swap.
    fs::rename(path("b/y"), path("tmp")).unwrap();
    fs::rename(path("b/x"), path("b/y")).unwrap();
    fs::rename(path("tmp"), path("b/x")).unwrap();
}

#[test]
fn a_bucket_becomes_what_was_written() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    fill(&lab);
    let world = World::with(&lab);
    let at = At::new(&world);
    mount_writable(&world, &at, URL, &[]);
    change(&at.0);
    let expected = files(&at.0);
    let answer = commit(&world, &at);
    assert_eq!(
        (&answer["conflicts"], &answer["left_out"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(answer["url"], URL);
    same(&objects(&lab), &expected);
    same(&files(&at.0), &expected);
    assert_eq!(done(&commit(&world, &at)), [0, 0, 0]);
    let text = world.run(&["commit", at.name()]);
    assert!(
        text.ok().contains("into          s3://box/tree/\n"),
        "{}",
        text.out()
    );
    at.unmount(&world);
    // Nothing is above any more.
    mount_writable(&world, &at, URL, &[]);
    same(&files(&at.0), &expected);
    let answer = commit(&world, &at);
    assert_eq!((done(&answer), &answer["unchanged"]), ([0, 0, 0], &json!(0)));
    // And goes on.
    fs::remove_file(at.0.join("moved/deep/two")).unwrap();
    fs::rename(at.0.join("moved"), at.0.join("a")).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(at.0.join("three"))
        .unwrap()
        .write_all(b" and still more")
        .unwrap();
    let expected = files(&at.0);
    commit(&world, &at);
    same(&objects(&lab), &expected);
    at.unmount(&world);
}

#[test]
fn a_local_directory_becomes_what_was_written() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    let tree = world.path("tree");
    for (name, bytes) in lower() {
        let file = tree.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    fs::create_dir(tree.join("empty")).unwrap();
    let at = At::new(&world);
    let url = format!("file://{}/", tree.display());
    mount_writable(&world, &at, &url, &[]);
    change(&at.0);
    // A file where a directory was, and a directory where a file was, with that file in it.
    fs::rename(at.0.join("three"), at.0.join("tmp")).unwrap();
    fs::create_dir(at.0.join("three")).unwrap();
    fs::rename(at.0.join("tmp"), at.0.join("three/three")).unwrap();
    fs::write(at.0.join("gone"), "a file").unwrap();
    fs::remove_dir(at.0.join("empty")).unwrap();
    fs::write(at.0.join("empty"), "a file").unwrap();
    let expected = files(&at.0);
    let answer = commit(&world, &at);
    assert_eq!(answer["conflicts"], json!([]));
    same(&files(&tree), &expected);
    assert!(!tree.join("a").exists());
    assert_eq!(done(&commit(&world, &at)), [0, 0, 0]);
    at.unmount(&world);
    mount_writable(&world, &at, &url, &[]);
    same(&files(&at.0), &expected);
    assert!(!at.0.join("a").exists());
    let answer = commit(&world, &at);
    assert_eq!((done(&answer), &answer["unchanged"]), ([0, 0, 0], &json!(0)));
    at.unmount(&world);
}

#[test]
fn what_others_changed_is_told_and_not_touched() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    fill(&lab);
    let world = World::with(&lab);
    let at = At::new(&world);
    mount_writable(&world, &at, URL, &[]);
    fs::write(at.0.join("three"), "mine").unwrap();
    fs::write(at.0.join("b/x"), "mine").unwrap();
    symlink("three", at.0.join("link")).unwrap();
    let before = files(&at.0);
    lab.objects().put("box", "tree/three", "theirs");
    let refused = world.run(&["commit", at.name(), "--json"]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    let answer: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["conflicts"][0]["path"], "three");
    assert_eq!(
        answer["left_out"],
        json!([{"path": "link", "what": "a symbolic link"}])
    );
    for word in ["three", "somebody else changed", "--replace"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
    let there = objects(&lab);
    assert_eq!((&*there["three"], &*there["b/x"]), (&b"theirs"[..], &b"mine"[..]));
    world.run(&["commit", at.name(), "--replace"]).ok();
    same(&objects(&lab), &before);
    at.unmount(&world);
}

#[test]
fn options_of_manifests_are_refused() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    fill(&lab);
    let world = World::with(&lab);
    let at = At::new(&world);
    mount_writable(&world, &at, URL, &[]);
    for words in [
        &["--diff"][..],
        &["--format", "draft"],
        &["--chunk-size", "1MiB"],
        &["--output", "s3://box/m"],
    ] {
        world
            .run(&[&["commit", at.name()], words].concat())
            .fails(2, &[words[0], "manifests"]);
    }
    at.unmount(&world);
}

#[test]
fn what_can_only_be_read_is_not_committed() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    fill(&lab);
    let world = World::with(&lab);
    let at = At::new(&world);
    mount_writable(&world, &at, "s3://box/tree/three", &[]);
    fs::write(at.0.join("three"), "mine").unwrap();
    world
        .run(&["commit", at.name()])
        .fails(1, &["single object", "prefix"]);
    assert_eq!(fs::read(at.0.join("three")).unwrap(), b"mine");
    at.unmount(&world);
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("page"), "page").unwrap();
    let Some(web) = WebServer::python(site.path()) else {
        return;
    };
    let world = World::new();
    let at = At::new(&world);
    mount_writable(&world, &at, &web.url("/"), &[]);
    fs::write(at.0.join("page"), "mine").unwrap();
    world
        .run(&["commit", at.name()])
        .fails(1, &["web server", "only be read"]);
    at.unmount(&world);
}

#[test]
fn a_commit_that_is_killed_is_completed_by_the_next() {
    if !may_mount() {
        return;
    }
    let lab = strict_lab();
    fill(&lab);
    let world = World::with(&lab);
    let at = At::new(&world);
    let mut pid = mount_writable(&world, &at, URL, &[]);
    change(&at.0);
    for n in 0..40 {
        fs::write(at.0.join(format!("out/{n}")), noise(1000, n)).unwrap();
    }
    let mut expected = files(&at.0);
    // Each time some more is done.
    for (round, puts) in (1..).zip([5, 9, 20]) {
        let slow = FaultKind::Latency(Duration::from_millis(30));
        lab.faults().add(Rule::new(slow).op(Op::Put));
        lab.reset_counts();
        std::thread::scope(|scope| {
            let committing = scope.spawn(|| world.run(&["commit", at.name()]));
            wait_for("some objects", || lab.counts().puts >= puts);
            kill(pid);
            assert_ne!(committing.join().unwrap().code, Some(0));
        });
        lab.faults().clear();
        pid = mount_writable(&world, &at, URL, &[]);
        same(&files(&at.0), &expected);
        // What was put just then, and nobody heard of, is old by now, or gone, or elsewhere.
        let out = at.0.join("out");
        for n in (round..40).step_by(3) {
            fs::write(out.join(n.to_string()), noise(900, 100 * round + n)).unwrap();
        }
        for n in (40 * round..40 * round + 5).map(|n| n % 37) {
            if let Ok(()) = fs::remove_file(out.join(n.to_string())) {
                fs::write(at.0.join(format!("b/{n}")), "in its place").unwrap();
            }
        }
        fs::rename(&out, at.0.join("elsewhere")).unwrap();
        fs::create_dir(&out).unwrap();
        fs::rename(at.0.join("elsewhere/deep"), out.join("deep")).unwrap();
        for entry in fs::read_dir(at.0.join("elsewhere")).unwrap().take(30) {
            let entry = entry.unwrap();
            fs::rename(entry.path(), out.join(entry.file_name())).unwrap();
        }
        fs::rename(at.0.join("elsewhere"), at.0.join(format!("left{round}"))).unwrap();
        expected = files(&at.0);
    }
    let answer = commit(&world, &at);
    assert_eq!(answer["conflicts"], json!([]));
    same(&objects(&lab), &expected);
    assert_eq!(done(&commit(&world, &at)), [0, 0, 0]);
    at.unmount(&world);
}
