//! The functions that are given any bytes: they may refuse them, and must not panic, hang or take more memory than
//! allowed. What they accept must be consistent. libFuzzer runs them (`fuzz/run`), and so do the tests of the log.

use std::hint::black_box;

use bytes::Bytes;
use forebay_log::batch::{Batch, BatchHeader, Caps};
use forebay_log::segment::{BatchIndex, SegmentReader, Tail, read_tail};

/// As little as lets every path be taken: what goes beyond must be refused, or the fuzzer's limit of memory is hit.
const CAPS: Caps = Caps {
    batch_bytes: 1024 * 1024,
    decompressed_bytes: 1024 * 1024,
    records: 64 * 1024,
    headers: 64,
    zstd_window_log: 20,
};

/// Any bytes as batches, one after the other.
pub fn batch(data: &[u8]) {
    let mut bytes = Bytes::copy_from_slice(data);
    loop {
        let parsed = BatchHeader::parse(&bytes);
        let checked = Batch::split_off_front(&mut bytes.clone());
        let before = bytes.len();
        let Ok(batch) = Batch::split_off_front_trusted(&mut bytes) else {
            assert!(checked.is_err());
            assert_eq!(bytes.len(), before);
            return;
        };
        assert_eq!(parsed.as_ref(), Ok(batch.header()));
        assert_eq!(batch.bytes().len(), batch.header().len);
        assert_eq!(bytes.len() + batch.bytes().len(), before);
        records_of(&batch);
    }
}

/// Reads the records of `batch` as a consumer does, some at a time.
fn records_of(batch: &Batch) {
    let Ok(decoded) = batch.decode(&CAPS) else {
        return;
    };
    let header = batch.header();
    let mut cursor = decoded.cursor();
    let mut offsets = header.base_offset..header.next_offset();
    let mut some = Vec::new();
    let mut count = 0;
    while decoded
        .read(&mut cursor, offsets.start, 100, 64 * 1024, &mut some)
        .is_ok()
        && !some.is_empty()
    {
        for record in some.drain(..) {
            assert!(offsets.contains(&record.offset));
            offsets.start = record.offset + 1;
            count += 1;
            black_box(record);
        }
    }
    assert!(count <= header.records);
}

/// Any bytes as an object: as they are, and once more with checksums that fit.
pub fn segment(data: &[u8]) {
    object(Bytes::copy_from_slice(data));
    object(mended(data).into());
}

fn object(bytes: Bytes) {
    let size = bytes.len() as u64;
    let mut from = bytes.len() - bytes.len().min(64);
    let told = loop {
        match read_tail(size, &bytes.slice(from..)) {
            Ok(Tail::Need(range)) => {
                assert!(range.end() == from as u64 && !range.is_empty());
                from = range.start() as usize;
            }
            Ok(Tail::Contents(contents)) => break Some(contents),
            Err(error) => {
                black_box(error.to_string());
                break None;
            }
        }
    };
    let Ok(reader) = SegmentReader::open(bytes) else {
        return;
    };
    let contents = reader.contents();
    assert_eq!(told.as_ref(), Some(contents));
    for (number, section) in contents.sections.iter().enumerate() {
        assert!(section.position + section.length <= size);
        let mut next = section.base_offset;
        for batch in reader.batches(number).into_iter().flatten().flatten() {
            assert!(batch.header().base_offset >= next);
            next = batch.header().next_offset();
        }
        assert!(next <= section.next_offset);
        let from = section.base_offset + 1;
        let Ok(records) = reader.read_from(&section.at, from, 100) else {
            continue;
        };
        assert!(records.len() <= 100);
        assert!(records.is_sorted_by(|a, b| a.offset < b.offset));
        assert!(
            records
                .iter()
                .all(|record| (from..section.next_offset).contains(&record.offset))
        );
    }
}

/// Any bytes as a batch index: three numbers of 8 bytes that the section says, then the index. Once as they are, once
/// with a checksum that fits.
pub fn index(data: &[u8]) {
    let Some((numbers, bytes)) = data.split_first_chunk::<24>() else {
        return;
    };
    let number = |at: usize| u64_at(numbers, at).unwrap_or_default();
    let (base, next, length) = (number(0), number(8), number(16));
    let mut mended = bytes[..bytes.len().saturating_sub(4)].to_vec();
    mended.extend(crc32c(&mended).to_be_bytes());
    for bytes in [bytes, &mended] {
        let Ok(index) = BatchIndex::decode(bytes, base, next, length) else {
            continue;
        };
        assert_eq!(&index.encode()[..], bytes);
        let stretches = index.entries();
        let sum = stretches
            .iter()
            .map(|stretch| u64::from(stretch.length))
            .sum::<u64>();
        assert_eq!((stretches[0].base_offset, sum), (base, length));
        for (number, stretch) in stretches.iter().enumerate() {
            assert_eq!(index.find(stretch.base_offset), Some(number));
            assert!(
                index
                    .find_timestamp(stretch.max_timestamp)
                    .is_some_and(|first| first <= number)
            );
        }
        assert_eq!(index.find(next - 1), Some(stretches.len() - 1));
        assert_eq!(index.find(next), None);
    }
}

const HEAD: usize = 32;
const FOOTER: usize = 64;
const ENTRY: usize = 36;

/// The object with magics, versions, sizes and checksums as they must be, so that what lies behind them is reached.
fn mended(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(HEAD + FOOTER), 0);
    let footer = bytes.len() - FOOTER;
    bytes[..8].copy_from_slice(b"FBAYSEGM");
    put(&mut bytes, 8, &1u16.to_be_bytes());
    let kind_and_id: [u8; 18] = std::array::from_fn(|i| bytes[10 + i]);
    put(&mut bytes, footer + 48, &kind_and_id[..2]);
    put(&mut bytes, footer + 32, &kind_and_id[2..]);
    put_crc(&mut bytes, 0, HEAD - 4);

    let length = u64_at(&bytes, footer + 8)
        .unwrap_or_default()
        .min((footer - HEAD) as u64) as usize;
    let index = footer - length;
    let _ = mend_sections(&mut bytes, index, footer);
    let crc = crc32c(&bytes[index..footer]);
    put(&mut bytes, footer, &(index as u64).to_be_bytes());
    put(&mut bytes, footer + 8, &(length as u64).to_be_bytes());
    put(&mut bytes, footer + 16, &crc.to_be_bytes());
    let size = bytes.len() as u64;
    put(&mut bytes, footer + 24, &size.to_be_bytes());
    put(&mut bytes, footer + 50, &1u16.to_be_bytes());
    put_crc(&mut bytes, footer, footer + 52);
    put(&mut bytes, footer + 56, b"FBAYFOOT");
    bytes
}

/// The checksums of batch indexes and of stretches, as far as they can be found; `None` where they end.
fn mend_sections(bytes: &mut [u8], mut at: usize, end: usize) -> Option<()> {
    loop {
        let front = at + 1 + usize::from(*bytes.get(at)?);
        let section = u64_at(bytes, front + 44)? as usize;
        let index = front + 60;
        let count = u32_at(bytes, index + 4)? as usize;
        let entries = index + 8;
        let crc = count.checked_mul(ENTRY)?.checked_add(entries)?;
        if crc + 4 > end {
            return None;
        }
        for entry in (entries..crc).step_by(ENTRY) {
            let start = section.checked_add(u64_at(bytes, entry + 8)? as usize)?;
            let length = u32_at(bytes, entry + 16)? as usize;
            let sum = crc32c(bytes.get(start..start.checked_add(length)?)?);
            put(bytes, entry + 20, &sum.to_be_bytes());
        }
        put_crc(bytes, index, crc);
        at = crc + 4;
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn put_crc(bytes: &mut [u8], start: usize, end: usize) {
    let crc = crc32c(&bytes[start..end]);
    put(bytes, end, &crc.to_be_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
