//! Any bytes of any file, however they lie to its units: what a plain read gives.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use forebay_disk::{DirectFile, Disk, DiskOptions, EngineChoice, MAX_READ, Wanted};
use forebay_types::ByteRange;
use proptest::prelude::*;

use crate::world::*;

/// Each start of `starts` with each end of `ends`, both within a unit of `unit`, some units apart.
fn cross(unit: u64, starts: &[u64], ends: &[u64]) -> Vec<ByteRange> {
    let mut ranges = Vec::new();
    for (nth, start) in starts.iter().enumerate() {
        for (mth, end) in ends.iter().enumerate() {
            let first = unit * (nth as u64 % 3);
            let units = unit * ((nth + mth) as u64 % 4);
            let (start, end) = (first + start, first + units + end);
            // The same end, a unit later, where it would be before the start.
            ranges.push(ByteRange::new(start, if end < start { end + unit } else { end }));
        }
    }
    ranges
}

fn corners(unit: u64) -> Vec<u64> {
    vec![0, 1, 2, unit / 2 - 1, unit / 2, unit / 2 + 1, unit - 2, unit - 1]
}

/// Bytes that no other reader has touched: a plain read of the file, through the page cache.
fn plain(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn every_misalignment_to_512_at_both_ends_gives_the_same_bytes() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(8 * 512 + 100));
        let bytes = plain(&path);
        let all: Vec<u64> = (0..512).collect();
        let ranges = cross(512, &all, &all);
        assert_eq!(ranges.len(), 512 * 512);
        // Each pair one way: what they have in common is what counts here. Most go the way that shares edges.
        let of_way = |ways: std::ops::Range<usize>| -> Vec<ByteRange> {
            let numbered = ranges.iter().enumerate();
            numbered
                .filter(|(nth, _)| ways.contains(&(nth % 8)))
                .map(|(_, range)| *range)
                .collect()
        };
        for (engine, ways) in [(EngineChoice::Auto, 0..6), (EngineChoice::Pread, 6..7)] {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(512));
            let runtime = current_thread();
            for ranges in of_way(ways).chunks(512) {
                runtime.block_on(check(&file, &bytes, ranges));
            }
            all_is_back(&disk);
        }
        let disk = disk(EngineChoice::Pread);
        check_blocking(&open(&disk, &path, unit(512)), &bytes, &of_way(7..8));
    });
}

#[test]
fn misaligned_ranges_of_a_real_disk_give_the_same_bytes_in_every_unit() {
    finishes(|| {
        let dir = on_disk();
        for size in [512, 4096, 8192, 65536] {
            let path = file(dir.path(), "f", &contents(8 * size + 100));
            let bytes = plain(&path);
            let all: Vec<u64> = (0..512).collect();
            let mut ranges = cross(size, &corners(size), &corners(size));
            if size == 512 {
                ranges.extend(cross(size, &all, &[0, 1, 511]));
                ranges.extend(cross(size, &[0, 1, 511], &all));
            }
            for engine in engines() {
                let disk = disk(engine);
                let file = open(&disk, &path, unit(size));
                assert_eq!(
                    file.geometry().unit,
                    size.max(file.geometry().told.unwrap_or(4096))
                );
                assert!(file.geometry().memory as u64 >= size, "{:?}", file.geometry());
                check_all(&file, &bytes, &ranges);
                let told = Wanted {
                    min_io_size: 512,
                    ..Wanted::default()
                };
                let file = open(&disk, &path, told);
                assert_eq!(file.geometry().unit, file.geometry().told.unwrap_or(4096));
                check_all(&file, &bytes, &ranges);
                let stats = disk.stats();
                assert_eq!((stats.buffered_bytes, stats.refused_files), (0, 0));
                assert!(stats.direct_bytes > 0);
                all_is_back(&disk);
            }
        }
    });
}

#[test]
fn ranges_at_and_past_the_end_are_cut_there() {
    finishes(|| {
        let dir = on_disk();
        for size in [512, 4096, 8192, 65536] {
            for len in [0, 1, size - 1, size, size + 1, 2 * size, 2 * size + 511] {
                let path = file(dir.path(), "f", &contents(len));
                let bytes = plain(&path);
                let mut points = vec![0, 1, size - 1, size, size + 1, 2 * size, 3 * size, 9 * size + 5];
                points.extend([len.saturating_sub(1), len, len + 1]);
                let mut ranges = Vec::new();
                for start in &points {
                    ranges.extend(points.iter().map(|end| ByteRange::new(*start, *end)));
                }
                for engine in engines() {
                    let disk = disk(engine);
                    check_all(&open(&disk, &path, unit(size)), &bytes, &ranges);
                    all_is_back(&disk);
                }
            }
        }
    });
}

#[test]
fn nothing_lies_at_the_end_of_the_number_space() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(10_000));
        let most = u64::MAX;
        let ranges = [
            ByteRange::new(most, most),
            ByteRange::new(most - 1, most),
            ByteRange::new(most - 5000, most),
            ByteRange::new(most - 5000, most - 4096),
            ByteRange::at(i64::MAX as u64 - 1, 1),
            ByteRange::at(i64::MAX as u64 - 1, 10_000),
            ByteRange::at(i64::MAX as u64 + 1, 10_000),
            ByteRange::at(1 << 62, 10_000),
        ];
        let all = ByteRange::new(0, most);
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            // Twice: the first must not leave anything that the second waits for.
            for _ in 0..2 {
                check_all(&file, &[], &ranges);
            }
            // More than there is memory.
            let error = block_on(file.read(all)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory, "{error}");
            let error = file.read_blocking(all).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory, "{error}");
            assert!(
                file.is_direct(),
                "a range without bytes says nothing about the disk"
            );
            check_all(&file, &plain(&path), &[ByteRange::new(1, 9_999)]);
            all_is_back(&disk);
        }
    });
}

#[test]
fn an_empty_range_does_not_ask_the_disk() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(10_000));
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            check_all(
                &file,
                &plain(&path),
                &[0, 1, 4096, 5000, 20_000].map(|at| ByteRange::at(at, 0)),
            );
            assert_eq!(disk.stats().reads, 0);
        }
    });
}

#[test]
fn holes_read_as_zeros() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", b"");
        let sparse = OpenOptions::new().write(true).open(&path).unwrap();
        sparse.write_all_at(&contents(5000), 300_000).unwrap();
        sparse.write_all_at(&contents(700), 700_001).unwrap();
        sparse.set_len(1_000_003).unwrap();
        sparse.sync_all().unwrap();
        let bytes = plain(&path);
        let mut ranges = cross(65536, &corners(65536), &corners(65536));
        ranges.extend([
            ByteRange::new(0, 2_000_000),
            ByteRange::new(299_999, 305_001),
            ByteRange::new(650_000, 999_999),
            ByteRange::new(1_000_002, 1_000_004),
        ]);
        for engine in engines() {
            let disk = disk(engine);
            for size in [512, 4096, 65536] {
                check_all(&open(&disk, &path, unit(size)), &bytes, &ranges);
            }
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_range_longer_than_any_pooled_buffer_is_one_read() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MAX_READ + 12_345));
        let bytes = plain(&path);
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            check_all(
                &file,
                &bytes,
                &[
                    ByteRange::new(1, 2 * MAX_READ + 12_344),
                    ByteRange::new(0, MAX_READ),
                    ByteRange::new(0, MAX_READ + 1),
                    ByteRange::new(4095, MAX_READ + 4095),
                    ByteRange::new(MAX_READ - 1, 9 * MAX_READ),
                ],
            );
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_pool_of_no_size_reads_all_the_same() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(300_000));
        for engine in engines() {
            let options = DiskOptions {
                engine,
                threads: 1,
                pool_size: 0,
            };
            let disk = Disk::new(options, None).unwrap();
            check_all(
                &open(&disk, &path, Wanted::default()),
                &plain(&path),
                &cross(4096, &corners(4096), &corners(4096)),
            );
            assert_eq!((disk.stats().pool.kept, disk.stats().registered_reads), (0, 0));
            all_is_back(&disk);
        }
    });
}

/// All bytes that come are those of the place; how many is up to the moment.
fn assert_prefix(got: &[u8], bytes: &[u8], range: ByteRange) {
    let want = part(bytes, range);
    assert!(got.len() <= want.len());
    assert_same(got, &want[..got.len()], &range);
}

#[test]
fn a_file_that_grows_and_shrinks_gives_its_own_bytes_or_fewer() {
    finishes(|| {
        let dir = on_disk();
        let bytes = Arc::new(contents(300_000));
        for engine in engines() {
            let path = file(dir.path(), "f", &bytes);
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            let stop = Arc::new(AtomicBool::new(false));
            let changing = {
                let (stop, bytes) = (stop.clone(), bytes.clone());
                std::thread::spawn(move || change(&path, &bytes, &stop))
            };
            let runtime = multi_thread();
            for round in 0..150u64 {
                let ranges = (0..16).map(|nth| {
                    let start = (round * 7919 + nth * 20_011) % 290_000;
                    ByteRange::at(start, 1 + (round * 131 + nth * 997) % 40_000)
                });
                runtime.block_on(async {
                    let reads: Vec<_> = ranges.map(|range| (range, file.read(range))).collect();
                    for (range, read) in reads {
                        assert_prefix(&read.await.unwrap(), &bytes, range);
                    }
                });
                let range = ByteRange::at(round * 1999, 30_000);
                assert_prefix(&file.read_blocking(range).unwrap(), &bytes, range);
            }
            stop.store(true, Relaxed);
            changing.join().unwrap();
            check_all(&file, &bytes, &[ByteRange::new(0, 400_000)]);
            all_is_back(&disk);
        }
    });
}

/// Cuts the file somewhere and writes the same bytes again, until told to stop; leaves it whole.
fn change(path: &std::path::Path, bytes: &[u8], stop: &AtomicBool) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let mut round = 0usize;
    while !stop.load(Relaxed) {
        round += 1;
        let mut len = round * 37_813 % bytes.len();
        file.set_len(len as u64).unwrap();
        while len < bytes.len() {
            let next = (len + 1 + round * 577 % 30_000).min(bytes.len());
            file.write_all_at(&bytes[len..next], len as u64).unwrap();
            len = next;
        }
    }
}

#[test]
fn a_file_that_has_grown_is_read_to_its_new_end() {
    finishes(|| {
        let dir = on_disk();
        let bytes = contents(100_000);
        for engine in engines() {
            let path = file(dir.path(), "f", &bytes[..5000]);
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            check_all(&file, &bytes[..5000], &[ByteRange::new(10, 100_000)]);
            let grown = OpenOptions::new().write(true).open(&path).unwrap();
            grown.write_all_at(&bytes[5000..], 5000).unwrap();
            // Not synced: what is only in the page cache counts as well.
            check_all(&file, &bytes, &[ByteRange::new(10, 100_000)]);
            grown.set_len(20_001).unwrap();
            check_all(&file, &bytes[..20_001], &[ByteRange::new(10, 100_000)]);
        }
    });
}

#[test]
fn pieces_cover_a_range_and_end_at_multiples() {
    let dir = on_disk();
    let path = file(dir.path(), "f", b"x");
    let disk = disk(EngineChoice::Pread);
    let file = open(&disk, &path, unit(4096));
    for (start, end) in [
        (0, 0),
        (5, 5),
        (0, 1),
        (1, 10_000_000),
        (4095, 4097),
        (0, MAX_READ),
        (u64::MAX - 9, u64::MAX),
    ] {
        for most in [0, 1, 4096, 65536, 3_000_000, MAX_READ, u64::MAX] {
            let range = ByteRange::new(start, end);
            let border = most.clamp(4096, MAX_READ);
            let mut at = start;
            for piece in file.pieces(range, most) {
                assert_eq!(piece.start(), at, "{range} by {most}");
                assert!(!piece.is_empty() && piece.len() <= border);
                assert!(piece.end() == end || piece.end() % border == 0);
                at = piece.end();
            }
            assert_eq!(at, end);
        }
    }
}

#[derive(Debug)]
struct Given {
    disks: Vec<(Disk, [DirectFile; 4])>,
    bytes: Vec<u8>,
}

/// 1 MiB and some bytes, open in every unit in every engine.
fn given(dir: &std::path::Path) -> Given {
    let path = file(dir, "f", &contents(MIB + 777));
    let disks = engines().into_iter().map(|engine| {
        let disk = disk(engine);
        let files = [512, 4096, 8192, 65536].map(|size| open(&disk, &path, unit(size)));
        (disk, files)
    });
    Given {
        disks: disks.collect(),
        bytes: plain(&path),
    }
}

#[test]
fn any_ranges_at_once_give_the_same_bytes() {
    finishes(|| {
        let dir = on_disk();
        let given = given(dir.path());
        let runtime = multi_thread();
        let range = (0..MIB + 1000, prop_oneof![0..20u64, 0..20_000u64, 0..300_000u64]);
        let ranges = prop::collection::vec(range.prop_map(|(at, len)| ByteRange::at(at, len)), 1..12);
        let mut config = ProptestConfig::with_cases(150);
        config.failure_persistence = None;
        proptest!(config, |(ranges in ranges)| {
            for (_, files) in &given.disks {
                for file in files {
                    runtime.block_on(check(file, &given.bytes, &ranges));
                    check_blocking(file, &given.bytes, &ranges[..1]);
                }
            }
        });
        for (disk, _) in &given.disks {
            all_is_back(disk);
        }
    });
}

#[test]
fn a_file_asked_for_without_direct_is_read_as_any_other() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(100_001));
        let bytes = plain(&path);
        let wanted = Wanted {
            direct: false,
            ..Wanted::default()
        };
        let ranges = cross(4096, &corners(4096), &corners(4096));
        for engine in engines() {
            // However it was opened.
            for source in [File::open(&path).unwrap(), direct(&path).unwrap()] {
                let disk = disk(engine);
                let file = disk.open(source, wanted).unwrap();
                assert!(!file.is_direct());
                check_all(&file, &bytes, &ranges);
                let stats = disk.stats();
                let asked: u64 = ranges.iter().map(|range| range.len()).sum();
                assert_eq!(stats.buffered_bytes, 2 * asked, "nothing is widened");
                assert_eq!(
                    (stats.direct_bytes, stats.refused_files, stats.shared_edges),
                    (0, 0, 0)
                );
            }
        }
    });
}

#[test]
#[ignore = "needs more than 2 GiB of memory"]
fn what_is_more_than_the_kernel_reads_at_once_is_read_to_its_end() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", b"");
        let sparse = OpenOptions::new().write(true).open(&path).unwrap();
        let (len, end) = ((2 << 30) + 3 * MIB + 5, contents(MIB));
        sparse.write_all_at(&end, len - MIB).unwrap();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(65536));
            for got in [
                block_on(file.read(ByteRange::new(1, len))).unwrap(),
                file.read_blocking(ByteRange::new(1, len)).unwrap(),
            ] {
                assert_eq!(got.len() as u64, len - 1);
                assert_same(&got[got.len() - MIB as usize..], &end, &"the end");
            }
        }
    });
}
