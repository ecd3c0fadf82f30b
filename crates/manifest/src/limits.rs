//! How much a manifest may ask for. All is checked before memory is taken.

/// Longest path, in bytes: PATH_MAX of Linux without its NUL.
pub(crate) const MAX_PATH_BYTES: usize = 4095;

/// Longest component of a path, in bytes: NAME_MAX of Linux.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// Directories that may lie in each other: few enough for any stack, as of torrents and web servers.
pub(crate) const MAX_DEPTH: usize = 128;

/// Longest hash, in characters: sha512 in hexadecimal digits. xxh128 has 32.
pub(crate) const MAX_HASH_CHARS: usize = 128;

/// Largest file, in bytes: the largest offset of Linux.
pub(crate) const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// How large a manifest may be, as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the manifest itself. 1 GiB: some 6 million files.
    pub bytes: usize,
    /// Files, directories (also those that no entry names), and hashes that are kept apart (of chunks, and what is no
    /// xxh128), together. 8 Mi: 400 MiB in memory without their paths.
    pub entries: usize,
    /// Bytes of all paths and targets of links together, written out; never more than 4 GiB. 1 GiB: a draft's names can
    /// stand for paths that are a hundred times as long.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            entries: 8 << 20,
            path_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// For what is made of manifests with so many entries and bytes of paths, which were within limits of their own: the
    /// directories that have to be named in addition may be several times as many.
    pub(crate) fn derived(entries: usize, path_bytes: usize) -> Self {
        const TIMES: usize = 4;
        let default = Self::default();
        Self {
            entries: default.entries.max(entries.saturating_mul(TIMES)),
            path_bytes: default.path_bytes.max(path_bytes.saturating_mul(TIMES)),
            ..default
        }
    }
}
