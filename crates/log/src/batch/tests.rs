//! Batches as their users see them; varints and codecs have tests of their own.

use bytes::Bytes;

use crate::record::{Header, Record};

use super::header::seal;
use super::*;

mod caps;
mod damage;
mod golden;
mod header;
mod read;
mod round_trip;

/// A record before it has an offset: timestamp, key, value, headers.
pub(super) type Input = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

pub(super) fn header(name: &str, value: Option<&[u8]>) -> Header {
    Header {
        name: Bytes::copy_from_slice(name.as_bytes()),
        value: value.map(Bytes::copy_from_slice),
    }
}

pub(super) fn push(builder: &mut BatchBuilder, (timestamp, key, value, headers): &Input) {
    builder
        .push(*timestamp, key.as_deref(), value.as_deref(), headers)
        .unwrap();
}

pub(super) fn build(codec: Codec, base: u64, inputs: &[Input]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for input in inputs {
        push(&mut builder, input);
    }
    builder.finish(base).unwrap()
}

/// What should be read of `inputs`.
pub(super) fn expected(base: u64, inputs: &[Input]) -> Vec<Record> {
    inputs
        .iter()
        .zip(base..)
        .map(|((timestamp, key, value, headers), offset)| Record {
            offset,
            timestamp: *timestamp,
            key: key.clone().map(Bytes::from),
            value: value.clone().unwrap_or_default().into(),
            tombstone: value.is_none(),
            headers: headers.clone(),
        })
        .collect()
}

pub(super) fn split(bytes: &Bytes) -> Batch {
    let mut bytes = bytes.clone();
    let batch = Batch::split_off_front(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    batch
}

/// All records of a batch, by both ways to read them.
pub(super) fn records_of(batch: &Batch) -> Result<Vec<Record>, BatchError> {
    let decoded = batch.decode(&Caps::default())?;
    let mut all = Vec::new();
    decoded.read(&mut decoded.cursor(), 0, usize::MAX, usize::MAX, &mut all)?;
    let mut cursor = decoded.cursor();
    let mut one_by_one = Vec::new();
    while let Some(record) = decoded.next(&mut cursor)? {
        one_by_one.push(record);
    }
    assert_eq!(all, one_by_one);
    Ok(all)
}

/// `batch` after `change`, with the length and the checksum that it has then.
pub(super) fn changed(batch: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut batch = batch.to_vec();
    change(&mut batch);
    let len = (batch.len() - 12) as u32;
    batch[8..12].copy_from_slice(&len.to_be_bytes());
    seal(&mut batch);
    batch.into()
}

/// A batch of `count` records that are `records`, compressed already if `codec` says so.
pub(super) fn batch_of(codec: Codec, count: u32, records: &[u8]) -> Bytes {
    let some = build(Codec::None, 0, &[(0, None, Some(Vec::new()), Vec::new())]);
    changed(&some, |batch| {
        batch.truncate(HEADER_LEN);
        batch.extend_from_slice(records);
        batch[21..23].copy_from_slice(&codec.number().to_be_bytes());
        batch[23..27].copy_from_slice(&(count.max(1) - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
    })
}
