//! What programs see.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::world::{MIB, Mounted, Setup, World, local, noise};

fn names(dir: &std::path::Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_bucket_is_a_tree_of_files() {
    let world = World::new();
    let big = noise(1, 5 * MIB + 77);
    world.put("big.bin", big.clone());
    world.put("dir/sub/small.txt", "hello");
    world.put("dir/empty", "");
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    assert_eq!(
        names(&mounted.path()),
        ["big.bin", "dir"].map(String::from).into()
    );
    assert_eq!(
        names(&mounted.at("dir")),
        ["empty", "sub"].map(String::from).into()
    );
    assert_eq!(
        fs::read_to_string(mounted.at("dir/sub/small.txt")).unwrap(),
        "hello"
    );
    assert_eq!(fs::read(mounted.at("dir/empty")).unwrap(), b"");
    assert!(fs::read(mounted.at("big.bin")).unwrap() == big);
    let meta = fs::metadata(mounted.at("big.bin")).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o7777), (big.len() as u64, 0o444));
    assert_eq!(meta.blocks(), (big.len() as u64).div_ceil(512));
    assert!(fs::metadata(mounted.at("dir")).unwrap().is_dir());
    let missing = fs::read(mounted.at("dir/none")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    // Reads at odd places, and past the end.
    let mut file = fs::File::open(mounted.at("big.bin")).unwrap();
    for (at, len) in [(0, 1), (3 * MIB - 1, 2), (5 * MIB, 100), (MIB + 13, 300_001)] {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at)).unwrap();
        (&mut file).take(len).read_to_end(&mut bytes).unwrap();
        let end = (at + len).min(big.len() as u64);
        assert!(bytes == big[at as usize..end as usize], "{at} {len}");
    }
    let stats = mounted.mount.stats();
    assert!(stats.reads > 0 && stats.errors == 0, "{stats:?}");
}

#[test]
fn nothing_can_be_written() {
    let world = World::new();
    world.put("file", "content");
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let read_only = |error: std::io::Error| {
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{error}");
    };
    read_only(fs::write(mounted.at("file"), "x").unwrap_err());
    read_only(fs::write(mounted.at("new"), "x").unwrap_err());
    read_only(fs::create_dir(mounted.at("newdir")).unwrap_err());
    read_only(fs::remove_file(mounted.at("file")).unwrap_err());
    read_only(fs::rename(mounted.at("file"), mounted.at("other")).unwrap_err());
    assert_eq!(fs::read_to_string(mounted.at("file")).unwrap(), "content");
}

#[test]
fn a_directory_of_this_machine_is_mounted_and_read_by_the_kernel() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bytes = noise(2, 3 * MIB + 5);
    fs::write(dir.path().join("data"), &bytes).unwrap();
    let Some(mounted) = Mounted::new(local(dir.path()), Setup::default()) else {
        return;
    };
    assert!(fs::read(mounted.at("data")).unwrap() == bytes);
    let stats = mounted.mount.stats();
    if stats.handed_over > 0 {
        assert_eq!(stats.reads, 0, "the kernel reads it without us: {stats:?}");
    }
    // And without that.
    let setup = Setup {
        options: forebay_mount::MountOptions {
            passthrough: false,
            ..Setup::default().options
        },
        ..Setup::default()
    };
    let Some(served) = Mounted::new(local(dir.path()), setup) else {
        return;
    };
    assert!(fs::read(served.at("data")).unwrap() == bytes);
    let stats = served.mount.stats();
    assert!(stats.reads > 0 && stats.handed_over == 0, "{stats:?}");
}

#[test]
fn a_complete_file_of_the_cache_is_handed_to_the_kernel() {
    let world = World::new();
    let bytes = noise(3, 4 * MIB + 1);
    world.put("model", bytes.clone());
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    assert!(fs::read(mounted.at("model")).unwrap() == bytes);
    mounted.block_on(mounted.reader.flush());
    let before = mounted.mount.stats();
    // Sealing follows the last write.
    let handed_over = (0..200).any(|_| {
        assert!(fs::read(mounted.at("model")).unwrap() == bytes);
        std::thread::sleep(std::time::Duration::from_millis(10));
        mounted.mount.stats().handed_over > before.handed_over
    });
    assert!(handed_over || !can_hand_over(), "{:?}", mounted.mount.stats());
}

/// Whether this process may give files to the kernel: only with CAP_SYS_ADMIN.
fn can_hand_over() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let caps = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let caps = caps.and_then(|caps| u64::from_str_radix(caps.trim(), 16).ok());
        caps.is_some_and(|caps| caps & (1 << 21) != 0)
    })
}

#[test]
fn many_readers_read_what_is_there() {
    let world = World::new();
    let files: Vec<Vec<u8>> = (0..8).map(|n| noise(n, MIB + n * 1000)).collect();
    for (n, bytes) in files.iter().enumerate() {
        world.put(&format!("f{n}"), bytes.clone());
    }
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    std::thread::scope(|scope| {
        for thread in 0..16usize {
            let (mounted, files) = (&mounted, &files);
            scope.spawn(move || {
                for round in 0..20 {
                    let n = (thread + round) % files.len();
                    let file = fs::File::open(mounted.at(&format!("f{n}"))).unwrap();
                    let at = (thread * 50_021 + round * 33_333) % (files[n].len() - 4096);
                    let mut bytes = [0; 4096];
                    file.read_exact_at(&mut bytes, at as u64).unwrap();
                    assert!(bytes[..] == files[n][at..at + 4096], "f{n} at {at}");
                }
            });
        }
    });
    assert_eq!(mounted.mount.stats().errors, 0);
}

#[test]
fn memory_maps_show_the_bytes() {
    let world = World::new();
    let bytes = noise(9, 2 * MIB + 123);
    world.put("mapped", bytes.clone());
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let compared = std::process::Command::new("cmp")
        .arg(mounted.at("mapped"))
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            child.stdin.take().unwrap().write_all(&bytes)?;
            child.wait()
        })
        .unwrap();
    assert!(compared.success());
}

#[test]
fn a_listing_of_a_thousand_files_costs_one_request() {
    let world = World::new();
    for n in 0..1000 {
        world.put(&format!("many/{n:04}"), "x");
    }
    let setup = Setup {
        freshness: forebay_vfs::Freshness::Ttl(std::time::Duration::from_secs(60)),
        ..Setup::default()
    };
    let Some(mounted) = world.mount(setup) else { return };
    world.lab.reset_counts();
    let listed = || {
        let entries = fs::read_dir(mounted.at("many")).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    assert_eq!(listed(), 1000);
    let first = world.lab.counts();
    assert!(first.lists <= 3 && first.heads <= 1, "{first:?}");
    assert_eq!(listed(), 1000);
    let second = world.lab.counts();
    assert_eq!(
        (second.lists, second.heads),
        (first.lists, first.heads),
        "the second time nothing is asked"
    );
}
