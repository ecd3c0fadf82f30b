//! What makes an entry, and a manifest, acceptable. Whoever reads one and whoever builds one comes by here.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::entry::{Content, DirEntry, FileEntry, FileKind};
use crate::error::{EntryName, Fault, List, ManifestError};
use crate::limits::{Limits, MAX_DEPTH, MAX_FILE_SIZE, MAX_NAME_BYTES, MAX_PATH_BYTES};
use crate::manifest::{Base, Head, Kind, Manifest, Version};
use crate::order::{self, Nest};
use crate::path::ManifestPath;
use crate::store::Store;

/// Why `path` is none of a manifest with this base.
pub(crate) fn path(path: ManifestPath<'_>, base: Base) -> Result<(), Cow<'static, str>> {
    let bytes = path.as_bytes();
    if bytes.is_empty() {
        return Err("its path is empty".into());
    }
    if bytes.len() > MAX_PATH_BYTES {
        return Err(format!(
            "its path has {} bytes, more than the {MAX_PATH_BYTES} of Linux",
            bytes.len()
        )
        .into());
    }
    let relative = match (base, bytes.strip_prefix(b"/")) {
        (Base::Relative, None) => bytes,
        (Base::Absolute, Some(relative)) => relative,
        (Base::Relative, Some(_)) => {
            return Err("its path is absolute, and has to be relative to the manifest's root".into());
        }
        (Base::Absolute, None) => {
            return Err("its path is not absolute: in this manifest it has to begin with `/`".into());
        }
    };
    let mut depth = 0;
    for component in relative.split(|byte| *byte == b'/') {
        match component {
            b"" => return Err("its path has an empty component".into()),
            b"." => return Err("its path has the component `.`".into()),
            b".." => {
                return Err("its path has the component `..`, which leads out of the manifest's root".into());
            }
            _ if component.len() > MAX_NAME_BYTES => {
                let (len, most) = (component.len(), MAX_NAME_BYTES);
                return Err(format!(
                    "a component of its path has {len} bytes, more than the {most} of Linux"
                )
                .into());
            }
            _ => depth += 1,
        }
    }
    if depth > MAX_DEPTH {
        return Err(
            format!("it lies {depth} directories deep, more than the {MAX_DEPTH} that are allowed").into(),
        );
    }
    if bytes.contains(&0) {
        return Err("its path has a NUL, which no file name can have".into());
    }
    Ok(())
}

/// Whether `file` may stand in a manifest with this head.
pub(crate) fn file(file: &FileEntry<'_>, head: &Head) -> Result<(), Fault> {
    path(file.path, head.base).map_err(Fault::Refused)?;
    let draft = head.version == Version::Beta2025;
    match &file.kind {
        FileKind::Deleted if !draft => Err(Fault::Inexpressible("a deletion")),
        FileKind::Deleted => deleted(head),
        FileKind::Symlink { .. } if !draft => Err(Fault::Inexpressible("a symbolic link")),
        FileKind::Symlink { target } => {
            let root: &[u8] = match head.base {
                Base::Relative => b".",
                Base::Absolute => b"/",
            };
            if target.as_bytes() == root {
                return Ok(());
            }
            path(*target, head.base)
                .map_err(|why| Fault::refused(format!("it is a link to \"{target}\", and of that {why}")))
        }
        FileKind::Regular { runnable: true, .. } if !draft => Err(Fault::Inexpressible("an executable file")),
        FileKind::Regular { size, content, .. } => {
            if *size > MAX_FILE_SIZE {
                return Err(Fault::refused(format!(
                    "its size of {size} bytes is larger than any file"
                )));
            }
            match content {
                Content::Hash(_) => Ok(()),
                Content::Unhashed if !draft => Err(Fault::Inexpressible("a file without a hash")),
                Content::Unhashed => Ok(()),
                Content::Chunks(_) if !draft => Err(Fault::Inexpressible("a file in chunks")),
                Content::Chunks(chunks) => chunks_fit(*size, chunks.len(), head),
            }
        }
    }
}

fn chunks_fit(size: u64, count: usize, head: &Head) -> Result<(), Fault> {
    let Some(chunk) = head.chunk_size.bytes() else {
        return Err(Fault::refused(
            "it has hashes of chunks, and the manifest's files are never cut",
        ));
    };
    if size <= chunk {
        return Err(Fault::refused(format!(
            "it has hashes of chunks, and with {size} bytes it is not larger than one chunk of {chunk}"
        )));
    }
    // `chunk` is not 0: see `Head::check`.
    let expected = size.div_ceil(chunk);
    if expected != count as u64 {
        return Err(Fault::refused(format!(
            "it has the hashes of {count} chunks; {size} bytes are {expected} chunks of {chunk}"
        )));
    }
    Ok(())
}

/// Whether `dir` may stand in a manifest with this head.
pub(crate) fn dir(dir: DirEntry<'_>, head: &Head) -> Result<(), Fault> {
    path(dir.path, head.base).map_err(Fault::Refused)?;
    if head.version == Version::V2023 {
        return Err(Fault::Inexpressible("a directory"));
    }
    if dir.deleted { deleted(head) } else { Ok(()) }
}

fn deleted(head: &Head) -> Result<(), Fault> {
    match head.kind {
        Kind::Diff => Ok(()),
        Kind::Snapshot => Err(Fault::refused("it is deleted, which only a diff can say")),
    }
}

/// The manifest of entries that were checked one by one: sorts them, and checks them against each other and against
/// `total`, if the manifest gives one.
pub(crate) fn finish(
    head: Head,
    mut store: Store,
    total: Option<i128>,
    limits: &Limits,
) -> Result<Manifest, ManifestError> {
    head.check().map_err(Fault::of_document)?;
    if head.version == Version::V2023 && store.file_count() == 0 {
        return Err(ManifestError::document(
            "it has no files: a v2023-03-03 manifest has at least one",
        ));
    }
    store.sort_files(order::utf16);
    match head.version {
        // Whoever mounts it makes them.
        Version::V2023 => store.has_room(implied_dirs(&store), 0, limits),
        Version::Beta2025 => add_implied_dirs(&mut store, limits),
    }
    .map_err(Fault::of_document)?;
    store.sort_dirs(order::code_points);
    let list = match head.version {
        Version::V2023 => List::Paths,
        Version::Beta2025 => List::Files,
    };
    let total_size = check_files(&store, list)?;
    check_dirs(&store)?;
    if let Some(total) = total
        && total != i128::from(total_size)
    {
        return Err(ManifestError::document(format!(
            "its totalSize is {total}, and its files have {total_size} bytes together; it was cut or changed: fetch it \
             again, or make it again"
        )));
    }
    store.shrink();
    Ok(Manifest {
        head,
        total_size,
        store,
    })
}

/// Names every directory that something lies in, and that a link leads into, as the draft wants it. Those that are there
/// already stay as they are.
fn add_implied_dirs(store: &mut Store, limits: &Limits) -> Result<(), Fault> {
    let mut known: HashSet<&[u8]> = store.dirs().map(|dir| dir.path.as_bytes()).collect();
    let links = store.files().filter_map(|file| match file.kind {
        FileKind::Symlink { target } => Some(target),
        _ => None,
    });
    let paths = store.files().map(|file| file.path);
    let mut missing: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    for path in paths.chain(links).chain(store.dirs().map(|dir| dir.path)) {
        let mut next = path.parent();
        // Most files lie where the last one did.
        if next == last {
            continue;
        }
        last = next;
        while let Some(dir) = next
            && known.insert(dir.as_bytes())
        {
            // A path of 4 KB may lie in a hundred directories, whose paths are 50 times as long together.
            bytes += dir.as_bytes().len();
            store.has_room(missing.len() + 1, bytes, limits)?;
            missing.push(dir.as_bytes().to_vec());
            next = dir.parent();
        }
    }
    drop(known);
    missing.iter().try_for_each(|path| {
        let dir = DirEntry {
            path: ManifestPath::new(path),
            deleted: false,
        };
        store.push_dir(dir, limits)
    })
}

/// How many directories there are above the files, which are sorted: those below a directory stand side by side.
fn implied_dirs(store: &Store) -> usize {
    let mut last: &[u8] = b"";
    let mut count = 0;
    for file in store.files() {
        let path = file.path.as_bytes();
        let common = order::common_prefix(last, path);
        count += path[common..].iter().filter(|byte| **byte == b'/').count();
        last = path;
    }
    count
}

/// No path twice, no file in a file; the bytes of all together.
fn check_files(store: &Store, list: List) -> Result<u64, ManifestError> {
    let refuse = |path: ManifestPath<'_>, why: Cow<'static, str>| ManifestError::Entry {
        entry: Box::new(EntryName::new(list, None, Some(path.as_bytes()))),
        why,
    };
    let mut total = 0_u64;
    let mut nest = Nest::default();
    let mut last = None;
    for file in store.files() {
        if last.replace(file.path) == Some(file.path) {
            return Err(refuse(file.path, "its path is there twice".into()));
        }
        if file.kind == FileKind::Deleted {
            continue;
        }
        if let Some(above) = nest.above(file.path.as_bytes()) {
            let above = ManifestPath::new(above);
            return Err(refuse(
                file.path,
                format!("it lies in \"{above}\", which is a file").into(),
            ));
        }
        nest.put(file.path.as_bytes());
        if let FileKind::Regular { size, .. } = file.kind {
            total = total.checked_add(size).ok_or_else(|| {
                refuse(
                    file.path,
                    "with it, the sizes of all files are larger than 64 bits".into(),
                )
            })?;
        }
    }
    Ok(total)
}

/// No directory twice, and none that is a file or lies in one. They are few beside the files.
fn check_dirs(store: &Store) -> Result<(), ManifestError> {
    let refuse = |path: ManifestPath<'_>, why: Cow<'static, str>| ManifestError::Entry {
        entry: Box::new(EntryName::new(List::Dirs, None, Some(path.as_bytes()))),
        why,
    };
    let mut nest = Nest::default();
    let mut last = None;
    for dir in store.dirs() {
        if last.replace(dir.path) == Some(dir.path) {
            return Err(refuse(dir.path, "its path is there twice".into()));
        }
        let above = nest.above(dir.path.as_bytes());
        let file = store.find_file(dir.path).and_then(|index| store.file(index));
        if file.is_some_and(|file| file.kind != FileKind::Deleted) {
            nest.put(dir.path.as_bytes());
            if !dir.deleted {
                return Err(refuse(dir.path, "it is a directory and a file".into()));
            }
        }
        if !dir.deleted
            && let Some(above) = above
        {
            let above = ManifestPath::new(above);
            return Err(refuse(
                dir.path,
                format!("it lies in \"{above}\", which is a file").into(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
