//! Changes to what is on a server that does not answer.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use forebay_mount::IoMode;
use forebay_testkit::{FaultKind, Point, Rule};

use super::{Overlaid, served};
use crate::shared::{Place, errno};
use crate::world::{MIB, World, noise, soon};

/// A lab whose answers to reads never come.
fn dead(world: &World) {
    let never = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    world.lab.faults().add(Rule::new(never));
}

#[test]
fn what_needs_nothing_from_it_goes_on() {
    let world = World::new();
    world.put("dir/file", noise(1, MIB));
    let mut how = served(IoMode::Direct);
    how.mount.read_timeout = Duration::from_millis(300);
    let Some(mut overlaid) = Overlaid::new(world.source(), how) else {
        return;
    };
    assert!(overlaid.at("dir/file").exists());
    dead(&world);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(overlaid.at("dir/file"))
        .unwrap();
    // Whole blocks are replaced without a look at what they were.
    let mut bytes = noise(1, MIB);
    let block = 64 << 10;
    file.write_all_at(&noise(2, 2 * block), 3 * block).unwrap();
    bytes[3 * block as usize..][..2 * block as usize].copy_from_slice(&noise(2, 2 * block));
    let mut seen = vec![0; 100];
    file.read_exact_at(&mut seen, 4 * block - 50).unwrap();
    assert!(seen == bytes[4 * block as usize - 50..][..100]);
    // Others need the rest of their block.
    assert_eq!(errno(file.write_at(b"some", 10)), Some(libc::ETIMEDOUT));
    assert_eq!(errno(file.read_at(&mut seen, 10)), Some(libc::ETIMEDOUT));
    fs::rename(overlaid.at("dir/file"), overlaid.at("dir/moved")).unwrap();
    fs::write(overlaid.at("dir/file"), "new").unwrap();
    world.lab.faults().clear();
    drop(file);
    for _ in 0..2 {
        assert!(fs::read(overlaid.at("dir/moved")).unwrap() == bytes);
        assert_eq!(fs::read_to_string(overlaid.at("dir/file")).unwrap(), "new");
        overlaid.again();
    }
}

#[test]
fn a_program_that_writes_there_can_be_killed() {
    let world = World::new();
    world.put("file", noise(1, MIB));
    let Some(overlaid) = Overlaid::new(world.source(), served(IoMode::Direct)) else {
        return;
    };
    assert!(overlaid.at("file").exists());
    dead(&world);
    let mut child = Command::new("dd")
        .args(["if=/dev/zero", "bs=10", "count=1", "conv=notrunc", "seek=7"])
        .arg(format!("of={}", overlaid.at("file").display()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(
        soon(|| overlaid.mount().stats().waiting > 0),
        "it writes, and waits"
    );
    child.kill().unwrap();
    assert!(
        soon(|| child.try_wait().unwrap().is_some()),
        "kill -9 ends it at once"
    );
    assert!(soon(|| overlaid.mount().stats().waiting == 0));
    assert!(overlaid.mount().stats().interrupted > 0);
    world.lab.faults().clear();
    assert!(fs::read(overlaid.at("file")).unwrap() == noise(1, MIB));
}
