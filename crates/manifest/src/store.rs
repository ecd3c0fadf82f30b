//! The entries of a manifest in memory: 48 bytes for each file, 12 for each directory, and their paths one after the
//! other in one buffer.

use std::cmp::Ordering;
use std::ops::Range;

use crate::entry::{Content, DirEntry, FileEntry, FileKind};
use crate::error::Fault;
use crate::hash::Hash;
use crate::limits::Limits;
use crate::order;
use crate::path::ManifestPath;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    /// Paths, and targets of links.
    text: Vec<u8>,
    /// Chunks, and what is no xxh128.
    hashes: Vec<Hash>,
    files: Vec<FileRecord>,
    dirs: Vec<DirRecord>,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    at: u32,
    len: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileRecord {
    /// 0, as are the next two, for what is no regular file.
    size: u64,
    mtime: i64,
    path: Span,
    runnable: bool,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Xxh128([u8; 16]),
    /// Where its hash is.
    OtherHash(u32),
    /// Where its hashes are.
    Chunks {
        first: u32,
        count: u32,
    },
    Unhashed,
    Symlink(Span),
    Deleted,
}

const _: () = assert!(size_of::<FileRecord>() == 48);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DirRecord {
    path: Span,
    deleted: bool,
}

impl Store {
    pub(crate) fn file_count(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn dir_count(&self) -> usize {
        self.dirs.len()
    }

    pub(crate) fn file(&self, index: usize) -> Option<FileEntry<'_>> {
        self.files.get(index).map(|record| self.file_of(record))
    }

    pub(crate) fn files(&self) -> impl ExactSizeIterator<Item = FileEntry<'_>> + DoubleEndedIterator + Clone {
        self.files.iter().map(|record| self.file_of(record))
    }

    pub(crate) fn dir(&self, index: usize) -> Option<DirEntry<'_>> {
        self.dirs.get(index).map(|record| self.dir_of(record))
    }

    pub(crate) fn dirs(&self) -> impl ExactSizeIterator<Item = DirEntry<'_>> + DoubleEndedIterator + Clone {
        self.dirs.iter().map(|record| self.dir_of(record))
    }

    /// Where `path` is among the files, which are sorted.
    pub(crate) fn find_file(&self, path: ManifestPath<'_>) -> Option<usize> {
        self.files
            .binary_search_by(|record| self.path(record.path).cmp(&path))
            .ok()
    }

    /// Where `path` is among the directories, which are sorted.
    pub(crate) fn find_dir(&self, path: ManifestPath<'_>) -> Option<usize> {
        let order = |record: &DirRecord| order::code_points(self.bytes(record.path), path.as_bytes());
        self.dirs.binary_search_by(order).ok()
    }

    /// Where the files are that lie in `dir`.
    pub(crate) fn files_below(&self, dir: ManifestPath<'_>) -> Range<usize> {
        below(&self.files, dir, |record| self.bytes(record.path), order::utf16)
    }

    /// Where the directories are that lie in `dir`.
    pub(crate) fn dirs_below(&self, dir: ManifestPath<'_>) -> Range<usize> {
        below(
            &self.dirs,
            dir,
            |record| self.bytes(record.path),
            order::code_points,
        )
    }

    fn file_of(&self, record: &FileRecord) -> FileEntry<'_> {
        let content = match record.what {
            What::Xxh128(bytes) => Content::Hash(Hash::from_bytes(bytes)),
            What::OtherHash(at) => Content::Hash(self.hashes[at as usize].clone()),
            What::Chunks { first, count } => {
                Content::Chunks(&self.hashes[first as usize..][..count as usize])
            }
            What::Unhashed => Content::Unhashed,
            What::Symlink(target) => {
                return FileEntry {
                    path: self.path(record.path),
                    kind: FileKind::Symlink {
                        target: self.path(target),
                    },
                };
            }
            What::Deleted => {
                return FileEntry {
                    path: self.path(record.path),
                    kind: FileKind::Deleted,
                };
            }
        };
        FileEntry {
            path: self.path(record.path),
            kind: FileKind::Regular {
                size: record.size,
                mtime: record.mtime,
                runnable: record.runnable,
                content,
            },
        }
    }

    fn dir_of(&self, record: &DirRecord) -> DirEntry<'_> {
        DirEntry {
            path: self.path(record.path),
            deleted: record.deleted,
        }
    }

    fn path(&self, span: Span) -> ManifestPath<'_> {
        ManifestPath::new(self.bytes(span))
    }

    fn bytes(&self, span: Span) -> &[u8] {
        &self.text[span.at as usize..][..usize::from(span.len)]
    }

    /// Adds a file, whose path and whose target are at most 4,095 bytes long.
    pub(crate) fn push_file(&mut self, file: &FileEntry<'_>, limits: &Limits) -> Result<(), Fault> {
        let hashes = match &file.kind {
            FileKind::Regular {
                content: Content::Chunks(chunks),
                ..
            } => chunks.len(),
            FileKind::Regular {
                content: Content::Hash(hash),
                ..
            } => usize::from(hash.as_bytes().is_none()),
            _ => 0,
        };
        self.has_room(1 + hashes, 0, limits)?;
        let path = self.push_text(file.path, limits)?;
        // Fits: there are not more hashes than entries allowed, and those are counted in 32 bits.
        let next = self.hashes.len() as u32;
        let record = |what| FileRecord {
            size: 0,
            mtime: 0,
            path,
            runnable: false,
            what,
        };
        let record = match &file.kind {
            FileKind::Deleted => record(What::Deleted),
            FileKind::Symlink { target } => record(What::Symlink(self.push_text(*target, limits)?)),
            FileKind::Regular {
                size,
                mtime,
                runnable,
                content,
            } => FileRecord {
                size: *size,
                mtime: *mtime,
                runnable: *runnable,
                ..record(match content {
                    Content::Hash(hash) => match hash.as_bytes() {
                        Some(bytes) => What::Xxh128(*bytes),
                        None => {
                            self.hashes.push(hash.clone());
                            What::OtherHash(next)
                        }
                    },
                    Content::Chunks(chunks) => {
                        self.hashes.extend_from_slice(chunks);
                        What::Chunks {
                            first: next,
                            count: chunks.len() as u32,
                        }
                    }
                    Content::Unhashed => What::Unhashed,
                })
            },
        };
        self.files.push(record);
        Ok(())
    }

    /// Adds a directory, whose path is at most 4,095 bytes long.
    pub(crate) fn push_dir(&mut self, dir: DirEntry<'_>, limits: &Limits) -> Result<(), Fault> {
        self.has_room(1, 0, limits)?;
        let path = self.push_text(dir.path, limits)?;
        self.dirs.push(DirRecord {
            path,
            deleted: dir.deleted,
        });
        Ok(())
    }

    /// Whether so many more entries, with so many bytes in their paths, are allowed.
    pub(crate) fn has_room(&self, entries: usize, bytes: usize, limits: &Limits) -> Result<(), Fault> {
        let counted = self.entries();
        let too_large = |what, most: usize| Fault::TooLarge {
            what,
            most: most as u64,
        };
        let most = limits.entries.min(u32::MAX as usize);
        if entries > most.saturating_sub(counted) {
            return Err(too_large("more files, directories and hashes apart", most));
        }
        let most = limits.path_bytes.min(u32::MAX as usize);
        if bytes > most.saturating_sub(self.text.len()) {
            return Err(too_large("more bytes in paths", most));
        }
        Ok(())
    }

    fn push_text(&mut self, path: ManifestPath<'_>, limits: &Limits) -> Result<Span, Fault> {
        let bytes = path.as_bytes();
        self.has_room(0, bytes.len(), limits)?;
        let span = Span {
            at: self.text.len() as u32,
            len: bytes.len() as u16,
        };
        self.text.extend_from_slice(bytes);
        Ok(span)
    }

    /// Sorts the files as `by` says, unless they are in that order already, as they nearly always are.
    pub(crate) fn sort_files(&mut self, by: impl Fn(&[u8], &[u8]) -> Ordering) {
        let text = &self.text;
        sort(&mut self.files, |a, b| {
            by(piece(text, a.path), piece(text, b.path))
        });
    }

    /// Sorts the directories as `by` says.
    pub(crate) fn sort_dirs(&mut self, by: impl Fn(&[u8], &[u8]) -> Ordering) {
        let text = &self.text;
        sort(&mut self.dirs, |a, b| {
            by(piece(text, a.path), piece(text, b.path))
        });
    }

    /// Gives back memory that was taken ahead.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.hashes.shrink_to_fit();
        self.files.shrink_to_fit();
        self.dirs.shrink_to_fit();
    }

    /// Files, directories, and hashes that are kept apart.
    pub(crate) fn entries(&self) -> usize {
        self.files.len() + self.dirs.len() + self.hashes.len()
    }

    /// Bytes of all paths.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Bytes of memory in use, without those of hashes that are no xxh128.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity()
            + self.hashes.capacity() * size_of::<Hash>()
            + self.files.capacity() * size_of::<FileRecord>()
            + self.dirs.capacity() * size_of::<DirRecord>()
    }
}

fn piece(text: &[u8], span: Span) -> &[u8] {
    &text[span.at as usize..][..usize::from(span.len)]
}

fn sort<T>(records: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
    if !records.is_sorted_by(|a, b| order(a, b).is_le()) {
        records.sort_unstable_by(order);
    }
}

/// Where the records are whose paths lie in `dir`: what begins with the same text stands side by side in either order.
fn below<'a, R>(
    records: &[R],
    dir: ManifestPath<'_>,
    path: impl Fn(&R) -> &'a [u8],
    order: fn(&[u8], &[u8]) -> Ordering,
) -> Range<usize> {
    if dir.as_bytes().is_empty() {
        return 0..records.len();
    }
    let inside = [dir.as_bytes(), b"/"].concat();
    let start = records.partition_point(|record| order(path(record), &inside) == Ordering::Less);
    let count = records[start..].partition_point(|record| path(record).starts_with(&inside));
    start..start + count
}
