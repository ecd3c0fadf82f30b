//! `[direct]`: files read and written past the page cache.

use forebay_disk::{DiskOptions, EngineChoice};
use forebay_range::FileSystemConfig;
use forebay_types::ByteSize;

use super::value::{Kind, Value, wrong};
use super::{KEYS, Origin, Settings};

/// `[direct]`.
#[derive(Clone, Debug)]
pub(crate) struct DirectSettings {
    pub(crate) preset: Preset,
    pub(crate) direct_io: bool,
    /// `None` is what the kernel says of each file.
    pub(crate) alignment: Option<ByteSize>,
    pub(crate) min_io_size: ByteSize,
    pub(crate) sync_writes: bool,
    pub(crate) enable_range_engine: bool,
    pub(crate) chunk_size: ByteSize,
    pub(crate) max_concurrent_ranges: usize,
    pub(crate) min_split_size: ByteSize,
    pub(crate) engine: EngineChoice,
    pub(crate) threads: usize,
    pub(crate) pool_size: ByteSize,
}

/// What the keys of the table are where nobody says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preset {
    #[default]
    Default,
    HighPerformance,
}

/// The name of the key whose value the others of the table start from.
pub(super) const PRESET: &str = "direct.preset";

impl Preset {
    fn config(self) -> FileSystemConfig {
        match self {
            Self::Default => FileSystemConfig::direct(),
            Self::HighPerformance => FileSystemConfig::high_performance(),
        }
    }
}

impl Default for DirectSettings {
    fn default() -> Self {
        Self::of(Preset::default())
    }
}

impl DirectSettings {
    fn of(preset: Preset) -> Self {
        let (config, disk) = (preset.config(), DiskOptions::default());
        Self {
            preset,
            direct_io: config.direct_io,
            alignment: config.alignment.map(ByteSize),
            min_io_size: ByteSize(config.min_io_size),
            sync_writes: config.sync_writes,
            enable_range_engine: config.enable_range_engine,
            chunk_size: ByteSize(config.range_engine.chunk_size),
            max_concurrent_ranges: config.range_engine.max_concurrent_ranges,
            min_split_size: ByteSize(config.range_engine.min_split_size),
            engine: disk.engine,
            threads: disk.threads,
            pool_size: ByteSize(disk.pool_size),
        }
    }

    /// What disks are read with.
    pub(crate) fn disk(&self) -> DiskOptions {
        DiskOptions {
            engine: self.engine,
            threads: self.threads,
            pool_size: self.pool_size.bytes(),
        }
    }
}

impl Settings {
    /// Gives the keys of the table that nobody set the values of its preset.
    pub(super) fn start_from_preset(&mut self) {
        let of_preset = Self {
            direct: DirectSettings::of(self.direct.preset),
            ..Self::default()
        };
        for key in KEYS {
            if key.parts().0 == "direct" && !self.origins.contains_key(key.name) {
                key.copy(&of_preset, self);
            }
        }
    }

    /// Where a value comes from that nobody set: a preset, if that makes it another one.
    pub(super) fn unsaid(&self, key: &super::Key) -> &Origin {
        let is_of_preset = self.direct.preset != Preset::default()
            && key.parts().0 == "direct"
            && key.shown(self) != key.shown(&Self::default());
        if is_of_preset {
            &Origin::Preset
        } else {
            &Origin::Default
        }
    }
}

/// Sizes that alignments may have: below a sector, or above a fraction of a buffer, none makes sense.
const ALIGNMENTS: [ByteSize; 2] = [ByteSize(512), ByteSize::mib(1)];

/// Refuses what cannot be an alignment.
pub(super) fn alignment(size: Option<ByteSize>) -> Result<(), String> {
    let [least, most] = ALIGNMENTS;
    match size {
        Some(size) if !size.bytes().is_power_of_two() || !(least..=most).contains(&size) => Err(format!(
            "{size} is not a power of two from {least} to {most}, which alignments are"
        )),
        _ => Ok(()),
    }
}

impl Value for Preset {
    const KIND: Kind = Kind::OneOf("default or high_performance");

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "default" => Ok(Self::Default),
            "high_performance" => Ok(Self::HighPerformance),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Default => "default",
            Self::HighPerformance => "high_performance",
        }
        .to_owned()
    }
}

impl Value for EngineChoice {
    const KIND: Kind = Kind::OneOf("auto, io_uring or pread");

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "io_uring" => Ok(Self::IoUring),
            "pread" => Ok(Self::Pread),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_are_powers_of_two() {
        for good in [512, 4096, 1 << 20] {
            assert_eq!(alignment(Some(ByteSize(good))), Ok(()), "{good}");
        }
        assert_eq!(alignment(None), Ok(()));
        for bad in [0, 1, 256, 3000, 6144, 2 << 20] {
            let why = alignment(Some(ByteSize(bad))).unwrap_err();
            assert!(why.contains("512B") && why.contains("1MiB"), "{why}");
        }
    }

    #[test]
    fn every_field_reaches_the_configuration() {
        for preset in [Preset::Default, Preset::HighPerformance] {
            let settings = Settings {
                direct: DirectSettings::of(preset),
                ..Settings::default()
            };
            assert_eq!(settings.direct(), preset.config(), "{preset:?}");
        }
    }
}
