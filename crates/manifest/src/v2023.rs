//! v2023-03-03: `{"hashAlg","manifestVersion","paths":[{"hash","mtime","path","size"}…],"totalSize"}`.
//!
//! The order of the keys is theirs in the canonical form; any order is read. Source: the package
//! `deadline-job-attachments` (`asset_manifests/v2023_03_03`, `_canonical_json.py`), and the JSON schema of
//! deadline-cloud, which allows keys that it does not know; they are refused here, as they would be lost.

use std::collections::HashSet;

use crate::check;
use crate::decode::{Top, each, hash, mtime, object, present, size};
use crate::entry::{Content, DirEntry, FileEntry, FileKind};
use crate::error::{EntryName, Fault, List, ManifestError};
use crate::json::{write_string, write_value};
use crate::limits::Limits;
use crate::manifest::{Base, ChunkSize, Head, Kind, Manifest, Version};
use crate::path::ManifestPath;
use crate::store::Store;

const KEYS: [&str; 4] = ["hash", "mtime", "path", "size"];

pub(crate) fn decode(top: &Top<'_>, limits: &Limits) -> Result<Manifest, ManifestError> {
    top.refuse(&["dirs", "files", "fileChunkSizeBytes", "parentManifestHash"])?;
    let total = top.total_size()?;
    let head = Head {
        version: Version::V2023,
        kind: Kind::Snapshot,
        base: Base::Relative,
        chunk_size: ChunkSize::Unwritten,
        parent: None,
    };
    let mut store = Store::default();
    let mut scratch = Vec::new();
    each(top.required("paths")?, List::Paths, "path", |reader| {
        let (mut hashed, mut changed, mut path, mut length) = (None, None, None, None);
        object(reader, &KEYS, |reader, key| {
            match key {
                0 => hashed = Some(reader.string()?),
                1 => changed = Some(reader.integer()?),
                2 => path = Some(reader.string()?),
                _ => length = Some(reader.integer()?),
            }
            Ok(())
        })?;
        let path = present(path, "path")?;
        let file = FileEntry {
            path: ManifestPath::new(path.bytes(&mut scratch)?),
            kind: FileKind::Regular {
                size: size(present(length, "size")?)?,
                mtime: mtime(present(changed, "mtime")?)?,
                runnable: false,
                content: Content::Hash(hash(present(hashed, "hash")?)?),
            },
        };
        check::file(&file, &head)?;
        store.push_file(&file, limits)
    })?;
    check::finish(head, store, Some(total), limits)
}

pub(crate) fn encode(manifest: &Manifest) -> Vec<u8> {
    // What an entry takes beside its path, with numbers of their usual length.
    const ENTRY: usize = 100;
    let files = manifest.files();
    let mut out = Vec::with_capacity(files.len() * ENTRY + manifest.store.text_bytes() + ENTRY);
    out.extend_from_slice(br#"{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":["#);
    for (number, file) in files.enumerate() {
        // A checked manifest of this version has nothing else.
        if let FileKind::Regular {
            size,
            mtime,
            content: Content::Hash(hash),
            ..
        } = &file.kind
        {
            out.extend_from_slice(if number == 0 {
                br#"{"hash":""#
            } else {
                br#",{"hash":""#
            });
            hash.write(&mut out);
            out.extend_from_slice(br#"","mtime":"#);
            write_value(&mut out, mtime);
            out.extend_from_slice(br#","path":"#);
            write_string(&mut out, file.path.as_bytes());
            out.extend_from_slice(br#","size":"#);
            write_value(&mut out, size);
            out.push(b'}');
        }
    }
    out.extend_from_slice(br#"],"totalSize":"#);
    write_value(&mut out, manifest.total_size);
    out.push(b'}');
    out
}

/// A directory is in this format only if a file lies in it.
pub(crate) fn refuse_empty_dirs(manifest: &Manifest) -> Result<(), ManifestError> {
    let mut used = HashSet::new();
    for file in manifest.files() {
        let mut next = file.path.parent();
        while let Some(dir) = next
            && used.insert(dir)
        {
            next = dir.parent();
        }
    }
    let empty = |dir: &DirEntry<'_>| dir.deleted || !used.contains(&dir.path);
    match manifest.dirs().find(empty) {
        Some(dir) => {
            let what = if dir.deleted {
                "a deletion"
            } else {
                "an empty directory"
            };
            Err(Fault::Inexpressible(what)
                .of(|| Some(EntryName::new(List::Dirs, None, Some(dir.path.as_bytes())))))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
