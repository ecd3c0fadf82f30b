//! `[mount]`: trees as file systems.

use std::time::Duration;

use forebay_mount::{IoMode, MountOptions};
use forebay_reader::Verify;
use forebay_types::ByteSize;
use forebay_vfs::Freshness;

use super::value::{Kind, Value, wrong};

/// `[mount]`.
#[derive(Clone, Debug)]
pub(crate) struct MountSettings {
    pub(crate) ttl: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) threads: usize,
    pub(crate) max_background: usize,
    pub(crate) max_readahead: ByteSize,
    pub(crate) io: IoMode,
    pub(crate) passthrough: bool,
    pub(crate) verify: Verify,
}

impl Default for MountSettings {
    fn default() -> Self {
        let options = MountOptions::default();
        Self {
            ttl: Duration::from_secs(1),
            read_timeout: options.read_timeout,
            threads: options.threads,
            max_background: usize::from(options.max_background),
            max_readahead: ByteSize(u64::from(options.max_readahead)),
            io: options.io,
            passthrough: options.passthrough,
            verify: Verify::default(),
        }
    }
}

impl MountSettings {
    /// For how long names and attributes are believed.
    pub(crate) fn freshness(&self) -> Freshness {
        Freshness::Ttl(self.ttl)
    }

    /// How `source`, as it may be shown, is mounted.
    pub(super) fn options(&self, source: String, allow_other: bool) -> MountOptions {
        MountOptions {
            source,
            allow_other,
            threads: self.threads,
            read_timeout: self.read_timeout,
            max_background: u16::try_from(self.max_background).unwrap_or(u16::MAX),
            max_readahead: u32::try_from(self.max_readahead.bytes()).unwrap_or(u32::MAX),
            io: self.io,
            passthrough: self.passthrough,
            ..MountOptions::default()
        }
    }
}

impl Value for IoMode {
    const KIND: Kind = Kind::OneOf("pages or direct");

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "direct" => Ok(Self::Direct),
            "pages" => Ok(Self::Pages),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Direct => "direct",
            Self::Pages => "pages",
        }
        .to_owned()
    }
}

impl Value for Verify {
    const KIND: Kind = Kind::OneOf("complete or strict");

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "complete" => Ok(Self::Complete),
            "strict" => Ok(Self::Strict),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Complete => "complete",
            Self::Strict => "strict",
        }
        .to_owned()
    }
}
