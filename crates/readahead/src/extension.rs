//! How much to read ahead by the extension of a name.

use std::collections::BTreeMap;

use forebay_types::ByteSize;

/// `readahead_size` by file extension, in bytes; setting table `[readahead.by_extension]`.
///
/// Video gets 64 MiB by default, twice the usual. It is read in order for hours at a steady 1-15 MB/s, so all of it
/// is used, and a player that runs dry stops the picture: 64 MiB bridge 4 s at 15 MB/s, more than a hedged request
/// or a broken connection takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByExtension {
    /// Extensions in lower case, without their dot.
    map: BTreeMap<String, u64>,
}

const VIDEO: [&str; 9] = ["mkv", "mp4", "m4v", "mov", "avi", "webm", "ts", "m2ts", "mpg"];
const VIDEO_SIZE: u64 = ByteSize::mib(64).bytes();

impl Default for ByExtension {
    fn default() -> Self {
        Self {
            map: VIDEO.map(|ext| (ext.to_owned(), VIDEO_SIZE)).into(),
        }
    }
}

impl ByExtension {
    /// What is set for the extension of `key`: what follows the last dot of its last path part, in upper or lower
    /// case. A name like `.gitignore` has none, nor has one that ends with a dot.
    pub fn get(&self, key: &str) -> Option<u64> {
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        let (stem, ext) = name.rsplit_once('.')?;
        if stem.is_empty() || ext.is_empty() {
            return None;
        }
        self.map.get(&ext.to_ascii_lowercase()).copied()
    }

    /// Sets the size for an extension, written with or without its dot, in upper or lower case. 0: nothing is read
    /// ahead in such objects.
    pub fn set(&mut self, ext: &str, size: u64) {
        let ext = ext.strip_prefix('.').unwrap_or(ext).to_ascii_lowercase();
        self.map.insert(ext, size);
    }

    /// All that is set, in the order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.map.iter().map(|(ext, size)| (ext.as_str(), *size))
    }
}

impl<S: AsRef<str>> Extend<(S, u64)> for ByExtension {
    fn extend<T: IntoIterator<Item = (S, u64)>>(&mut self, sizes: T) {
        for (ext, size) in sizes {
            self.set(ext.as_ref(), size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadAheadConfig;

    #[test]
    fn the_last_extension_of_the_last_part_counts() {
        let by = ByExtension::default();
        for (key, size) in [
            ("film.mkv", Some(VIDEO_SIZE)),
            ("a/b.c/Film.Part1.MP4", Some(VIDEO_SIZE)),
            ("dir.mkv/readme", None),
            ("film.mkv.part", None),
            ("film.mkv.", None),
            (".mkv", None),
            ("dir/.mkv", None),
            ("mkv", None),
            ("", None),
            ("film.mkv/", None),
            ("..ts", Some(VIDEO_SIZE)),
            ("data.parquet", None),
        ] {
            assert_eq!(by.get(key), size, "{key}");
        }
    }

    #[test]
    fn settings_extend_the_defaults() {
        let mut by = ByExtension::default();
        by.extend([("parquet", 1), (".MKV", 2)]);
        assert_eq!(by.get("x.Parquet"), Some(1));
        assert_eq!(by.get("x.mkv"), Some(2));
        assert_eq!(by.get("x.mov"), Some(VIDEO_SIZE));
        assert_eq!(by.iter().count(), VIDEO.len() + 1);
    }

    #[test]
    fn a_size_by_extension_replaces_the_general_one() {
        let general = ReadAheadConfig {
            max: 40 << 20,
            ..ReadAheadConfig::default()
        };
        let mut by = ByExtension::default();
        by.set("idx", 0);
        let film = general.for_key(&by, "film.webm");
        assert_eq!((film.size, film.max), (64 << 20, 64 << 20));
        let index = general.for_key(&by, "films.idx");
        assert_eq!((index.size, index.max), (0, 40 << 20));
        assert_eq!(general.for_key(&by, "film.txt"), general);
    }
}
