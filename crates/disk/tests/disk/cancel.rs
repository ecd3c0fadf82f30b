//! Reads that nobody waits for any more.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use forebay_disk::{DirectFile, Disk, EngineChoice};
use forebay_types::ByteRange;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::world::*;

fn any_range(random: &mut TestRng, size: u64) -> ByteRange {
    let len = match random.next_u32() % 8 {
        0 => u64::from(random.next_u32()) % (5 * MIB),
        1..4 => u64::from(random.next_u32()) % 100_000,
        _ => u64::from(random.next_u32()) % 5000,
    };
    ByteRange::at(u64::from(random.next_u32()) % size, len)
}

async fn begin_and_drop(file: DirectFile, bytes: &[u8], count: usize, seed: u8) {
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut kept = Vec::new();
    for _ in 0..count {
        let range = any_range(&mut random, bytes.len() as u64);
        let read = file.read(range);
        match random.next_u32() % 8 {
            0 => drop(read),
            1 => {
                let mut read = pin!(read);
                let _ = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            2 => {
                let after = Duration::from_micros(u64::from(random.next_u32()) % 300);
                let _ = tokio::time::timeout(after, read).await;
            }
            3 => {
                let task = tokio::spawn(read);
                if random.next_u32().is_multiple_of(2) {
                    tokio::task::yield_now().await;
                }
                task.abort();
            }
            4 => assert_same(&read.await.unwrap(), part(bytes, range), &range),
            _ => kept.push((range, read)),
        }
        if kept.len() > 20 {
            let (range, read) = kept.swap_remove(random.next_u32() as usize % kept.len());
            assert_same(&read.await.unwrap(), part(bytes, range), &range);
        }
    }
}

fn drop_by_the_thousand(engine: EngineChoice) {
    let dir = on_disk();
    let path = file(dir.path(), "f", &contents(6 * MIB + 1));
    let bytes: &'static [u8] = std::fs::read(&path).unwrap().leak();
    let disk = disk(engine);
    let file = open(&disk, &path, unit(8192));
    current_thread().block_on(begin_and_drop(file.clone(), bytes, 1000, 1));
    multi_thread().block_on(async {
        let tasks: Vec<_> = (2..6)
            .map(|seed| tokio::spawn(begin_and_drop(file.clone(), bytes, 700, seed)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    all_is_back(&disk);
    // Nobody is waited for who has gone.
    let ranges: Vec<_> = (0..300).map(|nth| ByteRange::at(nth * 20_001, 20_001)).collect();
    check_all(&file, bytes, &ranges);
    all_is_back(&disk);
}

#[test]
fn reads_dropped_at_any_point_give_their_memory_back_with_io_uring() {
    if has(EngineChoice::IoUring) {
        finishes(|| drop_by_the_thousand(EngineChoice::IoUring));
    }
}

#[test]
fn reads_dropped_at_any_point_give_their_memory_back_with_threads() {
    finishes(|| drop_by_the_thousand(EngineChoice::Pread));
}

#[test]
fn a_disk_dropped_with_reads_under_way_still_answers_them() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(2 * MIB));
        let bytes = std::fs::read(&path).unwrap();
        for engine in engines() {
            for runtime in [current_thread(), multi_thread()] {
                for _ in 0..20 {
                    runtime.block_on(async {
                        let disk: Disk = disk(engine);
                        let file = open(&disk, &path, unit(4096));
                        let range = ByteRange::new(1, MIB + 1);
                        let (kept, dropped) = (file.read(range), file.read(ByteRange::new(MIB + 1, 2 * MIB)));
                        drop((file, disk, dropped));
                        let got = kept.await.unwrap();
                        assert_same(&got, part(&bytes, range), &range);
                    });
                }
            }
        }
    });
}

#[test]
fn bytes_outlive_the_disk_and_the_runtime() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "f", &contents(MIB));
        let bytes = std::fs::read(&path).unwrap();
        for engine in engines() {
            let range = ByteRange::new(77, 500_000);
            let got = {
                let disk = disk(engine);
                let file = open(&disk, &path, unit(4096));
                current_thread().block_on(file.read(range)).unwrap()
            };
            let slice = got.slice(1000..2000);
            drop(got);
            assert_same(&slice, &part(&bytes, range)[1000..2000], &range);
        }
    });
}
