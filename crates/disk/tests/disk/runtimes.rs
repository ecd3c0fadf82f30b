//! Reads under every kind of runtime, under none, and under some that end.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use forebay_disk::{Disk, EngineChoice, EngineKind, Wanted};
use forebay_types::ByteRange;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::world::*;

type Read = Pin<Box<dyn Future<Output = std::io::Result<Bytes>> + Send>>;

/// A file of 2 MiB and its bytes.
fn given() -> (TempDir, std::path::PathBuf, &'static [u8]) {
    let dir = on_disk();
    let path = file(dir.path(), "f", &contents(2 * MIB));
    let bytes = std::fs::read(&path).unwrap().leak();
    (dir, path, bytes)
}

fn ranges(count: u64) -> Vec<ByteRange> {
    (0..count)
        .map(|nth| ByteRange::at(nth * 5003 % MIB, 1 + nth * 997 % 9000))
        .collect()
}

#[test]
fn no_runtime_is_needed() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let file = file.clone();
                    std::thread::spawn(move || block_on(check(&file, bytes, &ranges(300))))
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_runtime_without_an_io_driver_reads_all_the_same() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            for _ in 0..2 {
                let single = Builder::new_current_thread().build().unwrap();
                single.block_on(check(&file, bytes, &ranges(300)));
                let many = Builder::new_multi_thread().worker_threads(2).build().unwrap();
                let task = many.spawn({
                    let file = file.clone();
                    async move { check(&file, bytes, &ranges(300)).await }
                });
                many.block_on(task).unwrap();
            }
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_runtime_that_is_not_polled_any_more_keeps_nobody_waiting() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            let first = current_thread();
            first.block_on(check(&file, bytes, &ranges(50)));
            // Left under way, each with units that others want; nobody reaps them while `first` is not polled.
            let left = first.block_on(async {
                let left: Vec<_> = ranges(50)
                    .into_iter()
                    .map(|range| (range, file.read(range)))
                    .collect();
                left
            });
            current_thread().block_on(check(&file, bytes, &ranges(50)));
            multi_thread().block_on(check(&file, bytes, &ranges(50)));
            block_on(check(&file, bytes, &ranges(50)));
            // And it comes to its own when it is polled again.
            first.block_on(async {
                for (range, read) in left {
                    assert_same(&read.await.unwrap(), part(bytes, range), &range);
                }
            });
            first.block_on(check(&file, bytes, &ranges(50)));
            all_is_back(&disk);
        }
    });
}

#[test]
fn reads_of_a_runtime_that_was_dropped_come_to_their_end() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            for round in 0..40 {
                let runtime = if round % 2 == 0 {
                    current_thread()
                } else {
                    multi_thread()
                };
                let reads = runtime.block_on(async {
                    let reads: Vec<_> = ranges(40)
                        .into_iter()
                        .map(|range| (range, file.read(range)))
                        .collect();
                    reads
                });
                match round % 4 {
                    0 | 1 => drop(runtime),
                    _ => runtime.shutdown_background(),
                }
                for (range, read) in reads {
                    assert_same(&block_on(read).unwrap(), part(bytes, range), &range);
                }
            }
            all_is_back(&disk);
        }
    });
}

#[test]
fn reads_whose_runtime_goes_with_the_tasks_that_wait_give_their_memory_back() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(8192));
            for round in 0..40 {
                let runtime = if round % 2 == 0 {
                    current_thread()
                } else {
                    multi_thread()
                };
                for range in ranges(40) {
                    let file = file.clone();
                    runtime.spawn(async move {
                        loop {
                            let got = file.read(range).await.unwrap();
                            assert_same(&got, part(bytes, range), &range);
                        }
                    });
                }
                runtime.block_on(async { tokio::time::sleep(Duration::from_millis(2)).await });
                drop(runtime);
            }
            all_is_back(&disk);
            current_thread().block_on(check(&file, bytes, &ranges(50)));
        }
    });
}

#[test]
fn a_thread_that_ends_after_it_began_reads_does_not_take_them_along() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, unit(4096));
            let driven = multi_thread();
            for round in 0..60 {
                let (tell, told) = mpsc::channel::<(ByteRange, Read)>();
                let (of_thread, handle) = (file.clone(), driven.handle().clone());
                std::thread::spawn(move || {
                    let begin = || {
                        for range in ranges(30) {
                            tell.send((range, Box::pin(of_thread.read(range)))).unwrap();
                        }
                    };
                    match round % 3 {
                        0 => current_thread().block_on(async { begin() }),
                        1 => begin(),
                        _ => {
                            let _guard = handle.enter();
                            begin();
                        }
                    }
                });
                // The sender goes with the thread: nothing is received that came later.
                for (range, read) in told {
                    assert_same(&block_on(read).unwrap(), part(bytes, range), &range);
                }
            }
            all_is_back(&disk);
        }
    });
}

#[test]
fn a_read_begun_in_one_runtime_is_waited_for_in_another() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            let (first, second) = (multi_thread(), current_thread());
            for _ in 0..50 {
                let reads: Vec<_> = first.block_on(async {
                    ranges(20)
                        .into_iter()
                        .map(|range| (range, file.read(range)))
                        .collect()
                });
                second.block_on(async {
                    for (range, read) in reads {
                        assert_same(&read.await.unwrap(), part(bytes, range), &range);
                    }
                });
            }
        }
    });
}

#[test]
fn reads_begun_on_blocking_threads_are_reaped_by_their_runtime() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            let runtime = multi_thread();
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let (file, handle) = (file.clone(), runtime.handle().clone());
                    runtime.spawn_blocking(move || handle.block_on(check(&file, bytes, &ranges(50))))
                })
                .collect();
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
            all_is_back(&disk);
        }
    });
}

fn ten_thousand(engine: EngineChoice) {
    let (_dir, path, bytes) = given();
    let disk = disk(engine);
    let file = open(&disk, &path, Wanted::default());
    let ranges: Vec<_> = (0..10_000)
        .map(|nth| ByteRange::at(nth * 4096 % (2 * MIB), 4096))
        .collect();
    current_thread().block_on(check(&file, bytes, &ranges));
    multi_thread().block_on(check(&file, bytes, &ranges));
    block_on(check(&file, bytes, &ranges));
    assert!(disk.stats().reads >= 30_000);
    all_is_back(&disk);
}

#[test]
fn ten_thousand_reads_at_once_are_answered_with_io_uring() {
    if has(EngineChoice::IoUring) {
        finishes(|| ten_thousand(EngineChoice::IoUring));
    }
}

#[test]
fn ten_thousand_reads_at_once_are_answered_with_threads() {
    finishes(|| ten_thousand(EngineChoice::Pread));
}

#[test]
fn a_disk_at_rest_uses_no_processor() {
    run(child("runtimes::in_a_child_a_flood_of_reads_comes_to_rest"));
}

#[test]
#[ignore = "looks at the processor time of its process: run alone, by the test above"]
fn in_a_child_a_flood_of_reads_comes_to_rest() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let disk = disk(engine);
            let file = open(&disk, &path, Wanted::default());
            let runtime = multi_thread();
            let flood = |nth: u64| {
                let file = file.clone();
                let ranges: Vec<_> = (0..2000)
                    .map(|at| ByteRange::at((nth + at) * 4096 % MIB, 4096))
                    .collect();
                async move { check(&file, bytes, &ranges).await }
            };
            // More at once than a ring has room for, from several threads.
            let tasks: Vec<_> = (0..6).map(|nth| runtime.spawn(flood(nth))).collect();
            let threads: Vec<_> = (0..3)
                .map(|nth| {
                    let reads = flood(nth);
                    std::thread::spawn(move || block_on(reads))
                })
                .collect();
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
            for thread in threads {
                thread.join().unwrap();
            }
            all_is_back(&disk);
            let before = processor_time();
            std::thread::sleep(Duration::from_millis(300));
            let used = processor_time() - before;
            assert!(used < Duration::from_millis(100), "{used:?} of 300 ms");
        }
    });
}

/// Of all threads of this process, in user and kernel.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn the_engine_is_the_one_that_was_asked_for() {
    let pread = disk(EngineChoice::Pread);
    assert_eq!(
        (pread.engine(), pread.stats().engine),
        (EngineKind::Pread, EngineKind::Pread)
    );
    assert_eq!(pread.why_not_rings(), None);
    if has(EngineChoice::IoUring) {
        assert_eq!(disk(EngineChoice::Auto).engine(), EngineKind::IoUring);
        assert_eq!(disk(EngineChoice::IoUring).engine(), EngineKind::IoUring);
        assert_eq!(disk(EngineChoice::Auto).why_not_rings(), None);
    }
}

#[test]
fn runtimes_and_disks_that_have_gone_leave_no_descriptors_and_no_threads() {
    run(child("runtimes::in_a_child_runtimes_and_disks_come_and_go"));
}

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

#[test]
#[ignore = "counts what its process has: run alone, by the test above"]
fn in_a_child_runtimes_and_disks_come_and_go() {
    finishes(|| {
        let (_dir, path, bytes) = given();
        for engine in engines() {
            let once = |disk: &Disk| {
                let file = open(disk, &path, Wanted::default());
                current_thread().block_on(check(&file, bytes, &ranges(5)));
                let two = multi_thread();
                two.block_on(check(&file, bytes, &ranges(5)));
                // Some are left under way.
                two.block_on(async {
                    for range in ranges(5) {
                        drop(file.read(range));
                    }
                });
                block_on(check(&file, bytes, &ranges(5)));
            };
            let kept = disk(engine);
            once(&kept);
            all_is_back(&kept);
            let (descriptors, threads) = (count("fd"), count("task"));
            for _ in 0..100 {
                once(&kept);
            }
            for _ in 0..20 {
                once(&disk(engine));
            }
            // The runtimes' own threads, and those that reap the last reads, end a moment later.
            eventually("descriptors stay open", || count("fd") <= descriptors);
            if engine == EngineChoice::IoUring {
                eventually("threads stay", || count("task") <= threads);
            }
        }
    });
}
