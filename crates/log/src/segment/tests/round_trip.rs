use bytes::Bytes;
use forebay_types::ErrorKind;
use proptest::prelude::*;

use super::super::*;
use super::rig::*;
use crate::batch::Codec;

/// What was put in comes out: bytes, records, and what the index says of them.
fn check(kind: SegmentKind, plans: &[Plan], from: u64) {
    let built = build(kind, plans);
    let reader = SegmentReader::open(object(&built)).unwrap();
    let contents = reader.contents();
    assert_eq!((contents.id, contents.kind), (ID, kind));
    assert_eq!(contents.sections, built.sections);
    let plans: Vec<_> = plans.iter().filter(|plan| !plan.batches.is_empty()).collect();
    assert_eq!(contents.sections.len(), plans.len());
    let mut position = 32;
    for (number, (section, plan)) in contents.sections.iter().zip(plans).enumerate() {
        let batches = plan.bytes();
        let records = plan.records();
        let (first, last) = (plan.batches[0], plan.batches[plan.batches.len() - 1]);
        assert_eq!((&section.at, section.epoch), (&plan.at, plan.epoch));
        assert_eq!(section.base_offset, first.0);
        assert_eq!(section.next_offset, last.0 + last.1);
        assert_eq!(section.max_timestamp, 1000 + (last.0 + last.1 - 1) as i64);
        assert_eq!(section.records, records.len() as u64);
        assert_eq!(section.position, position);
        assert_eq!(
            section.length,
            batches.iter().map(|batch| batch.len() as u64).sum::<u64>()
        );
        position += section.length;
        check_index(section, plan, &batches);

        let read: Vec<Bytes> = reader
            .batches(number)
            .unwrap()
            .map(|batch| batch.unwrap().bytes().clone())
            .collect();
        assert_eq!(read, batches);

        for (from, max) in [
            (0, usize::MAX),
            (first.0 + from % 64, 5),
            (first.0 + from % (last.0 + last.1 - first.0), 1),
            (last.0 + last.1, 10),
            (u64::MAX, 10),
            (first.0, 0),
        ] {
            let read = reader.read_from(&section.at, from, max).unwrap();
            let read: Vec<_> = read
                .iter()
                .map(|record| {
                    assert_eq!(record.timestamp, 1000 + record.offset as i64);
                    assert_eq!(record.value, value(record.offset, record.value.len()));
                    (record.offset, record.value.len())
                })
                .collect();
            let after = records.iter().copied().filter(|record| record.0 >= from);
            assert_eq!(read, after.take(max).collect::<Vec<_>>(), "from {from}");
        }
    }
}

fn check_index(section: &Section, plan: &Plan, batches: &[Bytes]) {
    let stretches = section.index.entries();
    let stored = section.index.encode();
    let again = BatchIndex::decode(&stored, section.base_offset, section.next_offset, section.length);
    assert_eq!(again.unwrap(), section.index);
    // A stretch is the fewest batches that make 64 KiB.
    let mut expected = Vec::new();
    let mut length = 0;
    for (batch, (base, records, _)) in batches.iter().zip(&plan.batches) {
        if length == 0 {
            expected.push((*base, 0, 0, 0));
        }
        length += batch.len();
        let stretch = expected.last_mut().unwrap();
        *stretch = (
            stretch.0,
            length as u32,
            stretch.2 + *records as u32,
            1000 + (base + records - 1) as i64,
        );
        if length >= 64 * 1024 {
            length = 0;
        }
    }
    let found: Vec<_> = stretches
        .iter()
        .map(|stretch| {
            (
                stretch.base_offset,
                stretch.length,
                stretch.records,
                stretch.max_timestamp,
            )
        })
        .collect();
    assert_eq!(found, expected);
    for offset in section.base_offset.saturating_sub(2)..section.next_offset + 2 {
        let holds = |stretch: usize| stretches[stretch].base_offset <= offset;
        let expected = (0..stretches.len())
            .rev()
            .find(|stretch| holds(*stretch))
            .unwrap_or(0);
        let expected = (offset < section.next_offset).then_some(expected);
        assert_eq!(section.index.find(offset), expected, "{offset}");
    }
    for (number, stretch) in stretches.iter().enumerate() {
        let first = section.index.find_timestamp(stretch.max_timestamp).unwrap();
        assert!(first <= number && stretches[first].max_timestamp >= stretch.max_timestamp);
    }
    assert_eq!(section.index.find_timestamp(i64::MIN), Some(0));
    assert_eq!(section.index.find_timestamp(section.max_timestamp + 1), None);
    assert_eq!(section.range_of(stretches.len()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_goes_in_comes_out(plans in any_plans(), from in any::<u64>()) {
        check(SegmentKind::Flush, &plans, from);
    }

    #[test]
    fn one_partition_may_be_compacted(plan in any_plan(), from in any::<u64>()) {
        check(SegmentKind::Compacted, &[plan], from);
    }
}

#[test]
fn an_object_may_be_empty() {
    for kind in [SegmentKind::Flush, SegmentKind::Compacted] {
        check(kind, &[], 0);
    }
    assert_eq!(build(SegmentKind::Flush, &[]).size, 96);
}

#[test]
fn one_batch_is_an_object() {
    let mut plan = small_plans()[0].clone();
    plan.batches.truncate(1);
    check(SegmentKind::Flush, &[plan], 0);
}

#[test]
fn a_large_batch_is_a_stretch_of_its_own() {
    let [mut plan, _] = small_plans();
    plan.batches = vec![(0, 2, 100_000), (2, 1, 10), (5, 1, 70_000), (6, 1, 65_536)];
    check(SegmentKind::Flush, &[plan], 3);
}

#[test]
fn batches_are_not_copied() {
    let plan = &small_plans()[0];
    let batch = batch(Codec::None, 0, 3, 100);
    let mut builder = SegmentBuilder::new(ID, SegmentKind::Flush);
    builder.begin_section(&plan.at, 0).unwrap();
    builder.push_batch(batch.clone()).unwrap();
    let built = builder.finish().unwrap();
    assert!(built.chunks.iter().any(|chunk| chunk.as_ptr() == batch.as_ptr()));
    let object = object(&built);
    let inside = object.as_ptr_range();
    let reader = SegmentReader::open(object).unwrap();
    let read = reader.batches(0).unwrap().next().unwrap().unwrap();
    assert!(inside.contains(&read.bytes().as_ptr()));
}

#[test]
fn what_is_not_there_is_not_found() {
    let reader = SegmentReader::open(object(&small())).unwrap();
    let error = reader.read_from(&at("orders", 1), 0, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        format!("segment {ID} has no records of orders/1")
    );
    let error = reader.batches(2).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
