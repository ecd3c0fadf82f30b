//! What an object contains: without needing memory for ten gigabytes.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use forebay_types::ByteRange;

/// Period of the pattern: the first prime above 16 MiB. Being prime it is a multiple of no part size, so a part
/// that lands in a wrong place never shows the right bytes, unless it is wrong by a multiple of exactly this.
/// 16 MiB is beyond the window of every common compressor level, and half of it stays in a last-level cache.
const PERIOD: usize = 16_777_259;

/// The bytes of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Bytes),
    /// `size` incompressible bytes that depend on the seed alone; all patterns of a process share one random block.
    Pattern {
        /// Which pattern.
        seed: u64,
        /// How long.
        size: u64,
    },
    /// One content after the other, as multipart uploads make them.
    Chain(Arc<[Self]>),
}

impl Content {
    /// `size` bytes of the pattern `seed`.
    pub const fn pattern(seed: u64, size: u64) -> Self {
        Self::Pattern { seed, size }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Pattern { size, .. } => *size,
            Self::Chain(parts) => parts.iter().map(Self::size).sum(),
        }
    }

    /// The bytes of `range`, cut at the end of the content, as pieces that share memory with it: nothing is copied.
    pub fn slice(&self, range: ByteRange) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        self.append(range.clamp_to(self.size()), &mut pieces);
        pieces
    }

    /// The bytes of `range` in one piece; copies, unless they already are one.
    pub fn read(&self, range: ByteRange) -> Bytes {
        let mut pieces = self.slice(range);
        match (pieces.pop(), pieces.is_empty()) {
            (None, _) => Bytes::new(),
            (Some(only), true) => only,
            (Some(last), false) => {
                pieces.push(last);
                pieces.concat().into()
            }
        }
    }

    /// Compares `bytes` with what stands at `offset`; tells the first byte that is not as it should be.
    pub fn check(&self, offset: u64, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut done = 0;
        for piece in self.slice(ByteRange::at(offset, bytes.len() as u64)) {
            let found = &bytes[done..done + piece.len()];
            // Whole slices are compared first: that is a memcmp, and fast in a debug build too.
            if found != piece {
                let wrong = found.iter().zip(&piece).position(|(a, b)| a != b).unwrap_or(0);
                return Err(Mismatch {
                    offset: offset + (done + wrong) as u64,
                    expected: Some(piece[wrong]),
                    found: found[wrong],
                });
            }
            done += piece.len();
        }
        match bytes.get(done) {
            None => Ok(()),
            Some(&found) => Err(Mismatch {
                offset: offset + done as u64,
                expected: None,
                found,
            }),
        }
    }

    /// `range` lies inside the content.
    fn append(&self, range: ByteRange, pieces: &mut Vec<Bytes>) {
        match self {
            _ if range.is_empty() => {}
            Self::Bytes(bytes) => pieces.push(bytes.slice(indices(range))),
            Self::Pattern { seed, .. } => {
                let mut rest = range;
                while !rest.is_empty() {
                    let at = ((rest.start() + phase(*seed)) % PERIOD as u64) as usize;
                    let len = rest.len().min((PERIOD - at) as u64);
                    pieces.push(block().slice(at..at + len as usize));
                    rest = rest.skip(len);
                }
            }
            Self::Chain(parts) => {
                let mut start = 0;
                for part in parts.iter() {
                    let size = part.size();
                    let from = range.start().max(start);
                    let to = range.end().min(start + size);
                    if from < to {
                        part.append(ByteRange::new(from - start, to - start), pieces);
                    }
                    start += size;
                }
            }
        }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

/// Where bytes first differ from the content they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Offset in the object.
    pub offset: u64,
    /// What stands there; `None` past the end of the object.
    pub expected: Option<u8>,
    /// What was given.
    pub found: u8,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            expected,
            found,
        } = self;
        match expected {
            Some(expected) => write!(f, "byte {offset} is {found:#04x}, should be {expected:#04x}"),
            None => write!(f, "byte {offset} is {found:#04x}, but the object ends before it"),
        }
    }
}

impl std::error::Error for Mismatch {}

/// The caller's range lies inside bytes that are in memory, so its ends fit.
fn indices(range: ByteRange) -> Range<usize> {
    range.start() as usize..range.end() as usize
}

/// Where in the block the pattern of a seed begins: the seed, well mixed, so that neighbours start far apart.
fn phase(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) % PERIOD as u64
}

/// The one block of random bytes that all patterns are cut from.
pub(crate) fn block() -> &'static Bytes {
    static BLOCK: OnceLock<Bytes> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut bytes = vec![0; PERIOD];
        fastrand::Rng::with_seed(0xF0_4EBA).fill(&mut bytes);
        bytes.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_share_the_block() {
        let content = Content::pattern(1, 10 << 30);
        let pieces = content.slice(ByteRange::at(5 << 30, 20 << 20));
        let range = block().as_ptr_range();
        assert!(pieces.len() <= 3);
        assert!(pieces.iter().all(|piece| range.contains(&piece.as_ptr())));
    }

    #[test]
    fn bytes_past_the_end_are_wrong() {
        let content = Content::from("abc");
        assert_eq!(content.check(0, b"abc"), Ok(()));
        let past = Mismatch {
            offset: 3,
            expected: None,
            found: b'd',
        };
        assert_eq!(content.check(1, b"bcd"), Err(past));
        assert_eq!(past.to_string(), "byte 3 is 0x64, but the object ends before it");
    }

    #[test]
    fn the_prime_is_one() {
        assert!(
            (2..)
                .take_while(|d| d * d <= PERIOD)
                .all(|d| !PERIOD.is_multiple_of(d))
        );
    }

    fn any_content() -> impl Strategy<Value = Content> {
        let leaf = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Content::from),
            (any::<u64>(), 0u64..3 * PERIOD as u64).prop_map(|(seed, size)| Content::pattern(seed, size)),
        ];
        prop_oneof![
            leaf.clone(),
            prop::collection::vec(leaf, 0..5).prop_map(|parts| Content::Chain(parts.into())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_cut_shows_the_same_bytes(content in any_content(), a in any::<u64>(), b in 0u64..100_000, c in any::<u64>()) {
            let start = a % (content.size() + 1);
            let whole = ByteRange::at(start, b).clamp_to(content.size());
            let (left, right) = whole.split_at(c % (b + 1));
            let joined = [content.read(left), content.read(right)].concat();
            prop_assert_eq!(joined.len() as u64, whole.len());
            prop_assert_eq!(content.check(start, &joined), Ok(()));
        }

        /// The property that makes the pattern worth having: a part put in a wrong place is seen at once.
        #[test]
        fn a_part_in_a_wrong_place_is_wrong(seed in any::<u64>(), part in 12u32..27, from in 0u64..640, to in 0u64..640) {
            prop_assume!(from != to);
            let content = Content::pattern(seed, 80 << 30);
            let moved = content.read(ByteRange::at(from << part, 64));
            let wrong = content.check(to << part, &moved).unwrap_err();
            prop_assert!(wrong.offset - (to << part) < 16);
        }
    }
}
