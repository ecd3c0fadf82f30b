//! Reading the draft.

use super::{MEANINGS, SPECIFICATIONS};
use crate::check;
use crate::decode::{Top, each, hash, known, mtime, object, present, size};
use crate::entry::{Content, DirEntry, FileEntry, FileKind};
use crate::error::{Fault, List, ManifestError};
use crate::hash::Hash;
use crate::json::{Reader, Text};
use crate::limits::Limits;
use crate::manifest::{ChunkSize, Head, Manifest, Version};
use crate::path::ManifestPath;
use crate::store::Store;

const FILE_KEYS: [&str; 8] = [
    "chunkhashes",
    "delete",
    "hash",
    "mtime",
    "name",
    "runnable",
    "size",
    "symlink",
];

pub(crate) fn decode(top: &Top<'_>, version: Text<'_>, limits: &Limits) -> Result<Manifest, ManifestError> {
    let number = known(
        version,
        &SPECIFICATIONS,
        "specificationVersion",
        "the four of the draft beta-2025-12 are read (and 2023-03-03)",
    )?;
    top.refuse(&["paths"])?;
    let (base, kind) = MEANINGS[number];
    let total = top.total_size()?;
    let parent = top
        .value("parentManifestHash")
        .map(|mut value| value.string().and_then(hash));
    let head = Head {
        version: Version::Beta2025,
        kind,
        base,
        chunk_size: chunk_size(top).map_err(Fault::of_document)?,
        parent: parent.transpose().map_err(Fault::of_document)?,
    };
    let mut store = Store::default();
    let mut path = Vec::new();
    each(top.required("dirs")?, List::Dirs, "name", |reader| {
        let (mut name, mut deleted) = (None, false);
        object(reader, &["name", "delete"], |reader, key| {
            match key {
                0 => name = Some(reader.string()?),
                _ => deleted = reader.boolean()?,
            }
            Ok(())
        })?;
        resolve(present(name, "name")?, &store, &mut path)?;
        let dir = DirEntry {
            path: ManifestPath::new(&path),
            deleted,
        };
        check::dir(dir, &head)?;
        store.push_dir(dir, limits)
    })?;
    let (mut target, mut hashes) = (Vec::new(), Vec::new());
    each(top.required("files")?, List::Files, "name", |reader| {
        let entry = RawFile::read(reader, &mut hashes, limits)?;
        resolve(present(entry.name, "name")?, &store, &mut path)?;
        if let Some(link) = entry.symlink {
            resolve(link, &store, &mut target)?;
        }
        let file = FileEntry {
            path: ManifestPath::new(&path),
            kind: entry.kind(&target, &hashes)?,
        };
        check::file(&file, &head)?;
        store.push_file(&file, limits)
    })?;
    check::finish(head, store, Some(total), limits)
}

fn chunk_size(top: &Top<'_>) -> Result<ChunkSize, Fault> {
    let Some(mut value) = top.value("fileChunkSizeBytes") else {
        return Ok(ChunkSize::Unwritten);
    };
    match value.integer()? {
        -1 => Ok(ChunkSize::Never),
        bytes @ 1..=0x7FFF_FFFF_FFFF_FFFF => Ok(ChunkSize::Bytes(bytes as u64)),
        other => Err(Fault::refused(format!(
            "its fileChunkSizeBytes is {other}: it has to be -1 or a number of bytes"
        ))),
    }
}

/// An entry of `files` as it stands, its hashes of chunks apart.
#[derive(Default)]
struct RawFile<'a> {
    name: Option<Text<'a>>,
    symlink: Option<Text<'a>>,
    hash: Option<Text<'a>>,
    chunked: bool,
    size: Option<i128>,
    mtime: Option<i128>,
    runnable: bool,
    delete: bool,
}

impl<'a> RawFile<'a> {
    fn read(reader: &mut Reader<'a>, hashes: &mut Vec<Hash>, limits: &Limits) -> Result<Self, Fault> {
        let mut file = Self::default();
        hashes.clear();
        object(reader, &FILE_KEYS, |reader, key| {
            match FILE_KEYS[key] {
                "chunkhashes" => {
                    file.chunked = true;
                    reader.array()?;
                    let mut first = true;
                    while reader.item(&mut first)? {
                        if hashes.len() == limits.entries {
                            return Err(Fault::TooLarge {
                                what: "more files, directories and hashes apart",
                                most: limits.entries as u64,
                            });
                        }
                        hashes.push(hash(reader.string()?)?);
                    }
                }
                "delete" => file.delete = reader.boolean()?,
                "hash" => file.hash = Some(reader.string()?),
                "mtime" => file.mtime = Some(reader.integer()?),
                "name" => file.name = Some(reader.string()?),
                "runnable" => file.runnable = reader.boolean()?,
                "size" => file.size = Some(reader.integer()?),
                _ => {
                    let mut target = None;
                    object(reader, &["name"], |reader, _| {
                        target = Some(reader.string()?);
                        Ok(())
                    })?;
                    file.symlink = Some(present(target, "symlink.name")?);
                }
            }
            Ok(())
        })?;
        Ok(file)
    }

    fn kind<'e>(&self, target: &'e [u8], hashes: &'e [Hash]) -> Result<FileKind<'e>, Fault> {
        let contents = [self.hash.is_some(), self.chunked, self.symlink.is_some()];
        if contents.iter().filter(|has| **has).count() > 1 {
            return Err(Fault::refused(
                "it has more than one of `hash`, `chunkhashes` and `symlink`",
            ));
        }
        if self.delete || self.symlink.is_some() {
            let (what, nothing_else) = match self.delete {
                true => ("deleted", !contents.contains(&true)),
                false => ("a symbolic link", true),
            };
            if !nothing_else || self.size.is_some() || self.mtime.is_some() || self.runnable {
                return Err(Fault::refused(format!(
                    "it is {what}, and has what only a regular file has"
                )));
            }
            return Ok(match self.delete {
                true => FileKind::Deleted,
                false => FileKind::Symlink {
                    target: ManifestPath::new(target),
                },
            });
        }
        Ok(FileKind::Regular {
            size: size(present(self.size, "size")?)?,
            mtime: mtime(present(self.mtime, "mtime")?)?,
            runnable: self.runnable,
            content: match self.hash {
                Some(text) => Content::Hash(hash(text)?),
                None if self.chunked => Content::Chunks(hashes),
                None => Content::Unhashed,
            },
        })
    }
}

/// Writes the path that `name` stands for into `path`. The directories that it may refer to are in `store`, in the order
/// in which they stand in the manifest.
fn resolve(name: Text<'_>, store: &Store, path: &mut Vec<u8>) -> Result<(), Fault> {
    let mut scratch = Vec::new();
    let name = name.bytes(&mut scratch)?;
    path.clear();
    let Some(slash) = name.iter().position(|byte| *byte == b'/') else {
        path.extend_from_slice(name);
        return Ok(());
    };
    let (directory, component) = (&name[..slash], &name[slash + 1..]);
    if component.contains(&b'/') {
        return Err(Fault::refused(
            "its name has more than one `/`: it has to be `$N/component`",
        ));
    }
    if !directory.is_empty() {
        let number = directory.strip_prefix(b"$").and_then(number).ok_or_else(|| {
            Fault::refused("its name has a `/` and does not begin with `$N/`, the number of a directory")
        })?;
        let dir = store.dir(number).ok_or_else(|| {
            Fault::refused(format!(
                "its name refers to directory {number}, and {} come before it",
                store.dir_count()
            ))
        })?;
        path.extend_from_slice(dir.path.as_bytes());
    }
    path.push(b'/');
    path.extend_from_slice(component);
    Ok(())
}

/// A number as it is written: digits, without a sign and without zeros before it.
fn number(digits: &[u8]) -> Option<usize> {
    let text = str::from_utf8(digits).ok()?;
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}
