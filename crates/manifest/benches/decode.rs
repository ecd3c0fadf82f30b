//! A v2023-03-03 manifest of a million files, as a mount meets it: decoding it, encoding it again, its hash. Before that
//! it says once how much memory the decoded manifest takes (`tests/memory.rs` counts what is allocated).

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay_manifest::{Hash, Limits, Manifest};

const FILES: u64 = 1_000_000;

/// Paths as a show has them, 50 to 60 bytes long, a thousand files in a directory.
fn manifest() -> Vec<u8> {
    let mut paths: Vec<_> = (0..FILES)
        .map(|n| {
            let (sequence, shot, frame) = (n / 100_000, n / 1000 % 100, n % 1000);
            format!("projects/show/seq{sequence:03}/shot{shot:04}/render/beauty_v002.{frame:06}.exr")
        })
        .collect();
    paths.sort();
    let mut total = 0;
    let entries = paths.iter().zip(0..).map(|(path, n): (_, u64)| {
        let size = n * 7919 % 40_000_000;
        total += size;
        let (hash, mtime) = (Hash::of(path.as_bytes()), 1_700_000_000_000_000 + n * 1_000_003);
        format!(r#"{{"hash":"{hash}","mtime":{mtime},"path":"{path}","size":{size}}}"#)
    });
    let paths = entries.collect::<Vec<_>>().join(",");
    format!(r#"{{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{paths}],"totalSize":{total}}}"#)
        .into_bytes()
}

fn decode(bytes: &[u8]) -> Manifest {
    Manifest::decode(bytes, &Limits::default()).unwrap()
}

fn all(c: &mut Criterion) {
    let bytes = manifest();
    let decoded = decode(&bytes);
    assert_eq!(decoded.encode(), bytes);
    let names: usize = decoded.files().map(|file| file.path.as_bytes().len()).sum();
    println!(
        "{} bytes; a file takes {:.1} bytes of memory, {:.1} of them its path",
        bytes.len(),
        decoded.heap_bytes() as f64 / FILES as f64,
        names as f64 / FILES as f64,
    );
    let mut group = c.benchmark_group("manifest/1M");
    group.sample_size(10).throughput(Throughput::Elements(FILES));
    group.bench_function("decode", |b| b.iter(|| black_box(decode(&bytes)).files().len()));
    group.bench_function("encode", |b| b.iter(|| black_box(decoded.encode()).len()));
    group.bench_function("hash", |b| b.iter(|| Hash::of(black_box(&bytes))));
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
