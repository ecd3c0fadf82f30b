//! Measurements, not claims: `cargo nextest run --release -p forebay-cache --run-ignored only -E 'test(figures)' --no-capture`.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use forebay_cache::{ReadOutcome, Wait, WriteMode};
use forebay_types::{ByteRange, Clock, SystemClock};
use rustix::time::{ClockId, clock_gettime};

use crate::rig::*;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The median time of one call, in nanoseconds, over calls that are timed in groups of 16.
fn median(clock: &SystemClock, mut call: impl FnMut(u64)) -> u64 {
    let mut times: Vec<u64> = (0..20_000u64)
        .map(|n| {
            let start = clock.now();
            for i in 0..16 {
                call(n * 16 + i);
            }
            (clock.now() - start).as_nanos() as u64 / 16
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn a_small_read_beside_a_plain_one() {
    let rig = Rig::new();
    let cache = rig.open(1 << 40);
    let clock = SystemClock::new();
    let id = id("read", 1, 256 * MIB);
    let object = cache.object(&id);
    store(&object, ByteRange::new(0, id.size - MIB));
    let file = std::fs::File::open(&rig.data()[0]).unwrap();
    let at = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (200 * MIB) / 4096 * 4096;
    let mut bytes = vec![0; 4096];
    // Into memory first.
    assert_eq!(read(&object, ByteRange::new(0, 200 * MIB)), 200 * MIB);
    for round in 0..3 {
        let plain = median(&clock, |n| file.read_exact_at(&mut bytes, at(n)).unwrap());
        let ours = |wait| {
            let mut bytes = vec![0; 4096];
            median(&clock, |n| {
                // The kernel may take pages back meanwhile: then one that must not wait says so.
                assert!(!matches!(
                    object.read(at(n), &mut bytes, wait),
                    ReadOutcome::Missing { .. }
                ));
            })
        };
        let (waiting, not_waiting) = (ours(Wait::Yes), ours(Wait::No));
        println!(
            "4 KiB, round {round}: pread {plain} ns, read {waiting} ns, without waiting {not_waiting} ns"
        );
    }
    let mut large = vec![0; MIB as usize];
    let time = |from: &mut dyn FnMut(u64)| {
        let start = clock.now();
        (0..200).for_each(|n| from(n * MIB));
        200.0 * MIB as f64 / (clock.now() - start).as_nanos() as f64
    };
    for _ in 0..2 {
        let plain = time(&mut |at| file.read_exact_at(&mut large, at).unwrap());
        let ours = time(&mut |at| assert_eq!(object.read(at, &mut large, Wait::Yes), ReadOutcome::Done));
        let fresh = rig.open(1 << 40).object(&id);
        let first = time(&mut |at| assert_eq!(fresh.read(at, &mut large, Wait::Yes), ReadOutcome::Done));
        println!("1 MiB: pread {plain:.1} GB/s, read {ours:.1} GB/s, with checksums {first:.1} GB/s");
    }
}

#[test]
#[ignore = "a measurement"]
fn the_cost_of_a_write() {
    for round in 0..2 {
        for mode in [WriteMode::Direct, WriteMode::Buffered] {
            let rig = Rig::new();
            let mut options = rig.options(1 << 40);
            options.write = mode;
            let cache = open(options);
            let clock = SystemClock::new();
            let size = 1 << 30;
            let id = id("written", 1, size);
            let object = cache.object(&id);
            let part = 8 * MIB;
            // The source's pages are touched before the clock starts.
            let chunks = content(&id).slice(ByteRange::at(0, 32 * MIB));
            assert_eq!(
                chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>(),
                32 * MIB
            );
            let (cpu_before, start) = (cpu(), clock.now());
            // One byte less than all: no seal, no sync.
            for n in 0..size / part - 1 {
                object
                    .store(fill(&id, ByteRange::at(n * part, part), |_| {}))
                    .unwrap();
            }
            cache.flush();
            let (time, cpu) = (clock.now() - start, cpu() - cpu_before);
            let stats = cache.stats();
            println!(
                "round {round}, {mode:?}: {:.2} GB/s, {:.2} CPU s/GiB ({} direct, {} buffered writes)",
                stats.bytes_stored as f64 / time.as_nanos() as f64,
                cpu.as_secs_f64() * (1u64 << 30) as f64 / stats.bytes_stored as f64,
                stats.direct_writes,
                stats.buffered_writes,
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn the_cost_of_a_small_object() {
    let rig = Rig::new();
    let cache = rig.open(1 << 40);
    let clock = SystemClock::new();
    let ids: Vec<_> = (0..10_000).map(|n| id(&format!("{n}"), 1, 2000)).collect();
    let per = |time: Duration| time.as_nanos() as u64 / ids.len() as u64 / 1000;
    let start = clock.now();
    for id in &ids {
        cache
            .object(id)
            .store(fill(id, ByteRange::new(0, id.size), |_| {}))
            .unwrap();
    }
    cache.flush();
    let stored = clock.now() - start;
    let start = clock.now();
    for id in &ids {
        assert_eq!(
            cache.lookup(&id.origin, &id.key).map(|found| found.complete),
            Some(true)
        );
    }
    let looked_up = clock.now() - start;
    let start = clock.now();
    let mut bytes = vec![0; 2000];
    for id in &ids {
        assert_eq!(cache.object(id).read(0, &mut bytes, Wait::Yes), ReadOutcome::Done);
    }
    let read = clock.now() - start;
    println!(
        "2,000 bytes: store {} us, look up {} us, open and read {} us",
        per(stored),
        per(looked_up),
        per(read)
    );
}
