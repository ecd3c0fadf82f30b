//! fio, which writes what it can check again, reads through mounts.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::readers::directory;
use crate::world::{CacheAt, Mounted, Setup, World, local};

const SIZE: &str = "--size=12m";

/// Whether there is one.
fn is_there() -> bool {
    let there = Command::new("fio").arg("--version").output().is_ok();
    if !there {
        eprintln!("not run: fio is not installed");
    }
    there
}

/// A run on one file, each 4 KiB of which carry their own CRC.
fn fio(file: &Path, words: &[&str]) -> Output {
    Command::new("fio")
        .args([
            "--name=job",
            "--thread",
            SIZE,
            "--verify=crc32c",
            "--verify_interval=4k",
        ])
        .arg("--verify_fatal=1")
        .arg(format!("--filename={}", file.display()))
        .args(words)
        .current_dir(file.parent().unwrap())
        .output()
        .unwrap()
}

fn write(file: &Path) {
    let written = fio(file, &["--rw=write", "--bs=64k", "--do_verify=0"]);
    assert!(
        written.status.success(),
        "{}",
        String::from_utf8_lossy(&written.stderr)
    );
}

/// The ways of reading: blocks in order and anywhere, by system calls, rings and memory maps.
const JOBS: [&[&str]; 5] = [
    &["--ioengine=psync", "--rw=read", "--bs=128k", "--numjobs=3"],
    &[
        "--ioengine=psync",
        "--rw=randread",
        "--bs=4k-64k",
        "--blockalign=4k",
        "--numjobs=4",
    ],
    &["--ioengine=mmap", "--rw=read", "--bs=64k", "--numjobs=2"],
    &["--ioengine=mmap", "--rw=randread", "--bs=4k", "--numjobs=3"],
    &[
        "--ioengine=libaio",
        "--rw=randread",
        "--bs=16k",
        "--iodepth=16",
        "--direct=1",
        "--numjobs=2",
    ],
];

fn verified(mounted: &Mounted, what: &str) {
    for job in JOBS {
        let run = Command::new("fio")
            .args([
                "--name=job",
                "--thread",
                SIZE,
                "--verify=crc32c",
                "--verify_interval=4k",
            ])
            .args(["--verify_fatal=1", "--readonly"])
            .arg(format!("--filename={}", mounted.at("data").display()))
            .args(job)
            .current_dir("/")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{what}, {job:?}: {said}");
    }
    assert_eq!(mounted.mount.stats().errors, 0, "{what}");
}

#[test]
fn what_fio_wrote_it_finds_again() {
    if !is_there() {
        return;
    }
    let dir = directory();
    let (data, broken) = (dir.path().join("data"), dir.path().join("broken"));
    write(&data);
    let world = World::new();
    let bytes = fs::read(&data).unwrap();
    world.put("data", bytes);
    for passthrough in [false, true] {
        let mut setup = Setup::default();
        setup.options.passthrough = passthrough;
        let Some(mounted) = world.mount(setup.clone()) else {
            return;
        };
        verified(&mounted, "a bucket");
        let Some(mounted) = Mounted::new(local(dir.path()), setup) else {
            return;
        };
        verified(&mounted, "a directory");
    }
    let setup = Setup {
        cache: CacheAt::Nowhere,
        ..Setup::default()
    };
    let Some(mounted) = world.mount(setup) else { return };
    verified(&mounted, "a bucket without a cache");

    // It would say if a byte were wrong.
    fs::copy(&data, &broken).unwrap();
    let file = fs::File::options().read(true).write(true).open(&broken).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 5_000_001).unwrap();
    file.write_all_at(&[!byte[0]], 5_000_001).unwrap();
    let Some(mounted) = Mounted::new(local(dir.path()), Setup::default()) else {
        return;
    };
    let run = fio(&mounted.at("broken"), JOBS[0]);
    assert!(!run.status.success(), "a wrong byte is found");
}
