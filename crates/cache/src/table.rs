//! The entries of a map's table: eight bytes for each block, which say that it is there and what its checksum is.

use crc_fast::{CrcAlgorithm, Digest};

/// Bytes of an entry.
pub(crate) const ENTRY: u64 = 8;

/// No block.
pub(crate) const ABSENT: u64 = 0;

/// CRC32C of `bytes`: 36 GB/s on one core here, so checking costs less than copying.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// CRC32C of `pieces` one after the other.
pub(crate) fn crc32c_of(pieces: &[&[u8]]) -> u32 {
    if let [only] = pieces {
        return crc32c(only);
    }
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize() as u32
}

/// The entry of a block with this checksum. Low half: the checksum. High half: a check of the checksum, the block's
/// number and the map's instance, never zero.
pub(crate) fn entry(crc: u32, block: u64, instance: u64) -> u64 {
    let check = (mix(instance ^ mix(block ^ mix(u64::from(crc)))) >> 32) as u32 | 1;
    u64::from(check) << 32 | u64::from(crc)
}

/// The checksum that `entry` holds for `block`; `None` if the block is absent. A flipped bit, an entry of another block
/// and an entry of another instance all read as absent.
pub(crate) fn crc_in(found: u64, block: u64, instance: u64) -> Option<u32> {
    let crc = found as u32;
    (found != ABSENT && found == entry(crc, block, instance)).then_some(crc)
}

/// Spreads every bit over all bits (the finalizer of splitmix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c_of(&[b"1234", b"", b"56789"]), 0xE306_9283);
    }

    proptest! {
        #[test]
        fn an_entry_tells_its_checksum(crc in any::<u32>(), block in any::<u64>(), instance in any::<u64>()) {
            prop_assert_eq!(crc_in(entry(crc, block, instance), block, instance), Some(crc));
        }

        #[test]
        fn a_flipped_bit_is_absence(crc in any::<u32>(), block in any::<u64>(), instance in any::<u64>(), bit in 0u32..64) {
            prop_assert_eq!(crc_in(entry(crc, block, instance) ^ (1 << bit), block, instance), None);
        }

        #[test]
        fn an_entry_counts_only_in_its_place(crc in any::<u32>(), block in any::<u64>(), instance in any::<u64>(), other in 1u64..) {
            let there = entry(crc, block, instance);
            prop_assert_eq!(crc_in(there, block ^ other, instance), None);
            prop_assert_eq!(crc_in(there, block, instance ^ other), None);
        }
    }
}
