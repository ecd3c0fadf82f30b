//! How a range is cut into parts. Pure.

use forebay_types::ByteRange;

use crate::config::RangeEngineConfig;

/// The first request of a read when the size of the object is not known: as long as an unsplit object may be, so
/// that a small object is one request and no second part is a crumb.
pub fn first_part(wanted: ByteRange, config: &RangeEngineConfig) -> ByteRange {
    let len = match config.min_split_size {
        // Splitting is off: everything is the first part.
        u64::MAX => u64::MAX,
        min => min.max(config.chunk_size).max(1),
    };
    wanted.split_at(len).0
}

/// Cuts a range, known to lie inside the object, into parts of `chunk_size`. The last part takes what would be
/// less than half a chunk along: no part but an only one is below half a chunk, none is above one and a half.
pub fn parts(range: ByteRange, config: &RangeEngineConfig) -> impl Iterator<Item = ByteRange> + use<> {
    let chunk = config.chunk_size.max(1);
    let whole = range.len() <= config.min_split_size;
    let mut rest = range;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let len = if whole || rest.len() < chunk.saturating_add(chunk / 2) {
            rest.len()
        } else {
            chunk
        };
        let (part, after) = rest.split_at(len);
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(chunk_size: u64, min_split_size: u64) -> RangeEngineConfig {
        RangeEngineConfig {
            chunk_size,
            min_split_size,
            ..RangeEngineConfig::default()
        }
    }

    #[test]
    fn crumbs_join_their_neighbour() {
        let cut = |len| -> Vec<u64> {
            parts(ByteRange::new(0, len), &config(8, 12))
                .map(ByteRange::len)
                .collect()
        };
        for (len, expected) in [
            (0, vec![]),
            (1, vec![1]),
            (12, vec![12]),
            (13, vec![8, 5]),
            (16, vec![8, 8]),
            (19, vec![8, 11]),
            (20, vec![8, 8, 4]),
        ] {
            assert_eq!(cut(len), expected, "{len}");
        }
    }

    proptest! {
        #[test]
        fn parts_cover_the_range_once(start in 0u64..1000, len in 0u64..10_000, chunk in 1u64..500, min in 0u64..2000) {
            let range = ByteRange::at(start, len);
            let config = config(chunk, min);
            let mut at = range.start();
            for part in parts(range, &config) {
                prop_assert_eq!(part.start(), at);
                prop_assert!(!part.is_empty());
                prop_assert!(part == range || part.len() >= chunk / 2);
                prop_assert!(part.len() <= min || part.len() < chunk + chunk / 2 + 1);
                at = part.end();
            }
            prop_assert_eq!(at, range.end());
        }

        #[test]
        fn the_first_part_starts_the_range(start in 0u64..1000, len in 1u64..10_000, chunk in 1u64..500, min in 0u64..2000) {
            let wanted = ByteRange::at(start, len);
            let first = first_part(wanted, &config(chunk, min));
            prop_assert_eq!(first.start(), start);
            prop_assert!(!first.is_empty() && first.end() <= wanted.end());
        }
    }
}
