//! Where the file may lie: in a directory that is the owner's to write to, on a file system whose locks hold.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use forebay_types::ErrorKind;

use super::super::error::{MetadataError, Result};

/// Makes what is missing and checks what is there; the path of the file without symbolic links.
pub(super) fn prepare(path: &Path, name: &str) -> Result<PathBuf> {
    let said = |what: String, kind| MetadataError::Store {
        store: name.to_owned(),
        what,
        kind,
    };
    let failed = |what: &'static str| {
        move |error: io::Error| said(format!("{what}: {error}"), ErrorKind::from(error.kind()))
    };
    let Some(file) = path.file_name() else {
        return Err(said("this is no path of a file".into(), ErrorKind::Invalid));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(failed("its directory cannot be made"))?;
    let directory = parent
        .canonicalize()
        .map_err(failed("its directory cannot be found"))?;
    let me = rustix::process::geteuid().as_raw();
    let facts = directory
        .metadata()
        .map_err(failed("its directory cannot be looked at"))?;
    if facts.uid() != me && facts.uid() != 0 {
        let what = format!("its directory {} is another user's", directory.display());
        return Err(said(what, ErrorKind::Denied));
    }
    // With the sticky bit others cannot replace what is ours.
    if facts.mode() & 0o022 != 0 && facts.mode() & 0o1000 == 0 {
        let what = format!(
            "others may write to its directory {} (mode {:o}): chmod go-w it",
            directory.display(),
            facts.mode() & 0o7777
        );
        return Err(said(what, ErrorKind::Denied));
    }
    if let Some(system) = shared_system(&directory).map_err(failed("its file system cannot be asked"))? {
        let what = format!(
            "{} is on {system}, where SQLite's locks cannot be trusted: use a local disk, or postgres:// for \
             several machines",
            directory.display()
        );
        return Err(said(what, ErrorKind::Unsupported));
    }
    let path = directory.join(file);
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
    {
        Ok(_) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("it cannot be made")(error)),
    }
    let facts = path
        .symlink_metadata()
        .map_err(failed("it cannot be looked at"))?;
    if facts.is_symlink() {
        let what = "it is a symbolic link: name the file itself";
        return Err(said(what.into(), ErrorKind::Invalid));
    }
    if !facts.is_file() {
        return Err(said("it is not a file".into(), ErrorKind::Invalid));
    }
    if facts.uid() != me {
        return Err(said("it is another user's".into(), ErrorKind::Denied));
    }
    // Its log and shared memory get the same mode from SQLite.
    if facts.mode() & 0o077 != 0 {
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))
            .map_err(failed("its mode cannot be changed to 0600"))?;
    }
    Ok(path)
}

#[cfg(target_os = "linux")]
fn shared_system(directory: &Path) -> io::Result<Option<&'static str>> {
    Ok(shared(rustix::fs::statfs(directory)?.f_type as u64))
}

/// Elsewhere `statfs` has no such numbers; SQLite's own checks have to do.
#[cfg(not(target_os = "linux"))]
fn shared_system(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// File systems that several machines may see, or whose locks and shared mappings are somebody else's program: their
/// numbers in statfs(2).
#[cfg(target_os = "linux")]
fn shared(kind: u64) -> Option<&'static str> {
    Some(match kind & 0xFFFF_FFFF {
        0x6969 => "NFS",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x517B => "SMB",
        0x7375_7245 => "Coda",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9p",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
