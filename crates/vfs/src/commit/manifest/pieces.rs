//! Which parts of a file have to be hashed.

use forebay_manifest::Hash;
use forebay_types::ByteRange;

use crate::overlay::ContentChange;

/// A part of a file that has a hash of its own: a chunk, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it was.
    Kept(Hash),
    /// To be hashed.
    New(ByteRange),
}

/// What the base says of the bytes of a file.
#[derive(Clone, Debug)]
pub(super) enum Old<'a> {
    /// It is one piece.
    Whole { size: u64, hash: Hash },
    /// It is cut, into chunks of so many bytes.
    Chunks {
        size: u64,
        hashes: &'a [Hash],
        chunk: u64,
    },
}

/// The parts of a file of `len` bytes that is cut if it is larger than `chunk`.
pub(super) fn pieces(
    len: u64,
    chunk: Option<u64>,
    old: Option<&Old<'_>>,
    change: &ContentChange,
) -> Vec<Piece> {
    let dirty: &[ByteRange] = match change {
        ContentChange::Same => &[],
        ContentChange::Parts { dirty, .. } => dirty,
        ContentChange::Whole { .. } => return cut(len, chunk).map(Piece::New).collect(),
    };
    cut(len, chunk)
        .map(|range| {
            let first = dirty.partition_point(|changed| changed.end() <= range.start());
            let is_dirty = dirty
                .get(first)
                .is_some_and(|changed| changed.start() < range.end());
            let hash = old.filter(|_| !is_dirty).and_then(|old| old.hash(range));
            hash.map_or(Piece::New(range), |hash| Piece::Kept(hash.clone()))
        })
        .collect()
}

impl Old<'_> {
    /// The hash of exactly these bytes.
    fn hash(&self, range: ByteRange) -> Option<&Hash> {
        match self {
            Self::Whole { size, hash } => (range == ByteRange::new(0, *size)).then_some(hash),
            Self::Chunks { size, hashes, chunk } => {
                let index = range.start().checked_div(*chunk)?;
                let start = index * chunk;
                let is = ByteRange::new(start, start.saturating_add(*chunk)).clamp_to(*size);
                let hash = hashes.get(usize::try_from(index).ok()?)?;
                (is == range).then_some(hash)
            }
        }
    }
}

/// The chunks of a file; one of all its bytes if it is not larger than one.
fn cut(len: u64, chunk: Option<u64>) -> impl Iterator<Item = ByteRange> {
    let chunk = chunk.filter(|chunk| *chunk > 0 && len > *chunk).unwrap_or(len);
    let count = if chunk == 0 { 1 } else { len.div_ceil(chunk) };
    (0..count).map(move |index| ByteRange::new(index * chunk, len.min((index + 1).saturating_mul(chunk))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u128) -> Hash {
        Hash::from_u128(n)
    }

    fn parts(dirty: &[(u64, u64)], len: u64) -> ContentChange {
        ContentChange::Parts {
            dirty: dirty
                .iter()
                .map(|(start, end)| ByteRange::new(*start, *end))
                .collect(),
            len,
        }
    }

    /// `k` and the number of the old hash, or the bytes to hash.
    fn told(pieces: &[Piece]) -> String {
        let told = pieces.iter().map(|piece| match piece {
            Piece::Kept(hash) => format!("k{}", hash.to_u128().unwrap_or_default()),
            Piece::New(range) => format!("{}-{}", range.start(), range.end()),
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_chunks_with_changes_are_hashed() {
        let three = [hash(0), hash(1), hash(2)];
        let old = &Old::Chunks {
            size: 25,
            hashes: &three,
            chunk: 10,
        };
        let whole = |size| Old::Whole { size, hash: hash(7) };
        let (w0, w9, w10, w25) = (&whole(0), &whole(9), &whole(10), &whole(25));
        let cases = [
            (25, Some(10), Some(old), parts(&[], 25), "k0 k1 k2"),
            (25, Some(10), Some(old), parts(&[(9, 10)], 25), "0-10 k1 k2"),
            (25, Some(10), Some(old), parts(&[(9, 11)], 25), "0-10 10-20 k2"),
            (
                25,
                Some(10),
                Some(old),
                parts(&[(3, 4), (20, 21)], 25),
                "0-10 k1 20-25",
            ),
            // Grown: the last one is longer; cut: it is shorter.
            (26, Some(10), Some(old), parts(&[(25, 26)], 26), "k0 k1 20-26"),
            (
                31,
                Some(10),
                Some(old),
                parts(&[(25, 31)], 31),
                "k0 k1 20-30 30-31",
            ),
            (20, Some(10), Some(old), parts(&[], 20), "k0 k1"),
            (15, Some(10), Some(old), parts(&[], 15), "k0 10-15"),
            (10, Some(10), Some(old), parts(&[], 10), "k0"),
            (5, Some(10), Some(old), parts(&[], 5), "0-5"),
            (0, Some(10), Some(old), parts(&[], 0), "0-0"),
            // Other chunks, or none.
            (25, None, Some(old), parts(&[], 25), "0-25"),
            (25, Some(20), Some(old), parts(&[], 25), "0-20 k2"),
            (25, Some(10), None, parts(&[], 25), "0-10 10-20 20-25"),
            (
                25,
                Some(10),
                Some(old),
                ContentChange::Whole { len: 25 },
                "0-10 10-20 20-25",
            ),
            // What was one piece.
            (10, Some(10), Some(w10), parts(&[], 10), "k7"),
            (12, Some(10), Some(w10), parts(&[(10, 12)], 12), "k7 10-12"),
            (12, Some(10), Some(w9), parts(&[(9, 12)], 12), "0-10 10-12"),
            (
                25,
                Some(10),
                Some(w25),
                parts(&[(24, 25)], 25),
                "0-10 10-20 20-25",
            ),
            (25, None, Some(w25), parts(&[], 25), "k7"),
            (0, None, Some(w0), parts(&[], 0), "k7"),
        ];
        for (len, chunk, old, change, expected) in cases {
            assert_eq!(
                told(&pieces(len, chunk, old, &change)),
                expected,
                "{len} {chunk:?} {change:?}"
            );
        }
    }
}
