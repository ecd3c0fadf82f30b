//! Files written past the page cache.

use std::fs::{File, OpenOptions};
use std::path::Path;

use forebay_disk::{DirectWriter, Disk, EngineChoice, Wanted};

use crate::mounted::Mounted;
use crate::page_cache::resident;
use crate::world::*;

fn create(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap()
}

/// Writes `bytes` in pieces of so many units, the last part of a unit at the end.
fn write(writer: &DirectWriter, bytes: &[u8], units: usize) {
    // Through the page cache units are bytes.
    let unit = writer.geometry().unit.max(512) as usize;
    let whole = bytes.len() / unit * unit;
    for (nth, piece) in bytes[..whole].chunks(unit * units).enumerate() {
        let mut buffer = writer.buffer(piece.len()).unwrap();
        buffer.as_mut().copy_from_slice(piece);
        writer
            .write(buffer.as_ref(), (nth * unit * units) as u64)
            .unwrap();
    }
    if whole < bytes.len() {
        writer.write_end(&bytes[whole..], whole as u64).unwrap();
    }
}

/// Writes files of every awkward size; what it comes to is read back through the page cache.
fn write_all(disk: &Disk, dir: &Path, wanted: Wanted) {
    let path = dir.join("w");
    for len in [0, 1, 511, 512, 4095, 4096, 4097, 65_536, 100_003, 5 * MIB + 1] {
        let bytes = contents(len);
        for units in [1, 3, 100] {
            if units == 1 && len > MIB {
                continue;
            }
            let writer = disk.write(create(&path), wanted).unwrap();
            write(&writer, &bytes, units);
            drop(writer);
            assert_same(&std::fs::read(&path).unwrap(), &bytes, &(len, units));
        }
    }
}

#[test]
fn what_is_written_directly_is_what_is_read_and_leaves_no_pages() {
    finishes(|| {
        for (kind, sector, mkfs) in [
            ("ext4", 512, &["-q"][..]),
            ("xfs", 4096, &["-q", "-f"][..]),
            ("btrfs", 512, &["-q", "-f"][..]),
        ] {
            let Some(mounted) = Mounted::new(kind, sector, mkfs, "rw") else {
                return;
            };
            let disk = disk(EngineChoice::Auto);
            for wanted in [Wanted::default(), unit(65_536)] {
                write_all(&disk, mounted.path(), wanted);
            }
            let stats = disk.stats();
            assert!(stats.direct_written > 0, "{kind}: {stats:?}");
            assert_eq!(stats.refused_files, 0, "{kind}: {stats:?}");
            let path = mounted.path().join("cold");
            let writer = disk.write(create(&path), Wanted::default()).unwrap();
            assert!(writer.is_direct());
            write(&writer, &contents(MIB + 5000), 16);
            if kind != "btrfs" {
                assert_eq!(resident(&path).iter().filter(|page| **page).count(), 0, "{kind}");
            }
            drop(writer);
            all_is_back(&disk);
        }
    });
}

#[test]
fn where_o_direct_is_refused_files_are_written_all_the_same() {
    finishes(|| {
        let Some(mounted) = Mounted::new("ext4", 512, &["-q"], "data=journal") else {
            return;
        };
        let disk = disk(EngineChoice::Auto);
        write_all(&disk, mounted.path(), Wanted::default());
        let stats = disk.stats();
        assert_eq!(stats.direct_written, 0);
        assert!(stats.buffered_written > 0 && stats.refused_files > 0, "{stats:?}");
    });
}

#[test]
fn threads_write_their_units_of_one_file_at_the_same_time() {
    finishes(|| {
        let dir = on_disk();
        let path = dir.path().join("w");
        let bytes = contents(4 * MIB);
        let disk = disk(EngineChoice::Auto);
        let writer = disk.write(create(&path), Wanted::default()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (writer, bytes) = (&writer, &bytes);
                scope.spawn(move || {
                    for at in (thread * 65_536..bytes.len()).step_by(4 * 65_536) {
                        let piece = &bytes[at..at + 65_536];
                        let mut buffer = writer.buffer(piece.len()).unwrap();
                        buffer.as_mut().copy_from_slice(piece);
                        writer.write(buffer.as_ref(), at as u64).unwrap();
                    }
                });
            }
        });
        drop(writer);
        assert_same(&std::fs::read(&path).unwrap(), &bytes, &"the file");
        assert_eq!(disk.stats().direct_written, 4 * MIB);
    });
}

#[test]
fn a_full_disk_is_an_error() {
    finishes(|| {
        let Some(mounted) = Mounted::tmpfs() else { return };
        let disk = disk(EngineChoice::Auto);
        let writer = disk
            .write(create(&mounted.path().join("w")), Wanted::default())
            .unwrap();
        let buffer = writer.buffer(4 << 20).unwrap();
        let error = (0..17)
            .find_map(|nth| writer.write(buffer.as_ref(), nth * 4 * MIB).err())
            .unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    });
}
