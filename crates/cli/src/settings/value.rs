//! How values of settings are written.

use std::path::PathBuf;
use std::time::Duration;

use forebay_types::{ByteSize, printable};

/// What the value of a setting looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `32MiB`.
    Size,
    /// `32MiB` or `auto`.
    AutoSize,
    /// `16`.
    Count,
    /// `16` or `auto`.
    AutoCount,
    /// `10s`.
    Time,
    /// `true`.
    Switch,
    /// `2.0`.
    Number,
    /// `/a/file`.
    File,
    /// `s3://bucket/prefix`.
    Url,
    /// One of a few words.
    OneOf(&'static str),
    /// `mkv=64MiB,bin=128MiB`; a table in the settings file.
    Sizes,
}

impl Kind {
    /// For messages: what was expected.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Size => "a size, as in \"32MiB\"",
            Self::AutoSize => "a size, as in \"32MiB\", or \"auto\"",
            Self::Count => "a whole number, as in 16",
            Self::AutoCount => "a whole number, as in 16, or \"auto\"",
            Self::Time => "a time, as in \"10s\", \"500ms\" or \"2m\"",
            Self::Switch => "true or false",
            Self::Number => "a number, as in 2.0",
            Self::File => "the name of a file, as in \"/etc/ssl/our-ca.pem\"",
            Self::Url => "a URL, as in \"s3://bucket/prefix\"",
            Self::OneOf(words) => words,
            Self::Sizes => "a table of sizes, as in { mkv = \"64MiB\" }",
        }
    }
}

/// A type that settings have.
pub(super) trait Value: Sized {
    const KIND: Kind;

    /// Reads it as people write it.
    fn read(text: &str) -> Result<Self, String>;

    /// Writes it so that [`Self::read`] reads it.
    fn show(&self) -> String;
}

/// The word for «whatever suits the kind of source».
const AUTO: &str = "auto";

pub(super) fn wrong(text: &str, kind: Kind) -> String {
    format!("'{}' is not {}", printable(text), kind.expected())
}

impl Value for ByteSize {
    const KIND: Kind = Kind::Size;

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|e: forebay_types::ParseByteSizeError| e.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<ByteSize> {
    const KIND: Kind = Kind::AutoSize;

    fn read(text: &str) -> Result<Self, String> {
        if text == AUTO {
            Ok(None)
        } else {
            ByteSize::read(text).map(Some)
        }
    }

    fn show(&self) -> String {
        self.map_or(AUTO.to_owned(), |size| size.show())
    }
}

impl Value for usize {
    const KIND: Kind = Kind::Count;

    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| wrong(text, Self::KIND))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const KIND: Kind = Kind::Count;

    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| wrong(text, Self::KIND))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<usize> {
    const KIND: Kind = Kind::AutoCount;

    fn read(text: &str) -> Result<Self, String> {
        if text == AUTO {
            return Ok(None);
        }
        text.trim().parse().map(Some).map_err(|_| wrong(text, Self::KIND))
    }

    fn show(&self) -> String {
        self.map_or(AUTO.to_owned(), |n| n.to_string())
    }
}

impl Value for f64 {
    const KIND: Kind = Kind::Number;

    fn read(text: &str) -> Result<Self, String> {
        let number = text
            .trim()
            .parse()
            .ok()
            .filter(|number: &Self| number.is_finite());
        number.ok_or_else(|| wrong(text, Self::KIND))
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Switch;

    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<PathBuf> {
    const KIND: Kind = Kind::File;

    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn show(&self) -> String {
        self.as_ref()
            .map_or_else(String::new, |path| path.to_string_lossy().into_owned())
    }
}

impl Value for Duration {
    const KIND: Kind = Kind::Time;

    /// A number and one unit. A bare number is refused: seconds to one are milliseconds to another.
    fn read(text: &str) -> Result<Self, String> {
        let error = || wrong(text, Self::KIND);
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        let millis = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(error()),
        };
        number
            .checked_mul(millis)
            .map(Self::from_millis)
            .ok_or_else(error)
    }

    fn show(&self) -> String {
        let millis = self.as_millis();
        if millis.is_multiple_of(1000) {
            format!("{}s", millis / 1000)
        } else {
            format!("{millis}ms")
        }
    }
}

/// Refuses less than `least`.
pub(super) fn at_least(size: Option<ByteSize>, least: ByteSize) -> Result<(), String> {
    match size {
        Some(size) if size < least => Err(format!("{} is too small; {least} is the least", size.show())),
        _ => Ok(()),
    }
}

/// Refuses none at all.
pub(super) fn one_or_more(count: Option<usize>) -> Result<(), String> {
    if count == Some(0) {
        Err("0 would let nothing through; 1 is the least".to_owned())
    } else {
        Ok(())
    }
}

/// Refuses what is outside of `least` to `most`.
pub(super) fn within<T: Value + PartialOrd + Copy>(value: T, least: T, most: T) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let [value, least, most] = [value.show(), least.show(), most.show()];
    Err(format!("{value} is not between {least} and {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            (" 1 h ", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(Duration::read(text).unwrap().as_millis(), millis, "{text}");
        }
        for bad in [
            "10",
            "",
            "s",
            "1.5s",
            "-1s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(Duration::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        for (text, number) in [("2", 2.0), (" 1.5 ", 1.5), ("1e1", 10.0)] {
            assert_eq!(f64::read(text), Ok(number), "{text}");
        }
        for bad in ["", "two", "inf", "NaN", "1,5"] {
            assert!(f64::read(bad).is_err(), "{bad}");
        }
        assert_eq!(2.0.show(), "2.0");
    }

    #[test]
    fn every_byte_of_a_size_is_shown() {
        assert_eq!(ByteSize(65_537).show(), "65537B");
        assert_eq!(ByteSize::mib(8).show(), "8MiB");
    }

    #[test]
    fn limits_say_what_is_allowed() {
        let error = at_least(Some(ByteSize(1)), ByteSize::kib(64)).unwrap_err();
        assert!(error.contains("64KiB"), "{error}");
        let error = within(ByteSize::mib(17), ByteSize::kib(8), ByteSize::mib(16)).unwrap_err();
        assert!(error.contains("8KiB") && error.contains("16MiB"), "{error}");
    }
}
