//! Units that several reads touch: read once where that can be, and never waited for in vain.

use std::fs::OpenOptions;

use forebay_disk::{EngineChoice, Wanted};
use forebay_types::ByteRange;

use crate::mounted::Loop;
use crate::world::*;

/// `count` ranges that follow each other, each of which ends within a unit.
fn adjacent(count: u64, len: u64, first: u64) -> Vec<ByteRange> {
    (0..count)
        .map(|nth| ByteRange::at(first + nth * len, len))
        .collect()
}

#[test]
fn adjacent_ranges_read_each_unit_once_while_they_are_under_way() {
    finishes(|| {
        if !has(EngineChoice::IoUring) {
            return;
        }
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(MIB));
        let bytes = std::fs::read(&path).unwrap();
        for (len, first) in [(1000, 1), (4096, 1), (5000, 3), (12_288, 4000), (20_001, 0)] {
            let disk = disk(EngineChoice::IoUring);
            let file = open(&disk, &path, unit(4096));
            let ranges = adjacent(50, len, first);
            // This runtime reaps only when it waits, so all are under way when the last one begins.
            current_thread().block_on(check(&file, &bytes, &ranges));
            let all = file.geometry().widen(ByteRange::new(first, ranges[49].end()));
            let stats = disk.stats();
            let touched: u64 = ranges
                .iter()
                .map(|range| file.geometry().widen(*range).len())
                .sum();
            assert_eq!(stats.direct_bytes, all.clamp_to(MIB).len(), "{len} from {first}");
            assert_eq!(
                stats.shared_edges,
                (touched - all.len()) / 4096,
                "{len} from {first}"
            );
            all_is_back(&disk);
        }
    });
}

#[test]
fn adjacent_ranges_of_many_tasks_give_the_right_bytes() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(4 * MIB + 99));
        let bytes: &'static [u8] = std::fs::read(&path).unwrap().leak();
        for engine in engines() {
            let disk = disk(engine);
            for (size, len) in [(512, 777), (4096, 5000), (65536, 70_001), (65536, 3000)] {
                let file = open(&disk, &path, unit(size));
                let ranges = adjacent(400, len, 13);
                let before = disk.stats();
                multi_thread().block_on(async {
                    let tasks: Vec<_> = ranges
                        .iter()
                        .map(|range| {
                            let (file, range) = (file.clone(), *range);
                            tokio::spawn(async move { check(&file, bytes, &[range]).await })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
                let after = disk.stats();
                let touched: u64 = ranges
                    .iter()
                    .map(|range| file.geometry().widen(*range).clamp_to(bytes.len() as u64).len())
                    .sum();
                let came = after.direct_bytes - before.direct_bytes;
                assert!(came <= touched, "{came} bytes for {touched}");
            }
            assert!(disk.stats().shared_edges > 0);
            all_is_back(&disk);
        }
    });
}

#[test]
fn the_same_bytes_asked_for_many_times_at_once_are_right() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(100_000));
        let bytes = std::fs::read(&path).unwrap();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            for range in [
                (10, 20),
                (8191, 8193),
                (1, 50_000),
                (0, 100),
                (90_000, 200_000),
                (8192, 8200),
            ] {
                let ranges = vec![ByteRange::new(range.0, range.1); 100];
                check_all(&file, &bytes, &ranges);
            }
            assert!(disk.stats().shared_edges > 0);
            all_is_back(&disk);
        }
    });
}

#[test]
fn who_waits_for_an_edge_gets_it_though_its_owner_is_gone() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(100_000));
        let bytes = std::fs::read(&path).unwrap();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            for runtime in [current_thread(), multi_thread()] {
                for round in 0..200 {
                    runtime.block_on(async {
                        let left = ByteRange::new(5, 20_000);
                        let right = ByteRange::new(20_000, 40_000);
                        let owner = file.read(left);
                        let waiting = file.read(right);
                        let third = file.read(ByteRange::new(40_000, 41_000));
                        if round % 2 == 0 {
                            drop(owner);
                        } else {
                            // Begun, polled and aborted.
                            let task = tokio::spawn(owner);
                            tokio::task::yield_now().await;
                            task.abort();
                        }
                        assert_same(&waiting.await.unwrap(), part(&bytes, right), &right);
                        drop(third);
                    });
                }
            }
            // No claim is left: who asks now would wait for ever.
            check_all(&file, &bytes, &adjacent(40, 3000, 1));
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_read_that_fails_fails_for_all_who_wait_for_it() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(100_000));
        for engine in engines() {
            let disk = disk(engine);
            // Not for reading: EBADF for each read.
            let closed = OpenOptions::new().write(true).open(&path).unwrap();
            let flags = rustix::fs::fcntl_getfl(&closed).unwrap();
            rustix::fs::fcntl_setfl(&closed, flags | rustix::fs::OFlags::DIRECT).unwrap();
            let file = disk.open(closed, unit(8192)).unwrap();
            for runtime in [current_thread(), multi_thread()] {
                for _ in 0..2 {
                    runtime.block_on(async {
                        let reads: Vec<_> = adjacent(50, 3001, 1)
                            .into_iter()
                            .map(|range| file.read(range))
                            .collect();
                        for read in reads {
                            let error = read.await.unwrap_err();
                            assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error}");
                        }
                    });
                }
            }
            let error = file.read_blocking(ByteRange::new(1, 2)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error}");
            assert_eq!(disk.stats().refused_files, 0);
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_bad_spot_on_the_disk_fails_only_who_wants_its_bytes() {
    finishes(|| {
        let Some(device) = Loop::new(8 * MIB, 512) else {
            return;
        };
        std::fs::write(device.image(), contents(8 * MIB)).unwrap();
        // The device keeps its size; what is behind the new end of its file cannot be read.
        let good = 4 * MIB;
        OpenOptions::new()
            .write(true)
            .open(device.image())
            .unwrap()
            .set_len(good)
            .unwrap();
        let bytes = contents(good);
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, device.device(), unit(4096));
            for _ in 0..20 {
                current_thread().block_on(async {
                    // Has the edge unit that the second waits for, and fails because of what follows it.
                    let bad = file.read(ByteRange::new(good - 100, good + 8192));
                    let before = ByteRange::new(good - 10_000, good - 100);
                    let fine = file.read(before);
                    let error = bad.await.unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
                    assert_same(&fine.await.unwrap(), part(&bytes, before), &before);
                });
            }
            let error = file.read_blocking(ByteRange::new(good, good + 1)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
            assert!(file.is_direct());
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_directory_says_what_it_is() {
    finishes(|| {
        let dir = on_disk();
        for engine in engines() {
            let disk = disk(engine);
            let opened = std::fs::File::open(dir.path()).unwrap();
            let file = disk.open(opened, Wanted::default()).unwrap();
            current_thread().block_on(async {
                let error = file.read(ByteRange::new(1, 10)).await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EISDIR), "{error}");
            });
            all_is_back(&disk);
        }
    });
}
