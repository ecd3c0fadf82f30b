//! Bytes that are not what they were: an error, or what the format says of fields outside the checksum; never a panic.

use proptest::prelude::*;

use super::*;

fn small(codec: Codec) -> Bytes {
    let inputs = [
        (
            100,
            Some(b"key".to_vec()),
            Some(b"value value value value value".to_vec()),
            vec![],
        ),
        (
            90,
            None,
            None,
            vec![header("name", Some(b"value value")), header("name", None)],
        ),
        (
            110,
            Some(vec![]),
            Some(b"value value value value value".to_vec()),
            vec![],
        ),
    ];
    let bytes = build(codec, 1000, &inputs);
    assert_eq!(
        split(&bytes).header().codec(),
        Ok(codec),
        "it is long enough to shrink"
    );
    bytes
}

fn kinds() -> impl Iterator<Item = Bytes> {
    Codec::ALL.into_iter().map(small)
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in kinds() {
        for len in 0..bytes.len() {
            let error = Batch::split_off_front(&mut bytes.slice(..len)).unwrap_err();
            let need = if len < HEADER_LEN { HEADER_LEN } else { bytes.len() };
            assert_eq!(error, BatchError::Truncated { need, have: len });
        }
    }
}

#[test]
fn every_flip_is_an_error_or_does_what_its_field_says() {
    for bytes in kinds() {
        let was = *split(&bytes).header();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                let read = Batch::split_off_front(&mut flipped.into());
                match at {
                    0..8 if at > 0 || bit < 7 => {
                        let offset = was.base_offset ^ 1 << (8 * (7 - at) + bit);
                        assert_eq!(read.unwrap().header().base_offset, offset);
                    }
                    12..16 => {
                        let epoch = was.leader_epoch ^ 1 << (8 * (15 - at) + bit);
                        assert_eq!(read.unwrap().header().leader_epoch, epoch);
                    }
                    _ => {
                        let error = read.unwrap_err();
                        assert_eq!(error.kind(), forebay_types::ErrorKind::Corrupt, "{at}: {error}");
                    }
                }
            }
        }
    }
}

/// Whoever made the checksum may have been wrong before: nothing is taken for granted behind it.
#[test]
fn truncations_under_a_valid_checksum_are_errors_too() {
    for bytes in kinds() {
        for len in HEADER_LEN..bytes.len() {
            let batch = changed(&bytes, |batch| batch.truncate(len));
            let read = Batch::split_off_front(&mut batch.clone()).and_then(|batch| records_of(&batch));
            assert!(read.is_err(), "{len} of {} bytes", bytes.len());
        }
        for extra in [0, 1, 0x20, 0xFF] {
            let batch = changed(&bytes, |batch| batch.push(extra));
            assert!(records_of(&split(&batch)).is_err(), "{extra} after it");
        }
    }
}

#[test]
fn flips_under_a_valid_checksum_do_no_harm() {
    for bytes in kinds() {
        for at in (HEADER_LEN - 40..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let batch = changed(&bytes, |batch| batch[at.0] ^= 1 << at.1);
            if let Ok(batch) = Batch::split_off_front(&mut batch.clone()) {
                let _ = records_of(&batch);
            }
        }
    }
}

proptest! {
    #[test]
    fn noise_is_no_batch(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Batch::split_off_front(&mut Bytes::from(noise)).is_err());
    }

    #[test]
    fn noise_in_a_batch_does_no_harm(
        number in 0_usize..5,
        count in 0_u32..40,
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        like in any::<bool>(),
    ) {
        let codec = Codec::ALL[number];
        // Half of it starts as the codec's bytes do.
        let mut records = if like { small(codec)[HEADER_LEN..].to_vec() } else { Vec::new() };
        records.truncate(records.len() / 2);
        records.extend(noise);
        if let Ok(batch) = Batch::split_off_front(&mut batch_of(codec, count, &records)) {
            let _ = records_of(&batch);
        }
    }
}
