//! `--from`.

use std::str::FromStr;

use forebay_log::Start;
use forebay_types::printable;

use super::super::record::read::rfc3339;

/// Where to begin, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartAt(pub(crate) Start);

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = |millis: &str| {
            millis
                .parse()
                .ok()
                .filter(|millis: &i64| *millis >= 0)
                .ok_or_else(|| format!("'{}' is no number of milliseconds since 1970", printable(millis)))
        };
        let start = match text {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            _ => match text.strip_prefix('@') {
                Some(text) => Start::Timestamp(millis(text)?),
                None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                    let offset = text
                        .parse()
                        .map_err(|_| format!("{text} is larger than any offset"))?;
                    Start::Offset(offset)
                }
                None => Start::Timestamp(rfc3339(text).map_err(|why| {
                    format!(
                        "{why}; write earliest, latest, an offset, a time as in 2026-01-31T12:00:00Z, or @ and milliseconds since 1970"
                    )
                })?),
            },
        };
        Ok(Self(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin() {
        for (text, start) in [
            ("earliest", Start::Earliest),
            ("latest", Start::Latest),
            ("0", Start::Offset(0)),
            ("18446744073709551615", Start::Offset(u64::MAX)),
            ("@0", Start::Timestamp(0)),
            ("@1767225600000", Start::Timestamp(1_767_225_600_000)),
            ("2026-01-01T00:00:00Z", Start::Timestamp(1_767_225_600_000)),
            ("2026-01-01T01:00:00.5+01:00", Start::Timestamp(1_767_225_600_500)),
        ] {
            assert_eq!(text.parse(), Ok(StartAt(start)), "{text}");
        }
        for bad in [
            "",
            "-1",
            "first",
            "@",
            "@-1",
            "@x",
            "2026-01-01",
            "1959-01-01T00:00:00Z",
            "18446744073709551616",
        ] {
            let error = bad.parse::<StartAt>().unwrap_err();
            assert!(!error.is_empty(), "{bad}");
        }
    }
}
