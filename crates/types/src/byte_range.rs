//! Half-open byte ranges, and the ways in which people write them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Bytes `start..end` of an object; `end` is not included. Never inverted, may be empty.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range `start..end`; an inverted pair becomes the empty range at `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// `len` bytes from `start`, saturating at the end of the number space.
    pub const fn at(start: u64, len: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(len),
        }
    }

    /// First byte.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the last byte.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of bytes.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The part of it that lies inside an object of `size` bytes.
    pub fn clamp_to(self, size: u64) -> Self {
        Self {
            start: self.start.min(size),
            end: self.end.min(size),
        }
    }

    /// What both have in common; empty, at this one's start or end, if nothing.
    pub fn intersect(self, other: Self) -> Self {
        let start = other.start.clamp(self.start, self.end);
        Self {
            start,
            end: other.end.clamp(start, self.end),
        }
    }

    /// What is left after the first `done` bytes.
    pub fn skip(self, done: u64) -> Self {
        Self {
            start: self.start.saturating_add(done).min(self.end),
            end: self.end,
        }
    }

    /// Splits after `len` bytes: `(first, rest)`; `rest` is empty if it is not longer than `len`.
    pub fn split_at(self, len: u64) -> (Self, Self) {
        let mid = self.start.saturating_add(len).min(self.end);
        (
            Self {
                start: self.start,
                end: mid,
            },
            Self {
                start: mid,
                end: self.end,
            },
        )
    }
}

impl From<ByteRange> for Range<u64> {
    fn from(range: ByteRange) -> Self {
        range.start..range.end
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self::new(range.start, range.end)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A range as a user asks for it, before the size of the object is known.
///
/// Written as in HTTP, with an **inclusive** end: `0-99` (the first 100 bytes), `100-` (from byte 100 on),
/// `-500` (the last 500 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// Bytes inside the object, or reaching past its end (then cut).
    Bounded(ByteRange),
    /// From this byte to the end.
    From(u64),
    /// This many bytes at the end.
    Last(u64),
}

impl RangeSpec {
    /// The bytes meant, in an object of `size` bytes; `None` if it starts at or past the end
    /// (an empty object satisfies only `0-` and `-N`, with no bytes).
    pub fn resolve(self, size: u64) -> Option<ByteRange> {
        match self {
            Self::Bounded(range) if range.start() < size => Some(range.clamp_to(size)),
            Self::Bounded(_) => None,
            Self::From(start) if start < size || start == 0 => Some(ByteRange::new(start, size)),
            Self::From(_) => None,
            Self::Last(len) => Some(ByteRange::new(size.saturating_sub(len), size)),
        }
    }
}

/// Why a written range could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a byte range: {why}; write A-B (both included), A- or -LAST, as in 0-99")]
pub struct ParseRangeError {
    text: String,
    why: &'static str,
}

impl FromStr for RangeSpec {
    type Err = ParseRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| ParseRangeError {
            text: crate::printable(text).into_owned(),
            why,
        };
        let number = |part: &str| part.parse::<u64>().map_err(|_| error("not a number of bytes"));
        let (first, last) = text.split_once('-').ok_or_else(|| error("it has no '-'"))?;
        match (first, last) {
            ("", "") => Err(error("it has no number")),
            ("", last) => match number(last)? {
                0 => Err(error("the last 0 bytes are no range")),
                len => Ok(Self::Last(len)),
            },
            (first, "") => Ok(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return Err(error("it ends before it starts"));
                }
                let end = last.checked_add(1).ok_or_else(|| error("its end is too large"))?;
                Ok(Self::Bounded(ByteRange::new(first, end)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_written_as_in_http() {
        let cases: [(&str, Option<(u64, u64)>); 9] = [
            ("0-99", Some((0, 100))),
            ("990-2000", Some((990, 1000))),
            ("1000-1001", None),
            ("5-5", Some((5, 6))),
            ("10-", Some((10, 1000))),
            ("1000-", None),
            ("-10", Some((990, 1000))),
            ("-5000", Some((0, 1000))),
            ("0-0", Some((0, 1))),
        ];
        for (text, expected) in cases {
            let range = text.parse::<RangeSpec>().unwrap().resolve(1000);
            assert_eq!(range, expected.map(|(a, b)| ByteRange::new(a, b)), "{text}");
        }
        for bad in [
            "",
            "-",
            "a-b",
            "9-3",
            "1",
            "-0",
            "0-18446744073709551615",
            "1-2-3",
        ] {
            assert!(bad.parse::<RangeSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_object_has_an_empty_whole() {
        assert_eq!(RangeSpec::From(0).resolve(0), Some(ByteRange::new(0, 0)));
        assert_eq!(RangeSpec::Last(5).resolve(0), Some(ByteRange::new(0, 0)));
        assert_eq!(RangeSpec::Bounded(ByteRange::new(0, 1)).resolve(0), None);
    }

    proptest! {
        #[test]
        fn split_keeps_every_byte(start in 0u64..1000, len in 0u64..1000, at in 0u64..2000) {
            let range = ByteRange::at(start, len);
            let (a, b) = range.split_at(at);
            prop_assert_eq!(a.len() + b.len(), len);
            prop_assert_eq!(a.end(), b.start());
            prop_assert_eq!(range.skip(at), b);
        }

        #[test]
        fn what_both_have_in_common_is_in_both(a in 0u64..50, la in 0u64..50, b in 0u64..50, lb in 0u64..50) {
            let (x, y) = (ByteRange::at(a, la), ByteRange::at(b, lb));
            let common = x.intersect(y);
            let both = (0..100).filter(|i| (a..a + la).contains(i) && (b..b + lb).contains(i)).count() as u64;
            prop_assert_eq!(common.len(), both);
        }
    }
}
