//! What the engine adds to a raw parallel client on plain loopback, and what its decisions cost by themselves.
//! Server and client share the machine's cores, so only figures of the same run can be compared.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay_range::{
    Budget, Discard, Gate, GateOptions, HedgePolicy, RangeEngine, RangeEngineConfig, Target, parts,
};
use forebay_source::{Opener, SourceOptions};
use forebay_testkit::raw::{RawClient, Sink};
use forebay_testkit::{Content, Lab};
use forebay_types::{ByteRange, Intent, RangeSpec, SystemClock};
use futures::{FutureExt, StreamExt};
use tokio::runtime::Runtime;

const SIZE: u64 = 64 << 20;
const PART: u64 = 8 << 20;
const CONNECTIONS: usize = 8;

fn loopback(c: &mut Criterion) {
    let lab = Lab::builder().start().unwrap();
    lab.objects().put("bucket", "object", Content::pattern(1, SIZE));
    let options = SourceOptions {
        cloud: forebay_testkit::s3_settings(&lab.endpoint()),
        ..SourceOptions::default()
    };
    let source = Opener::new(options)
        .open(&"s3://bucket/object".parse().unwrap())
        .unwrap();
    let config = RangeEngineConfig {
        chunk_size: PART,
        min_split_size: PART,
        max_concurrent_ranges: CONNECTIONS,
        ..RangeEngineConfig::default()
    };
    let engine = RangeEngine::new(config.clone());
    let target = Target::new(&source, Arc::new(config));
    let whole = RangeSpec::From(0);
    let runtime = Runtime::new().unwrap();

    let mut group = c.benchmark_group("64 MiB over loopback, 8 connections");
    group.throughput(Throughput::Bytes(SIZE)).sample_size(20);
    group.bench_function("raw client, new connections each time", |b| {
        b.to_async(&runtime).iter(async || {
            let client = RawClient::default();
            client
                .fetch(
                    lab.addr(),
                    "/bucket/object",
                    SIZE,
                    PART,
                    CONNECTIONS,
                    Sink::Discard,
                )
                .await
                .unwrap()
        });
    });
    group.bench_function("read_to, dropped", |b| {
        b.to_async(&runtime).iter(async || {
            engine
                .read_to(target.clone(), whole, Arc::new(Discard))
                .await
                .unwrap()
        });
    });
    group.bench_function("stream, dropped", |b| {
        b.to_async(&runtime).iter(async || {
            let mut stream = engine.stream(target.clone(), whole).await.unwrap();
            let mut bytes = 0;
            while let Some(chunk) = stream.next().await {
                bytes += chunk.unwrap().len();
            }
            assert_eq!(bytes as u64, SIZE);
        });
    });
    group.bench_function("read into one buffer", |b| {
        b.to_async(&runtime)
            .iter(async || engine.read(target.clone(), whole).await.unwrap());
    });
    group.finish();

    let mut group = c.benchmark_group("small reads over loopback");
    group.bench_function("4 KiB, one after the other", |b| {
        let range = RangeSpec::Bounded(ByteRange::at(1 << 20, 4096));
        b.to_async(&runtime)
            .iter(async || engine.read(target.clone(), range).await.unwrap());
    });
    group.finish();
}

fn decisions(c: &mut Criterion) {
    let config = RangeEngineConfig::default();
    c.bench_function("plan 10 GiB", |b| {
        b.iter(|| {
            parts(black_box(ByteRange::new(0, 10 << 30)), &config)
                .map(ByteRange::len)
                .max()
        });
    });
    let clock = Arc::new(SystemClock::new());
    let gate = Gate::new(GateOptions::default(), clock);
    c.bench_function("gate, in and out", |b| {
        b.iter(|| gate.enter(black_box(Intent::Demand)).now_or_never().unwrap());
    });
    let budget = Budget::new(256 << 20);
    c.bench_function("budget, 8 MiB taken and given back", |b| {
        b.iter(|| budget.try_reserve(black_box(PART)));
    });
    let mut policy = HedgePolicy::default();
    let mut now = std::time::Duration::ZERO;
    c.bench_function("hedge policy, one request", |b| {
        b.iter(|| {
            now += std::time::Duration::from_micros(100);
            policy.sent();
            policy.answered(now, std::time::Duration::from_millis(30));
            policy.threshold(now)
        });
    });
}

criterion_group!(benches, loopback, decisions);
criterion_main!(benches);
