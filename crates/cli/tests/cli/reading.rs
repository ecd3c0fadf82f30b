//! `cat` and `get`.

use std::io::Read;

use forebay_testkit::{Content, Lab};
use forebay_types::ByteRange;

use crate::harness::{World, lab, strict_lab};

const SIZE: u64 = (40 << 20) + 11;

fn big() -> (Content, Vec<u8>) {
    let content = Content::pattern(9, SIZE);
    let bytes = content.read(ByteRange::new(0, SIZE)).to_vec();
    (content, bytes)
}

fn lab_with_big() -> (Lab, Vec<u8>) {
    let (content, bytes) = big();
    let lab = strict_lab();
    lab.objects().put("box", "dir/big.bin", content);
    (lab, bytes)
}

#[test]
fn cat_writes_all_bytes_in_order() {
    let (lab, bytes) = lab_with_big();
    let world = World::with(&lab);
    let outcome = world.run(&["cat", "s3://box/dir/big.bin"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout == bytes);
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
}

#[test]
fn cat_over_http_and_from_a_file() {
    let (content, bytes) = big();
    let lab = lab();
    lab.objects().put("box", "big", content);
    let world = World::new();
    assert!(world.run(&["cat", &format!("{}/box/big", lab.endpoint())]).stdout == bytes);
    let path = world.write("big", &bytes);
    assert!(world.run(&["cat", path.to_str().unwrap()]).stdout == bytes);
    assert!(world.run(&["cat", &format!("file://{}", path.display())]).stdout == bytes);
}

#[test]
fn ranges_count_both_ends() {
    let (lab, bytes) = lab_with_big();
    let world = World::with(&lab);
    let last = bytes.len();
    for (range, expected) in [
        ("0-0", 0..1),
        ("5-99", 5..100),
        ("41943000-", 41_943_000..last),
        ("-7", last - 7..last),
        ("0-99999999", 0..last),
    ] {
        let expected = &bytes[expected];
        let url = "s3://box/dir/big.bin";
        assert!(
            world.run(&["cat", url, "--range", range]).stdout == expected,
            "cat {range}"
        );
        assert!(
            world.run(&["get", url, "-", "--range", range]).stdout == expected,
            "get - {range}"
        );
        world.run(&["get", url, "piece", "--range", range]).ok();
        assert!(
            std::fs::read(world.path("piece")).unwrap() == expected,
            "get {range}"
        );
    }
}

#[test]
fn a_closed_pipe_is_the_reader_s_choice() {
    let (lab, bytes) = lab_with_big();
    let world = World::with(&lab);
    for args in [
        ["cat", "s3://box/dir/big.bin"].as_slice(),
        &["get", "s3://box/dir/big.bin", "-"],
    ] {
        let mut child = world.spawn(args);
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 10];
        stdout.read_exact(&mut first).unwrap();
        assert_eq!(first, bytes[..10]);
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn get_into_files_and_directories() {
    let (lab, bytes) = lab_with_big();
    let world = World::with(&lab);
    let url = "s3://box/dir/big.bin";
    let same = |name: &str| std::fs::read(world.path(name)).unwrap() == bytes;
    world.run(&["get", url]).ok();
    assert!(same("big.bin"));
    world.run(&["get", url, "other"]).ok();
    assert!(same("other"));
    std::fs::create_dir(world.path("sub")).unwrap();
    world.run(&["get", url, "sub"]).ok();
    assert!(same("sub/big.bin"));
    let whole = world.run(&["get", url, "-"]);
    assert!(whole.stdout == bytes);
    assert_eq!(world.files(), ["big.bin", "other", "sub"]);
}

#[test]
fn get_of_all_below_a_prefix() {
    let lab = strict_lab();
    for key in ["d/one", "d/sub/two", "elsewhere"] {
        lab.objects().put("box", key, key.as_bytes().to_vec());
    }
    let world = World::with(&lab);
    let answer = world.run(&["get", "s3://box/d/", "here", "--json"]).json();
    assert_eq!((&answer["objects"], &answer["bytes"]), (&2.into(), &14.into()));
    assert_eq!(std::fs::read(world.path("here/one")).unwrap(), b"d/one");
    assert_eq!(std::fs::read(world.path("here/sub/two")).unwrap(), b"d/sub/two");
    assert_eq!(crate::harness::names_in(&world.path("here")), ["one", "sub"]);
}

#[test]
fn no_clobber_keeps_what_is_there() {
    let lab = strict_lab();
    lab.objects().put("box", "k", "new");
    let world = World::with(&lab);
    world.write("k", "old");
    world
        .run(&["get", "s3://box/k", "--no-clobber"])
        .fails(1, &["k exists", "leave out --no-clobber"]);
    assert_eq!(std::fs::read(world.path("k")).unwrap(), b"old");
    world.run(&["get", "s3://box/k"]).ok();
    assert_eq!(std::fs::read(world.path("k")).unwrap(), b"new");
    assert_eq!(world.files(), ["k"]);
}

#[test]
fn get_answers_in_json() {
    let (lab, _) = lab_with_big();
    let world = World::with(&lab);
    let answer = world.run(&["get", "s3://box/dir/big.bin", "--json"]).json();
    assert_eq!(answer["url"], "s3://box/dir/big.bin");
    assert_eq!(answer["bytes"], SIZE);
    assert_eq!(answer["objects"], 1);
    assert_eq!(answer["requests"], lab.counts().gets);
    assert!(answer["mb_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn nothing_is_written_outside_of_the_destination() {
    let lab = strict_lab();
    lab.objects().put("box", "d/link/file", "planted");
    let world = World::with(&lab);
    std::fs::create_dir(world.path("here")).unwrap();
    std::fs::create_dir(world.path("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", world.path("here/link")).unwrap();
    world
        .run(&["get", "s3://box/d/", "here"])
        .fails(4, &["outside of the destination"]);
    assert!(crate::harness::names_in(&world.path("outside")).is_empty());
}
