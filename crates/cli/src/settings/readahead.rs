//! `[readahead]`: what is fetched before it is asked for.

use forebay_readahead::{ByExtension, ReadAheadConfig};
use forebay_types::{ByteSize, printable};

use super::value::{Kind, Value};

/// `[readahead]`. `None` is the default that depends on the memory budget.
#[derive(Clone, Debug)]
pub(crate) struct ReadAheadSettings {
    pub(crate) readahead_size: ByteSize,
    pub(crate) readahead_max: Option<ByteSize>,
    pub(crate) prefetch_enabled: bool,
    pub(crate) prefetch_multiplier: f64,
    pub(crate) by_extension: ByExtension,
}

impl Default for ReadAheadSettings {
    fn default() -> Self {
        let config = ReadAheadConfig::default();
        Self {
            readahead_size: ByteSize(config.size),
            readahead_max: None,
            prefetch_enabled: config.enabled,
            prefetch_multiplier: config.multiplier,
            by_extension: ByExtension::default(),
        }
    }
}

impl ReadAheadSettings {
    /// How handles run ahead, where bytes on their way may take `memory_budget`.
    pub(crate) fn config(&self, memory_budget: u64) -> ReadAheadConfig {
        ReadAheadConfig {
            enabled: self.prefetch_enabled,
            size: self.readahead_size.bytes(),
            multiplier: self.prefetch_multiplier,
            // What read-ahead keeps goes back as soon as a reader waits for memory, so it may have all of it.
            max: self.readahead_max.map_or(memory_budget, ByteSize::bytes),
            ..ReadAheadConfig::default()
        }
    }
}

impl Value for ByExtension {
    const KIND: Kind = Kind::Sizes;

    /// `mkv=64MiB,bin=128MiB`, added to the extensions that are known anyway.
    fn read(text: &str) -> Result<Self, String> {
        let mut sizes = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (extension, size) = pair.split_once('=').ok_or_else(|| {
                format!(
                    "'{}' is not an extension and a size, as in \"mkv=64MiB\"",
                    printable(pair)
                )
            })?;
            let extension = extension.trim();
            let bare = extension.strip_prefix('.').unwrap_or(extension);
            if bare.is_empty() || bare.contains(['.', '/']) {
                let extension = printable(extension);
                return Err(format!(
                    "'{extension}' is not an extension: it is what follows the last dot of a name"
                ));
            }
            sizes.set(bare, ByteSize::read(size)?.bytes());
        }
        Ok(sizes)
    }

    fn show(&self) -> String {
        let pairs: Vec<String> = self
            .iter()
            .map(|(name, size)| format!("{name}={}", ByteSize(size)))
            .collect();
        pairs.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_added_to_those_that_are_known() {
        let sizes = ByExtension::read(" bin=128MiB, .MKV=1MiB,").unwrap();
        assert_eq!(sizes.get("x.bin"), Some(128 << 20));
        assert_eq!(sizes.get("x.mkv"), Some(1 << 20));
        assert_eq!(sizes.get("x.mp4"), ByExtension::default().get("x.mp4"));
        assert_eq!(ByExtension::read(&sizes.show()).unwrap(), sizes);
        assert_eq!(ByExtension::read("").unwrap(), ByExtension::default());
    }

    #[test]
    fn what_is_no_extension_is_refused() {
        for (text, part) in [
            ("mkv", "as in \"mkv=64MiB\""),
            ("=1MiB", "follows the last dot"),
            ("tar.gz=1MiB", "follows the last dot"),
            ("a/b=1MiB", "follows the last dot"),
            ("mkv=lots", "not a size"),
        ] {
            let why = ByExtension::read(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn all_of_the_memory_is_the_most_unless_said_otherwise() {
        let mut settings = ReadAheadSettings::default();
        assert_eq!(settings.config(100 << 20).max, 100 << 20);
        settings.readahead_max = Some(ByteSize::mib(70));
        assert_eq!(settings.config(100 << 20).max, 70 << 20);
    }
}
