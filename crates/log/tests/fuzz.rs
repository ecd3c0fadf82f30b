//! What `fuzz/run` starts from, and the same functions without libFuzzer: each seed as it is and changed in many ways,
//! the same at each run. The seeds are also objects of format version 1 that stay: a later version of this program must
//! read them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use forebay_log::batch::{BatchBuilder, Codec};
use forebay_log::segment::{Built, SegmentBuilder, SegmentKind, SegmentReader};
use forebay_log::{Header, TopicName, TopicPartition};
use ulid::Ulid;

#[path = "../../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "fuzz/ has it as a module of a library")]
mod targets;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 3] = [
    ("batch", targets::batch),
    ("segment", targets::segment),
    ("index", targets::index),
];

fn seeds_of(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fuzz/seeds", target]
        .iter()
        .collect()
}

/// The seeds of `target` as they are stored.
fn stored(target: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(seeds_of(target)).unwrap().map(|file| {
        let file = file.unwrap();
        (
            file.file_name().into_string().unwrap(),
            fs::read(file.path()).unwrap(),
        )
    });
    files.collect()
}

fn batch(codec: Codec, base: u64, records: u64, len: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let headers = [
        Header {
            name: Bytes::from_static(b"trace"),
            value: Some(Bytes::from_static(b"on")),
        },
        Header {
            name: Bytes::from_static(b"null"),
            value: None,
        },
    ];
    for offset in base..base + records {
        let value = vec![b'a' + (offset % 26) as u8; len];
        let key = (offset % 2 == 0).then_some(&b"key"[..]);
        let value = (offset % 5 != 4).then_some(&value[..]);
        let headers = &headers[..(offset % 3) as usize];
        builder
            .push(1_700_000_000_000 + offset as i64, key, value, headers)
            .unwrap();
    }
    builder.finish(base).unwrap()
}

type Section<'a> = (&'a str, u32, &'a [Bytes]);

fn segment(kind: SegmentKind, sections: &[Section<'_>]) -> Built {
    let mut builder = SegmentBuilder::new(Ulid::from_parts(1_700_000_000_000, 0xF0_4E_BA), kind);
    for (topic, partition, batches) in sections {
        let at = TopicPartition::new(TopicName::new(topic).unwrap(), *partition);
        builder.begin_section(&at, 9).unwrap();
        for batch in *batches {
            builder.push_batch(batch.clone()).unwrap();
        }
    }
    builder.finish().unwrap()
}

/// The objects among the seeds, with how many records are in them. Nothing in them is compressed: another version of a
/// codec may make other bytes of the same records.
fn segments() -> Vec<(&'static str, u64, Built)> {
    let plain = |base, records, len| batch(Codec::None, base, records, len);
    let several: [Section<'_>; 3] = [
        ("orders", 0, &[plain(0, 3, 10), plain(3, 1, 0)]),
        ("orders", 70_000, &[plain(1 << 40, 2, 100)]),
        ("a.b-c_D", 1, &[plain(7, 5, 3), plain(20, 1, 1)]),
    ];
    // Two stretches.
    let stretches = [plain(5, 1, 10), plain(10, 2, 33_000), plain(30, 4, 1)];
    vec![
        ("empty", 0, segment(SegmentKind::Flush, &[])),
        (
            "one",
            4,
            segment(SegmentKind::Flush, &[("t", 0, &[plain(0, 4, 5)])]),
        ),
        ("several", 12, segment(SegmentKind::Flush, &several)),
        (
            "compacted",
            7,
            segment(SegmentKind::Compacted, &[("t", 3, &stretches)]),
        ),
    ]
}

/// What is stored under a target: its name, the name of the seed, the bytes.
fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for codec in Codec::ALL {
        let one = batch(codec, 100, 20, 30);
        let two = batch(codec, 1 << 50, 3, 2000);
        seeds.push(("batch", format!("{codec}"), one.to_vec()));
        seeds.push(("batch", format!("{codec}-two"), [one, two].concat()));
    }
    for (name, _, built) in segments() {
        for (number, section) in built.sections.iter().enumerate() {
            let mut seed = Vec::new();
            for number in [section.base_offset, section.next_offset, section.length] {
                seed.extend(number.to_be_bytes());
            }
            seed.extend_from_slice(&section.index.encode());
            seeds.push(("index", format!("{name}-{number}"), seed));
        }
        seeds.push(("segment", name.to_owned(), built.chunks.concat()));
    }
    seeds
}

#[test]
#[ignore = "writes the seeds: to be run when one was added; those that are stored must not change"]
fn write_seeds() {
    for (target, name, bytes) in seeds() {
        fs::create_dir_all(seeds_of(target)).unwrap();
        fs::write(seeds_of(target).join(name), bytes).unwrap();
    }
}

#[test]
fn stored_objects_of_version_1_are_read_and_still_built() {
    let stored = stored("segment");
    for (name, records, built) in segments() {
        let object = Bytes::from(stored[name].clone());
        assert!(
            object == built.chunks.concat(),
            "{name} is built in another way than it was"
        );
        let reader = SegmentReader::open(object).unwrap();
        assert_eq!(reader.contents().sections, built.sections);
        let read = |section: &forebay_log::segment::Section| {
            let records = reader.read_from(&section.at, 0, usize::MAX).unwrap();
            assert_eq!(records.len() as u64, section.records);
            section.records
        };
        assert_eq!(built.sections.iter().map(read).sum::<u64>(), records, "{name}");
    }
}

#[test]
fn nothing_panics_whatever_the_bytes() {
    for (target, run) in TARGETS {
        let seeds: Vec<_> = stored(target).into_values().collect();
        assert!(!seeds.is_empty(), "{target}");
        run(&[]);
        let mut random = fastrand::Rng::with_seed(7);
        for seed in &seeds {
            run(seed);
            // As much work for a long seed as for a short one.
            for _ in 0..(400_000 / (seed.len() + 1)).clamp(20, 1000) {
                let other = &seeds[random.usize(..seeds.len())];
                run(&changed(seed, other, &mut random));
            }
        }
    }
}

/// `seed` after some of the changes that damage, or somebody with bad intentions, makes.
fn changed(seed: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = at + random.usize(..=(bytes.len() - at).min(16));
        match random.u8(..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, std::iter::repeat_n(random.u8(..), end - at))),
            3 => bytes[at..end].fill(*random.choice(&[0, 1, 0x7F, 0x80, 0xFF]).unwrap()),
            4 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte ^= 1 << random.u8(..8)),
            _ => {
                let from = random.usize(..=other.len());
                let to = from + random.usize(..=(other.len() - from).min(64));
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    bytes
}
