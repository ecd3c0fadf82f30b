//! **Draft** beta-2025-12: `{"dirs":[…],"fileChunkSizeBytes"?,"files":[…],"hashAlg","parentManifestHash"?,
//! "specificationVersion","totalSize"}`. It may change or go before it is released.
//!
//! An entry of `dirs` has `name` and perhaps `delete`. An entry of `files` has `name` and one of: `delete`; a `symlink`,
//! `{"name": target}`; or `mtime`, `size`, perhaps `runnable`, and `hash`, `chunkhashes` or neither. A name is a component
//! of its own, or `$N/component`, where N is the place in `dirs` of the directory that it lies in; `/component` is in the
//! root of an absolute manifest.
//!
//! Sources: the prototype in mwiebe/deadline-cloud (`_v2025_12/_encode.py`, `_decode.py`), and the crate
//! `openjd-snapshots`, which alone writes `fileChunkSizeBytes`.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

use crate::manifest::{Base, Kind};

const SPECIFICATIONS: [&str; 4] = [
    "absolute-manifest-diff-beta-2025-12",
    "absolute-manifest-snapshot-beta-2025-12",
    "relative-manifest-diff-beta-2025-12",
    "relative-manifest-snapshot-beta-2025-12",
];

/// In the order of [`SPECIFICATIONS`].
const MEANINGS: [(Base, Kind); 4] = [
    (Base::Absolute, Kind::Diff),
    (Base::Absolute, Kind::Snapshot),
    (Base::Relative, Kind::Diff),
    (Base::Relative, Kind::Snapshot),
];

#[cfg(test)]
mod tests;
