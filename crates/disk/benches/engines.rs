//! What a read costs with each engine, and who reaps it. Random aligned reads of one file on the disk that holds the
//! target directory; only figures of the same run can be compared.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use forebay_disk::{DirectFile, Disk, DiskOptions, EngineChoice, Wanted};
use forebay_types::{ByteRange, Clock, SystemClock};
use tokio::runtime::{Handle, Runtime};

const SIZE: u64 = 512 << 20;

fn direct(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .unwrap()
}

/// Block `n` of a walk over the file that is never sequential.
fn block(n: u64, size: u64) -> ByteRange {
    let blocks = SIZE / size;
    ByteRange::at(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % blocks * size, size)
}

/// `depth` threads, each with its share of `reads`.
fn threads(depth: u64, reads: u64, read: impl Fn(u64) + Sync) -> Duration {
    let clock = SystemClock::new();
    let began = clock.now();
    std::thread::scope(|scope| {
        for lane in 0..depth {
            let read = &read;
            scope.spawn(move || (lane..reads).step_by(depth as usize).for_each(read));
        }
    });
    clock.now() - began
}

/// `depth` tasks of a runtime, each with its share of `reads`.
fn tasks(runtime: &Runtime, file: &DirectFile, depth: u64, reads: u64, size: u64) -> Duration {
    let clock = SystemClock::new();
    let began = clock.now();
    let tasks: Vec<_> = (0..depth)
        .map(|lane| {
            let file = file.clone();
            runtime.spawn(async move {
                for n in (lane..reads).step_by(depth as usize) {
                    assert_eq!(file.read(block(n, size)).await.unwrap().len() as u64, size);
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    clock.now() - began
}

fn file_of(path: &Path, engine: EngineChoice) -> DirectFile {
    let options = DiskOptions {
        engine,
        ..DiskOptions::default()
    };
    let disk = Disk::new(options, None).unwrap();
    disk.open(direct(path), Wanted::default()).unwrap()
}

fn compare(group: &mut BenchmarkGroup<'_, WallTime>, path: &Path, size: u64, depth: u64) {
    let runtime = Runtime::new().unwrap();
    // Outside of runtimes a thread reaps.
    assert!(Handle::try_current().is_err());
    let outside = Runtime::new().unwrap();
    group.bench_function("a thread in pread", |b| {
        let file = direct(path);
        b.iter_custom(|reads| {
            threads(depth, reads, |n| {
                thread_local! {
                    static BUFFER: std::cell::RefCell<Option<forebay_disk::Buffer>> = const { std::cell::RefCell::new(None) };
                }
                BUFFER.with_borrow_mut(|buffer| {
                    let buffer = buffer.get_or_insert_with(|| {
                        forebay_disk::Pool::new(0, None).take(size.max(2 << 20) as usize, 4096).unwrap()
                    });
                    let range = block(n, size);
                    file.read_exact_at(&mut buffer.as_mut()[..size as usize], range.start()).unwrap();
                });
            })
        });
    });
    let rings = file_of(path, EngineChoice::IoUring);
    group.bench_function("io_uring, reaped by the runtime", |b| {
        b.iter_custom(|reads| tasks(&runtime, &rings, depth, reads, size));
    });
    group.bench_function("io_uring, reaped by a thread", |b| {
        let rings = file_of(path, EngineChoice::IoUring);
        b.iter_custom(|reads| {
            threads(depth, reads, |n| {
                let reading = rings.read(block(n, size));
                // Waiting needs no reactor; the ring was chosen when the read began, outside.
                assert_eq!(outside.block_on(reading).unwrap().len() as u64, size);
            })
        });
    });
    let pool = file_of(path, EngineChoice::Pread);
    group.bench_function("pool of pread threads", |b| {
        b.iter_custom(|reads| tasks(&runtime, &pool, depth, reads, size));
    });
}

fn engines(c: &mut Criterion) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("forebay-engines");
    let mut file = File::create(&path).unwrap();
    let noise: Vec<u8> = (0..1u64 << 20)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    for _ in 0..SIZE >> 20 {
        file.write_all(&noise).unwrap();
    }
    file.sync_all().unwrap();
    for (size, depth) in [
        (4096, 1),
        (4096, 8),
        (4096, 32),
        (128 << 10, 1),
        (128 << 10, 8),
        (1 << 20, 4),
    ] {
        let mut group = c.benchmark_group(format!("random reads of {size}, {depth} at a time"));
        group
            .throughput(Throughput::Bytes(size))
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2));
        compare(&mut group, &path, size, depth);
        group.finish();
    }
    std::fs::remove_file(&path).unwrap();
}

criterion_group!(benches, engines);
criterion_main!(benches);
