//! Every file system that one meets: what it says of itself, and that its bytes are right.

use std::path::Path;

use forebay_disk::{DiskStats, Wanted};
use forebay_types::ByteRange;

use crate::mounted::Mounted;
use crate::world::*;

/// Reads files of every awkward size, with whatever unit the kernel told and with 8 KiB; what the kernel told, and what
/// the disks have counted.
fn read_all(dir: &Path) -> Vec<(Option<u64>, DiskStats)> {
    let mut seen = Vec::new();
    for engine in engines() {
        let disk = disk(engine);
        let mut told = None;
        for len in [0, 1, 511, 512, 513, 4095, 4096, 4097, 100_003, 5 * MIB + 1] {
            let bytes = contents(len);
            let path = file(dir, "f", &bytes);
            let mut points: Vec<u64> = vec![0, 1, 511, 512, 4095, 4096, 8193, 65_535, 65_537];
            points.extend([len.saturating_sub(1), len, len + 1, len + 70_000]);
            let ranges: Vec<_> = points
                .iter()
                .flat_map(|start| points.iter().map(|end| ByteRange::new(*start, *end)))
                .collect();
            let least = Wanted {
                min_io_size: 512,
                ..Wanted::default()
            };
            for wanted in [least, unit(8192)] {
                let file = open(&disk, &path, wanted);
                told = file.geometry().told;
                assert!(
                    file.geometry().unit >= told.unwrap_or(4096),
                    "{:?}",
                    file.geometry()
                );
                check_all(&file, &bytes, &ranges);
            }
        }
        all_is_back(&disk);
        seen.push((told, disk.stats()));
    }
    seen
}

/// All of it was read directly, by what the kernel accepts.
fn assert_direct(dir: &Path, expected: Option<u64>) {
    for (told, stats) in read_all(dir) {
        assert_eq!(told, expected, "{stats:?}");
        assert!(stats.direct_bytes > 0, "{stats:?}");
        assert_eq!((stats.buffered_bytes, stats.refused_files), (0, 0), "{stats:?}");
    }
}

#[test]
fn tmpfs_takes_o_direct_and_answers_from_memory() {
    finishes(|| {
        let Some(mounted) = Mounted::tmpfs() else { return };
        // It tells nothing, and what it counts as direct is memory: there is no disk to spare.
        assert_direct(mounted.path(), None);
    });
}

#[test]
fn ext4_is_read_in_its_sectors() {
    finishes(|| {
        for sector in [512, 4096] {
            let Some(mounted) = Mounted::new("ext4", sector, &["-q"], "rw") else {
                return;
            };
            assert_direct(mounted.path(), Some(u64::from(sector)));
        }
    });
}

#[test]
fn xfs_is_read_in_its_sectors() {
    finishes(|| {
        for sector in [512, 4096] {
            let Some(mounted) = Mounted::new("xfs", sector, &["-q", "-f"], "rw") else {
                return;
            };
            assert_direct(mounted.path(), Some(u64::from(sector)));
        }
    });
}

#[test]
fn sectors_larger_than_pages_are_no_exception() {
    finishes(|| {
        // Since Linux 6.15; before that there is no such device.
        let Some(mounted) = Mounted::new(
            "xfs",
            16_384,
            &["-q", "-f", "-b", "size=16384", "-s", "size=16384"],
            "rw",
        ) else {
            return;
        };
        assert_direct(mounted.path(), Some(16_384));
    });
}

#[test]
fn btrfs_tells_nothing_and_is_read_in_4096() {
    finishes(|| {
        let Some(mounted) = Mounted::new("btrfs", 512, &["-q", "-f"], "rw") else {
            return;
        };
        assert_direct(mounted.path(), None);
    });
}

#[test]
fn compressed_btrfs_gives_the_same_bytes() {
    finishes(|| {
        // Reads of compressed pieces go through the page cache whatever the flag says; the kernel does not tell.
        let Some(mounted) = Mounted::new("btrfs", 512, &["-q", "-f"], "compress-force=zstd") else {
            return;
        };
        let zeros = vec![7; 300_000];
        let path = file(mounted.path(), "z", &zeros);
        for engine in engines() {
            let disk = disk(engine);
            check_all(
                &open(&disk, &path, Wanted::default()),
                &zeros,
                &[
                    ByteRange::new(1, 299_999),
                    ByteRange::new(130_000, 132_000),
                    ByteRange::new(0, 400_000),
                ],
            );
        }
        assert_direct(mounted.path(), None);
    });
}

#[test]
fn inline_data_of_ext4_is_read_through_the_page_cache() {
    finishes(|| {
        let Some(mounted) = Mounted::new("ext4", 512, &["-q", "-O", "inline_data", "-I", "1024"], "rw")
        else {
            return;
        };
        let bytes = contents(150);
        let path = file(mounted.path(), "small", &bytes);
        for engine in engines() {
            let disk = disk(engine);
            let file = disk.open(direct(&path).unwrap(), Wanted::default()).unwrap();
            check_all(
                &file,
                &bytes,
                &[
                    ByteRange::new(0, 1),
                    ByteRange::new(3, 149),
                    ByteRange::new(0, 4096),
                ],
            );
            all_is_back(&disk);
        }
    });
}

#[test]
fn an_overlay_is_read_as_what_lies_under_it() {
    finishes(|| {
        for (kind, mkfs, told) in [
            ("ext4", &["-q"][..], 512),
            ("xfs", &["-q", "-f"][..], 512),
            ("ext4", &["-q"][..], 4096),
        ] {
            let Some(mounted) = Mounted::new(kind, told, mkfs, "rw") else {
                return;
            };
            std::fs::create_dir(mounted.path().join("lower")).unwrap();
            let bytes = contents(200_001);
            file(&mounted.path().join("lower"), "below", &bytes);
            let Some(overlay) = mounted.overlay() else { return };
            for engine in engines() {
                let disk = disk(engine);
                // In the layer that nobody writes to.
                let below = open(&disk, &overlay.path().join("below"), unit(512));
                check_all(
                    &below,
                    &bytes,
                    &[
                        ByteRange::new(1, 200_000),
                        ByteRange::new(5000, 5001),
                        ByteRange::new(199_999, 300_000),
                    ],
                );
                assert_eq!(disk.stats().buffered_bytes, 0);
            }
            assert_direct(overlay.path(), Some(u64::from(told)));
        }
    });
}
