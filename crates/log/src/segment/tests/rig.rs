//! Batches and objects for the tests.

use bytes::Bytes;
use proptest::prelude::*;
use ulid::Ulid;

use super::super::{Built, SegmentBuilder, SegmentError, SegmentKind, SegmentReader};
use crate::batch::{BatchBuilder, Codec};
use crate::record::Record;
use crate::topic::{TopicName, TopicPartition};

pub(super) const ID: Ulid = Ulid::from_bytes(*b"\x01\x8b\xcf\x05oneSegment..");

pub(super) fn at(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), partition)
}

/// A batch of the offsets from `base` on; a record's timestamp is 1,000 and its offset, its value `len` bytes.
pub(super) fn batch(codec: Codec, base: u64, records: u64, len: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for offset in base..base + records {
        let value = value(offset, len);
        builder
            .push(1000 + offset as i64, Some(b"key"), Some(&value), &[])
            .unwrap();
    }
    builder.finish(base).unwrap()
}

/// Bytes that no codec makes shorter.
pub(super) fn value(offset: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(offset);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// What a section is made of: batches as base offset, number of records, bytes of each value.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) at: TopicPartition,
    pub(super) epoch: u64,
    pub(super) codec: Codec,
    pub(super) batches: Vec<(u64, u64, usize)>,
}

impl Plan {
    pub(super) fn bytes(&self) -> Vec<Bytes> {
        let bytes = |&(base, records, len): &_| batch(self.codec, base, records, len);
        self.batches.iter().map(bytes).collect()
    }

    /// Offset and value length of every record.
    pub(super) fn records(&self) -> Vec<(u64, usize)> {
        let offsets = |&(base, records, len): &(u64, u64, usize)| {
            (base..base + records).map(move |offset| (offset, len))
        };
        self.batches.iter().flat_map(offsets).collect()
    }
}

pub(super) fn any_plan() -> impl Strategy<Value = Plan> {
    let len = prop_oneof![8 => 0usize..200, 2 => 10_000usize..40_000, 1 => 70_000usize..200_000];
    let hole = prop_oneof![3 => Just(0u64), 1 => 1u64..50];
    let batches = prop::collection::vec((hole, 1u64..8, len), 0..16);
    let codec = prop::sample::select(&Codec::ALL[..]);
    let base = prop_oneof![Just(0), 0u64..1 << 40];
    ("[ab]{1,2}", 0u32..3, any::<u64>(), codec, base, batches).prop_map(
        |(topic, partition, epoch, codec, mut next, batches)| Plan {
            at: at(&topic, partition),
            epoch,
            codec,
            batches: batches
                .into_iter()
                .map(|(hole, records, len)| {
                    let base = next + hole;
                    next = base + records;
                    (base, records, len)
                })
                .collect(),
        },
    )
}

/// Plans of different partitions.
pub(super) fn any_plans() -> impl Strategy<Value = Vec<Plan>> {
    prop::collection::vec(any_plan(), 0..5).prop_map(|mut plans| {
        plans.sort_by(|a, b| a.at.cmp(&b.at));
        plans.dedup_by(|a, b| a.at == b.at);
        plans
    })
}

pub(super) fn build(kind: SegmentKind, plans: &[Plan]) -> Built {
    let mut builder = SegmentBuilder::new(ID, kind);
    for plan in plans {
        builder.begin_section(&plan.at, plan.epoch).unwrap();
        for batch in plan.bytes() {
            builder.push_batch(batch).unwrap();
        }
    }
    let len = builder.len();
    let built = builder.finish().unwrap();
    assert_eq!((built.size, built.id, built.kind), (len, ID, kind));
    built
}

pub(super) fn object(built: &Built) -> Bytes {
    let object = Bytes::from(built.chunks.concat());
    assert_eq!(object.len() as u64, built.size);
    object
}

/// Two sections, three batches, a few hundred bytes.
pub(super) fn small_plans() -> [Plan; 2] {
    let plan = |topic, partition, batches: &[_]| Plan {
        at: at(topic, partition),
        epoch: 3,
        codec: Codec::None,
        batches: batches.to_vec(),
    };
    [
        plan("orders", 0, &[(7, 2, 5), (12, 1, 0)]),
        plan("clicks", 4, &[(0, 3, 2)]),
    ]
}

pub(super) fn small() -> Built {
    build(SegmentKind::Flush, &small_plans())
}

/// Opens an object and reads everything in it, in both ways.
pub(super) fn read_all(object: Bytes) -> Result<Vec<Record>, SegmentError> {
    let reader = SegmentReader::open(object)?;
    let mut records = Vec::new();
    for (number, section) in reader.contents().sections.iter().enumerate() {
        for batch in reader.batches(number)? {
            batch?;
        }
        records.extend(reader.read_from(&section.at, 0, usize::MAX)?);
    }
    Ok(records)
}
