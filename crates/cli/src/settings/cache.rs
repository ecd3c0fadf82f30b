//! `[cache]`: what is kept on the local disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_cache::{CacheOptions, WriteMode};
use forebay_reader::Freshness;
use forebay_types::ByteSize;

use super::value::{Kind, Value, wrong};
use crate::exit::{CliError, Result};

/// `[cache]`. `None` is the default that depends on the machine.
#[derive(Clone, Debug)]
pub(crate) struct CacheSettings {
    pub(crate) enabled: bool,
    /// Filled in from the environment when nobody says it; `None` where that has no home directory.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) size: Option<ByteSize>,
    pub(crate) write: WriteMode,
    pub(crate) verify_sealed: bool,
    pub(crate) max_open_files: usize,
    pub(crate) write_behind: ByteSize,
    pub(crate) keep_free: Option<ByteSize>,
    pub(crate) revalidate: Revalidate,
    pub(crate) ttl: Duration,
}

/// When the server is asked whether a cached version is still the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revalidate {
    /// At every open.
    Always,
    /// When nobody asked for `cache.ttl`.
    Ttl,
    /// Never.
    Never,
}

/// Files of one open object: its bytes and its map.
const FILES_PER_OBJECT: usize = 2;

/// Least and most bytes of a cache whose size nobody chose: below the first a large object does not fit, above the
/// second a disk was probably bought for something else.
const AUTO_SIZE: [u64; 2] = [ByteSize::gib(1).bytes(), ByteSize::gib(100).bytes()];

impl Default for CacheSettings {
    fn default() -> Self {
        let options = CacheOptions::new("", 0);
        Self {
            enabled: true,
            dir: None,
            size: None,
            write: options.write,
            verify_sealed: options.verify_sealed,
            max_open_files: options.max_open * FILES_PER_OBJECT,
            write_behind: ByteSize(options.write_behind),
            keep_free: None,
            revalidate: Revalidate::Always,
            ttl: Duration::from_mins(1),
        }
    }
}

impl CacheSettings {
    /// How the cache is opened.
    ///
    /// # Errors
    /// If nobody says where it is.
    pub(crate) fn options(&self) -> Result<CacheOptions> {
        let dir = self.dir.as_deref().ok_or_else(|| {
            CliError::usage("there is no place for the cache: neither XDG_CACHE_HOME nor HOME says one")
                .hint("name a directory with --cache-dir or cache.dir, or say --no-cache")
        })?;
        let size = self.size.map_or_else(|| auto_size(dir), ByteSize::bytes);
        let usual = CacheOptions::new(dir, size);
        Ok(CacheOptions {
            write: self.write,
            verify_sealed: self.verify_sealed,
            max_open: (self.max_open_files / FILES_PER_OBJECT).max(1),
            write_behind: self.write_behind.bytes(),
            keep_free: self.keep_free.map_or(usual.keep_free, ByteSize::bytes),
            ..usual
        })
    }

    /// When cached versions are confirmed.
    pub(crate) fn freshness(&self) -> Freshness {
        match self.revalidate {
            Revalidate::Always => Freshness::Always,
            Revalidate::Ttl => Freshness::Ttl(self.ttl),
            Revalidate::Never => Freshness::Never,
        }
    }
}

/// A tenth of the file system that holds `dir`, or will hold it.
fn auto_size(dir: &Path) -> u64 {
    let [least, most] = AUTO_SIZE;
    let stat = existing(dir).and_then(|there| rustix::fs::statvfs(there).ok());
    stat.map_or(least, |stat| {
        (stat.f_blocks.saturating_mul(stat.f_frsize) / 10).clamp(least, most)
    })
}

/// The nearest directory above `dir`, or itself, that exists.
pub(crate) fn existing(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|above| above.is_dir())
}

/// A path that means the same wherever the program is started.
pub(super) fn absolute(path: Option<&Path>) -> std::result::Result<(), String> {
    match path {
        Some(path) if !path.is_absolute() => Err(format!(
            "'{}' is not an absolute path, which it must be: the cache would be another one in every directory",
            forebay_types::printable(&path.to_string_lossy())
        )),
        _ => Ok(()),
    }
}

impl Value for WriteMode {
    const KIND: Kind = Kind::OneOf("auto, direct or buffered");

    fn read(text: &str) -> std::result::Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "direct" => Ok(Self::Direct),
            "buffered" => Ok(Self::Buffered),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Direct => "direct",
            Self::Buffered => "buffered",
        }
        .to_owned()
    }
}

impl Value for Revalidate {
    const KIND: Kind = Kind::OneOf("always, ttl or never");

    fn read(text: &str) -> std::result::Result<Self, String> {
        match text.trim() {
            "always" => Ok(Self::Always),
            "ttl" => Ok(Self::Ttl),
            "never" => Ok(Self::Never),
            _ => Err(wrong(text, Self::KIND)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Always => "always",
            Self::Ttl => "ttl",
            Self::Never => "never",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_nobody_chose_is_a_tenth_of_the_disk_within_bounds() {
        let here = tempfile::tempdir().unwrap();
        let stat = rustix::fs::statvfs(here.path()).unwrap();
        let tenth = stat.f_blocks * stat.f_frsize / 10;
        let expected = tenth.clamp(1 << 30, 100 << 30);
        assert_eq!(auto_size(here.path()), expected);
        assert_eq!(auto_size(&here.path().join("not/there/yet")), expected);
        assert_eq!(auto_size(Path::new("")), 1 << 30, "no directory at all");
    }

    #[test]
    fn without_a_home_there_is_no_cache() {
        let error = CacheSettings::default().options().unwrap_err().to_string();
        assert!(
            error.contains("--cache-dir") && error.contains("--no-cache"),
            "{error}"
        );
    }

    #[test]
    fn an_object_has_two_files() {
        let settings = CacheSettings {
            dir: Some("/x".into()),
            max_open_files: 101,
            ..CacheSettings::default()
        };
        assert_eq!(settings.options().unwrap().max_open, 50);
        let usual = CacheSettings {
            dir: Some("/x".into()),
            size: Some(ByteSize(7)),
            ..CacheSettings::default()
        };
        assert_eq!(usual.options().unwrap(), CacheOptions::new("/x", 7));
    }
}
