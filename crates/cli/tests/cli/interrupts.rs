//! Ctrl-C leaves nothing half done.

use std::process::Child;
use std::time::Duration;

use forebay_testkit::{Content, Lab, Profile};
use forebay_types::ByteRange;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{World, builder, wait_for};

/// A lab that takes half a minute for what is asked of it here.
fn slow_lab() -> Lab {
    let profile = Profile::of("slow", Duration::from_millis(5), Some(200_000));
    builder().profile(profile).start().unwrap()
}

/// Interrupts it; tells exit code and last words.
fn interrupt(child: Child, signal: Signal) -> (Option<i32>, String) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn get_leaves_no_file() {
    let lab = slow_lab();
    lab.objects().put("box", "big", Content::pattern(1, 64 << 20));
    lab.objects().put("box", "dir/one", Content::pattern(2, 32 << 20));
    lab.objects().put("box", "dir/two", Content::pattern(3, 32 << 20));
    let world = World::with(&lab);
    for signal in [Signal::INT, Signal::TERM] {
        let child = world.spawn(&["get", "s3://box/big"]);
        wait_for("a temporary file", || !world.files().is_empty());
        assert!(
            !world.files().contains(&"big".to_owned()),
            "a file has its name before it is whole"
        );
        let (code, said) = interrupt(child, signal);
        assert_eq!((code, said.as_str()), (Some(1), "forebay: interrupted\n"));
        assert!(world.files().is_empty(), "{:?}", world.files());
    }
    let child = world.spawn(&["get", "s3://box/dir/", "there"]);
    let files = || std::fs::read_dir(world.path("there")).map_or(0, Iterator::count);
    wait_for("temporary files", || files() == 2);
    assert_eq!(interrupt(child, Signal::INT).0, Some(1));
    assert_eq!(files(), 0, "{:?}", crate::harness::names_in(&world.path("there")));
}

#[test]
fn get_leaves_what_was_there_before() {
    let lab = slow_lab();
    lab.objects().put("box", "big", Content::pattern(1, 64 << 20));
    let world = World::with(&lab);
    world.write("big", "the old one");
    let child = world.spawn(&["get", "s3://box/big"]);
    wait_for("a temporary file", || world.files().len() == 2);
    assert_eq!(interrupt(child, Signal::INT).0, Some(1));
    assert_eq!(world.files(), ["big"]);
    assert_eq!(std::fs::read(world.path("big")).unwrap(), b"the old one");
}

#[test]
fn put_leaves_no_parts() {
    let lab = slow_lab();
    let world = World::with(&lab);
    world.write(
        "f",
        Content::pattern(4, 40 << 20).read(ByteRange::new(0, 40 << 20)),
    );
    let child = world.spawn(&["put", "f", "s3://box/k"]);
    wait_for("an upload", || !lab.objects().uploads("box").is_empty());
    wait_for("its parts", || lab.counts().puts > 0);
    let (code, said) = interrupt(child, Signal::INT);
    assert_eq!((code, said.as_str()), (Some(1), "forebay: interrupted\n"));
    assert!(lab.objects().uploads("box").is_empty());
    assert!(lab.objects().get("box", "k").is_none());
}

#[test]
fn put_of_a_silent_pipe_can_be_interrupted() {
    let lab = builder().start().unwrap();
    let world = World::with(&lab);
    let mut command = world.command(&["put", "-", "s3://box/k"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    // Its handler must be there before the signal is: nothing outside shows when.
    std::thread::sleep(Duration::from_millis(500));
    let (code, said) = interrupt(child, Signal::INT);
    assert_eq!((code, said.as_str()), (Some(1), "forebay: interrupted\n"));
    drop(stdin);
}
