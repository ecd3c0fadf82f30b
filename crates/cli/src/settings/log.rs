//! `[log]`: the event log.

mod place;

use std::path::PathBuf;
use std::time::Duration;

use forebay_log::batch::Codec;
use forebay_log::{Acks, LogOptions, MaintainOptions, ProducerOptions};
use forebay_types::{ByteSize, printable};

pub(crate) use self::place::{LogMetadata, LogStore};
use super::value::{Kind, Value, wrong};

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    pub(crate) store: Option<LogStore>,
    pub(crate) metadata: LogMetadata,
    pub(crate) batch_bytes: ByteSize,
    pub(crate) linger: Duration,
    pub(crate) compression: Codec,
    pub(crate) acks: Acks,
    pub(crate) record_batch_bytes: ByteSize,
    pub(crate) uploads: usize,
    pub(crate) buffer_memory: ByteSize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) lease_wait: Duration,
    pub(crate) prefetch_enabled: bool,
    pub(crate) fetch_size: usize,
    pub(crate) decoded_cache: ByteSize,
    pub(crate) maintain: bool,
    pub(crate) maintain_every: Duration,
    pub(crate) segment_bytes: ByteSize,
    pub(crate) min_segments: usize,
    pub(crate) grace: Duration,
    /// Where metadata lies that nobody named a place for; filled in from the environment, `None` without a home directory.
    pub(crate) state_dir: Option<PathBuf>,
}

impl Default for LogSettings {
    fn default() -> Self {
        let (write, read, maintain) = (
            ProducerOptions::default(),
            LogOptions::default(),
            MaintainOptions::default(),
        );
        Self {
            store: None,
            metadata: LogMetadata::Auto,
            batch_bytes: ByteSize(write.batch_bytes as u64),
            linger: write.linger,
            compression: write.codec,
            acks: write.acks,
            record_batch_bytes: ByteSize(write.record_batch_bytes as u64),
            uploads: write.uploads,
            buffer_memory: ByteSize(write.buffer_memory as u64),
            delivery_timeout: write.delivery_timeout,
            lease: write.lease,
            lease_wait: write.lease_wait,
            prefetch_enabled: read.prefetch_enabled,
            fetch_size: read.fetch_size,
            decoded_cache: ByteSize(read.decoded_cache),
            maintain: true,
            maintain_every: Duration::from_mins(10),
            segment_bytes: ByteSize(maintain.segment_bytes),
            min_segments: maintain.min_segments,
            grace: maintain.grace,
            state_dir: None,
        }
    }
}

impl LogSettings {
    /// How records are written.
    pub(crate) fn producer_options(&self) -> ProducerOptions {
        ProducerOptions {
            batch_bytes: bytes(self.batch_bytes),
            linger: self.linger,
            codec: self.compression,
            record_batch_bytes: bytes(self.record_batch_bytes),
            uploads: self.uploads,
            buffer_memory: bytes(self.buffer_memory),
            acks: self.acks,
            delivery_timeout: self.delivery_timeout,
            lease: self.lease,
            lease_wait: self.lease_wait,
        }
    }

    /// How records are read.
    pub(crate) fn log_options(&self) -> LogOptions {
        LogOptions {
            prefetch_enabled: self.prefetch_enabled,
            fetch_size: self.fetch_size,
            decoded_cache: self.decoded_cache.bytes(),
            ..LogOptions::default()
        }
    }

    /// How the log is kept in order. An upload is declared dead only when its producer has long given it up: that takes
    /// at most three times `delivery_timeout`, for registering, uploading and committing.
    pub(crate) fn maintain_options(&self) -> MaintainOptions {
        let usual = MaintainOptions::default();
        MaintainOptions {
            segment_bytes: self.segment_bytes.bytes(),
            min_segments: self.min_segments,
            grace: self.grace,
            upload_timeout: usual.upload_timeout.max(self.delivery_timeout.saturating_mul(4)),
        }
    }
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

impl Value for Codec {
    const KIND: Kind = Kind::OneOf("none, gzip, snappy, lz4 or zstd");

    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| wrong(text, Self::KIND))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Acks {
    const KIND: Kind = Kind::OneOf("all or none");

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::All => "all",
            Self::None => "none",
        }
        .to_owned()
    }
}

impl Value for Option<LogStore> {
    const KIND: Kind = Kind::Url;

    fn read(text: &str) -> Result<Self, String> {
        (!text.is_empty()).then(|| LogStore::read(text)).transpose()
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, LogStore::to_string)
    }
}

impl Value for LogMetadata {
    const KIND: Kind = Kind::Url;

    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A codec as the settings file has it.
pub(crate) fn compression(text: &str) -> Result<Codec, String> {
    Value::read(text)
}

/// What is waited for, as the settings file has it.
pub(crate) fn acks(text: &str) -> Result<Acks, String> {
    Value::read(text)
}

/// A time as the settings file has it.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    Value::read(text)
}

/// A time as [`Duration`] is read, or in days.
pub(crate) fn days(text: &str) -> Result<Duration, String> {
    let Some(days) = text.trim().strip_suffix('d') else {
        return time(text).map_err(|why| format!("{why}, or \"7d\""));
    };
    let days: u64 = days.trim().parse().map_err(|_| {
        format!(
            "'{}' is not a time, as in \"7d\", \"12h\" or \"30m\"",
            printable(text)
        )
    })?;
    days.checked_mul(24 * 3600)
        .filter(|seconds| *seconds < u64::MAX / 1000)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("'{}' is more than any log is kept", printable(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_days() {
        assert_eq!(days("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(days(" 90m "), Ok(Duration::from_secs(5400)));
        for bad in [
            "d",
            "1.5d",
            "-1d",
            "7",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_upload_lives_longer_than_its_producer_tries() {
        let mut log = LogSettings::default();
        assert_eq!(log.maintain_options().upload_timeout, Duration::from_secs(900));
        log.delivery_timeout = Duration::from_secs(600);
        assert_eq!(log.maintain_options().upload_timeout, Duration::from_secs(2400));
    }
}
