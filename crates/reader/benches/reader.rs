//! What a read costs: hits on the calling thread, warm reads against the file system, cold streams against the engine.
//! Server and client share the machine's cores, so only figures of the same run can be compared.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay_cache::{Cache, CacheOptions};
use forebay_range::{RangeEngine, RangeEngineConfig, Target};
use forebay_reader::{Handle, OpenOptions, Reader, ReaderOptions};
use forebay_source::{Opener, Source, SourceOptions};
use forebay_testkit::{Content, Lab};
use forebay_types::{RangeSpec, SystemClock};
use futures::StreamExt;
use tokio::runtime::Runtime;

const SIZE: u64 = 256 << 20;
const MIB: usize = 1 << 20;

struct World {
    lab: Lab,
    source: Source,
    config: Arc<RangeEngineConfig>,
    dir: tempfile::TempDir,
    runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let lab = Lab::builder().start().unwrap();
        lab.objects().put("bucket", "object", Content::pattern(1, SIZE));
        let options = SourceOptions {
            cloud: forebay_testkit::s3_settings(&lab.endpoint()),
            ..SourceOptions::default()
        };
        let source = Opener::new(options)
            .open(&"s3://bucket/object".parse().unwrap())
            .unwrap();
        Self {
            lab,
            config: Arc::new(RangeEngineConfig::for_profile(&source.profile)),
            source,
            dir: tempfile::tempdir().unwrap(),
            runtime: Runtime::new().unwrap(),
        }
    }

    fn reader(&self, cached: bool) -> Reader {
        let cache = cached.then(|| {
            let options = CacheOptions::new(self.dir.path().join("cache"), 4 << 30);
            Cache::open(options, Arc::new(SystemClock::new())).unwrap()
        });
        let engine = RangeEngine::new((*self.config).clone());
        Reader::new(engine, cache, ReaderOptions::default())
    }

    fn target(&self) -> Target {
        Target::new(&self.source, self.config.clone())
    }

    fn warm(&self) -> Handle {
        let reader = self.reader(true);
        self.runtime.block_on(async {
            reader.warm(self.target()).await.unwrap();
            reader.open(self.target(), OpenOptions::default()).await.unwrap()
        })
    }
}

async fn drain(reader: &Reader, target: Target) {
    let mut stream = reader.stream(target, RangeSpec::From(0)).await.unwrap();
    let mut bytes = 0;
    while let Some(chunk) = stream.next().await {
        bytes += chunk.unwrap().len() as u64;
    }
    assert_eq!(bytes, SIZE);
}

fn hits(c: &mut Criterion) {
    let world = World::new();
    let handle = world.warm();
    let mut random = fastrand::Rng::with_seed(1);
    let mut places = move || random.u64(0..SIZE / 4096) * 4096;
    let mut small = vec![0; 4096];
    let mut large = vec![0; MIB];
    // Into the page cache.
    for i in 0..SIZE / MIB as u64 {
        world
            .runtime
            .block_on(handle.read_into(i * MIB as u64, &mut large))
            .unwrap();
    }

    let mut group = c.benchmark_group("4 KiB hit");
    group.bench_function("try_read_at, random", |b| {
        b.iter(|| handle.try_read_at(black_box(places()), &mut small));
    });
    let plain = tempfile::tempfile().unwrap();
    plain.set_len(SIZE).unwrap();
    for i in 0..SIZE / MIB as u64 {
        plain.write_all_at(&large, i * MIB as u64).unwrap();
    }
    let mut random = fastrand::Rng::with_seed(1);
    group.bench_function("pread of a plain file, random", |b| {
        b.iter(|| {
            plain
                .read_exact_at(&mut small, random.u64(0..SIZE / 4096) * 4096)
                .unwrap();
        });
    });
    group.finish();

    let mut group = c.benchmark_group("256 MiB warm, 1 MiB reads");
    group.throughput(Throughput::Bytes(SIZE)).sample_size(10);
    group.bench_function("read_into", |b| {
        b.iter(|| {
            for i in 0..SIZE / MIB as u64 {
                world
                    .runtime
                    .block_on(handle.read_into(i * MIB as u64, &mut large))
                    .unwrap();
            }
        });
    });
    group.bench_function("read_at", |b| {
        b.iter(|| {
            for i in 0..SIZE / MIB as u64 {
                black_box(
                    world
                        .runtime
                        .block_on(handle.read_at(i * MIB as u64, MIB))
                        .unwrap(),
                );
            }
        });
    });
    group.bench_function("pread of a plain file", |b| {
        b.iter(|| {
            for i in 0..SIZE / MIB as u64 {
                plain.read_exact_at(&mut large, i * MIB as u64).unwrap();
            }
        });
    });
}

fn streams(c: &mut Criterion) {
    let world = World::new();
    let mut group = c.benchmark_group("256 MiB stream over loopback");
    group.throughput(Throughput::Bytes(SIZE)).sample_size(10);
    group.bench_function("the engine alone", |b| {
        let engine = world.reader(false).engine().clone();
        b.to_async(&world.runtime).iter(async || {
            let mut stream = engine.stream(world.target(), RangeSpec::From(0)).await.unwrap();
            while let Some(chunk) = stream.next().await {
                black_box(chunk.unwrap());
            }
        });
    });
    group.bench_function("cold, without a cache", |b| {
        let reader = world.reader(false);
        b.to_async(&world.runtime).iter(|| drain(&reader, world.target()));
    });
    group.bench_function("cold, into the cache", |b| {
        let reader = world.reader(true);
        b.to_async(&world.runtime).iter(async || {
            reader.cache().unwrap().clear().unwrap();
            drain(&reader, world.target()).await;
            reader.flush().await;
        });
    });
    drop(group);
    drop(world.lab);
}

criterion_group!(benches, hits, streams);
criterion_main!(benches);
