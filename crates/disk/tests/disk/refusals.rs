//! File systems and devices that refuse O_DIRECT, at once or later.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use forebay_disk::{Disk, EngineChoice, Geometry, Wanted};
use forebay_types::ByteRange;

use crate::mounted::{Loop, Mounted};
use crate::warnings;
use crate::world::*;

fn ranges() -> Vec<ByteRange> {
    [
        (0, 1),
        (1, 5000),
        (4095, 4097),
        (5000, 90_000),
        (90_000, 200_000),
        (300_000, 300_001),
    ]
    .map(|(start, end)| ByteRange::new(start, end))
    .to_vec()
}

/// Reads of a file that is refused from the start: all of them through the page cache, and not a byte more than asked.
fn read_refused(disk: &Disk, source: File, bytes: &[u8]) {
    let before = disk.stats();
    let file = disk.open(source, Wanted::default()).unwrap();
    assert!(!file.is_direct());
    let Geometry { unit, told, .. } = file.geometry();
    assert_eq!((unit, told), (1, None));
    check_all(&file, bytes, &ranges());
    let after = disk.stats();
    let asked: u64 = ranges()
        .iter()
        .map(|range| range.clamp_to(bytes.len() as u64).len())
        .sum();
    assert_eq!(after.refused_files - before.refused_files, 1);
    assert_eq!(after.buffered_bytes - before.buffered_bytes, 2 * asked);
    assert_eq!(after.direct_bytes, 0);
}

/// The one warning of a mount point, which has what a user needs.
#[track_caller]
fn assert_said_once(mount: &Path, kind: &str, why: &str) {
    let said = warnings::of(mount);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&format!("file_system={kind} ")), "{said:?}");
    assert!(said[0].contains(&format!("why={why:?}")), "{said:?}");
}

#[test]
fn files_opened_without_o_direct_are_counted_and_said_once_for_each_mount_point() {
    warnings::listen();
    run(child(
        "refusals::in_a_child_two_mounts_are_opened_without_o_direct",
    ));
}

#[test]
#[ignore = "what is said once is said once for a process: run alone, by the test above"]
fn in_a_child_two_mounts_are_opened_without_o_direct() {
    warnings::listen();
    finishes(|| {
        let (Some(first), Some(second)) = (Mounted::tmpfs(), Mounted::tmpfs()) else {
            return;
        };
        let bytes = contents(150_000);
        for engine in engines() {
            let disk = disk(engine);
            for dir in [first.path(), second.path(), first.path()] {
                for name in ["a", "b"] {
                    let path = file(dir, name, &bytes);
                    read_refused(&disk, File::open(&path).unwrap(), &bytes);
                }
            }
            assert_eq!(disk.stats().refused_files, 6);
            all_is_back(&disk);
        }
        for mount in [&first, &second] {
            assert_said_once(mount.path(), "tmpfs", "EINVAL from open");
        }
    });
}

#[test]
fn a_file_system_that_accepts_o_direct_and_tells_that_it_has_none_is_believed() {
    run(child("refusals::in_a_child_a_journal_has_the_data_too"));
}

#[test]
#[ignore = "what is said once is said once for a process: run alone, by the test above"]
fn in_a_child_a_journal_has_the_data_too() {
    warnings::listen();
    finishes(|| {
        // The journal has the data too, so its reads go through the page cache.
        let Some(mounted) = Mounted::new("ext4", 512, &["-q"], "data=journal") else {
            return;
        };
        let bytes = contents(150_000);
        let path = file(mounted.path(), "f", &bytes);
        for engine in engines() {
            let disk = disk(engine);
            read_refused(&disk, direct(&path).unwrap(), &bytes);
            all_is_back(&disk);
        }
        assert_said_once(mounted.path(), "ext4", "the kernel says so");
    });
}

/// Gives a loop device other sectors while files of it are open.
fn set_sector(device: &Path, bytes: u64) {
    const LOOP_SET_BLOCK_SIZE: libc::Ioctl = 0x4C09;
    let device = File::open(device).unwrap();
    // SAFETY: this request takes a number and no pointer.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_BLOCK_SIZE, bytes) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_device_that_refuses_later_is_read_through_the_page_cache_from_then_on() {
    finishes(|| {
        let Some(device) = Loop::new(MIB, 512) else { return };
        let bytes = contents(MIB);
        std::fs::write(device.image(), &bytes).unwrap();
        let ranges: Vec<_> = (0..100).map(|nth| ByteRange::at(1 + nth * 1500, 1500)).collect();
        for engine in engines() {
            for blocking in [false, true] {
                set_sector(device.device(), 512);
                let disk = disk(engine);
                let file = open(&disk, device.device(), unit(512));
                assert_eq!(file.geometry().unit, 512);
                check_all(&file, &bytes, &ranges);
                assert_eq!(disk.stats().buffered_bytes, 0);
                // From here on a read of 512 bytes is EINVAL, as of some file systems with some files.
                set_sector(device.device(), 4096);
                let before = disk.stats();
                if blocking {
                    check_blocking(&file, &bytes, &ranges);
                } else {
                    // Many are refused at once, and wait for each other's edges.
                    current_thread().block_on(check(&file, &bytes, &ranges));
                }
                assert!(!file.is_direct());
                check_all(&file, &bytes, &ranges);
                let stats = disk.stats();
                assert_eq!(stats.refused_files, 1, "one file is one refusal");
                assert!(stats.buffered_bytes > 0);
                let touched: u64 = ranges
                    .iter()
                    .map(|range| file.geometry().widen(*range).len())
                    .sum();
                assert!(stats.direct_bytes - before.direct_bytes < touched);
                all_is_back(&disk);
            }
        }
    });
}

#[test]
fn a_clone_of_a_refused_file_is_refused_too() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(10_000));
        let disk = disk(EngineChoice::Auto);
        let file = disk.open(File::open(&path).unwrap(), Wanted::default()).unwrap();
        let twin = file.clone();
        assert!(!file.is_direct() && !twin.is_direct());
        assert_eq!(disk.stats().refused_files, 1);
    });
}
