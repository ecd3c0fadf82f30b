//! What a record costs on one core: building a batch, and reading it (cut off, decompress, every record into a vector).
//! Batches have about 512 KiB of records before compression; a record's value is half random bytes and half words.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forebay_log::Record;
use forebay_log::batch::{Batch, BatchBuilder, Caps, Codec};

const BATCH: usize = 512 * 1024;
const KEY: usize = 8;
const WORDS: [&str; 16] = [
    "order", "created", "customer", "amount", "currency", "EUR", "status", "paid", "region", "north", "item",
    "count", "price", "shipped", "address", "street",
];

/// Keys and values of `size` bytes together.
fn records(size: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..BATCH / size)
        .map(|n| {
            let key = format!("{n:0KEY$}").into_bytes();
            let mut value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..))
                .take((size - KEY) / 2)
                .collect();
            while value.len() < size - KEY {
                value.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
                value.push(b' ');
            }
            value.truncate(size - KEY);
            (key, value)
        })
        .collect()
}

fn build(codec: Codec, records: &[(Vec<u8>, Vec<u8>)]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for (n, (key, value)) in records.iter().enumerate() {
        builder
            .push(1_700_000_000_000 + n as i64, Some(key), Some(value), &[])
            .unwrap();
    }
    builder.finish(1_000_000).unwrap()
}

fn read(batch: &Bytes, caps: &Caps, out: &mut Vec<Record>) {
    let batch = Batch::split_off_front_trusted(&mut batch.clone()).unwrap();
    let decoded = batch.decode(caps).unwrap();
    out.clear();
    decoded
        .read(&mut decoded.cursor(), 0, usize::MAX, usize::MAX, out)
        .unwrap();
    assert_eq!(out.len() as u32, batch.header().records);
}

fn all(c: &mut Criterion) {
    for size in [100, 1024] {
        let records = records(size);
        let mut group = c.benchmark_group(format!("read/{size}B"));
        group.throughput(Throughput::Elements(records.len() as u64));
        for codec in Codec::ALL {
            let batch = build(codec, &records);
            println!("{codec}: {} records, {} bytes", records.len(), batch.len());
            let caps = Caps::default();
            let mut out = Vec::new();
            group.bench_function(codec.as_str(), |b| b.iter(|| read(&batch, &caps, &mut out)));
        }
        group.finish();

        let mut group = c.benchmark_group(format!("build/{size}B"));
        group.throughput(Throughput::Elements(records.len() as u64));
        for codec in Codec::ALL {
            group.bench_function(codec.as_str(), |b| b.iter(|| build(codec, &records)));
        }
        group.finish();
    }

    let batch = build(Codec::None, &records(100));
    let mut group = c.benchmark_group("split");
    group.throughput(Throughput::Bytes(batch.len() as u64));
    group.bench_function("with checksum", |b| {
        b.iter_batched(
            || batch.clone(),
            |mut bytes| Batch::split_off_front(&mut bytes).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
