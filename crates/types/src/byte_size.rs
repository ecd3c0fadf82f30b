//! Sizes as people write them: `32MiB`, `1.5 GB`, `4096`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Reads `4096`, `64KiB`, `32 MiB`, `1.5GB`, `10G` (`K`, `M`, `G`, `T` alone are binary, as in
/// most storage tools). Prints the largest binary unit that is exact; with `{:#}` the largest unit, rounded to one
/// decimal, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// 1 KiB in bytes.
const KIB: u64 = 1024;
const UNITS: [(&str, u64); 4] = [
    ("TiB", KIB * KIB * KIB * KIB),
    ("GiB", KIB * KIB * KIB),
    ("MiB", KIB * KIB),
    ("KiB", KIB),
];

impl ByteSize {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n * KIB)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n * KIB * KIB)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n * KIB * KIB * KIB)
    }

    /// The bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
            if self.0 >= unit && f.alternate() {
                return write!(f, "{:.1}{name}", self.0 as f64 / unit as f64);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Why a written size could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a size: {why}; write for example 4096, 64KiB, 32MiB or 10GB")]
pub struct ParseByteSizeError {
    text: String,
    why: &'static str,
}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why| ParseByteSizeError {
            text: crate::printable(text).into_owned(),
            why,
        };
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => KIB,
            "m" | "mib" => KIB * KIB,
            "g" | "gib" => KIB * KIB * KIB,
            "t" | "tib" => KIB * KIB * KIB * KIB,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(error("unknown unit")),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole
                .checked_mul(unit)
                .map(Self)
                .ok_or_else(|| error("it is too large"));
        }
        match number.parse::<f64>() {
            Ok(n) if n.is_finite() && n * (unit as f64) < u64::MAX as f64 => {
                Ok(Self((n * unit as f64) as u64))
            }
            Ok(_) => Err(error("it is too large")),
            Err(_) => Err(error("no number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65536),
            ("64k", 65536),
            (" 32 MiB ", 32 << 20),
            ("1.5GiB", 3 << 29),
            ("10GB", 10_000_000_000),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for bad in ["", "MiB", "12 apples", "-1", "1.2.3MiB", "99999999TiB", "1e3"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn people_see_rounded_sizes() {
        assert_eq!(format!("{:#}", ByteSize(1536)), "1.5KiB");
        assert_eq!(format!("{:#}", ByteSize::mib(32)), "32MiB");
        assert_eq!(format!("{:#}", ByteSize((1 << 30) + 1)), "1.0GiB");
        assert_eq!(ByteSize(1025).to_string(), "1025B");
    }

    proptest! {
        #[test]
        fn exact_sizes_survive_printing(n in 0u64..4096, unit in prop::sample::select(vec![1u64, KIB, KIB * KIB])) {
            let size = ByteSize(n * unit);
            let back: ByteSize = size.to_string().parse().unwrap();
            prop_assert_eq!(back, size);
        }
    }
}
