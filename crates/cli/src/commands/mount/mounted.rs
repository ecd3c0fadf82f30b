//! What is mounted where, as the kernel lists it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The type of our file systems.
const TYPE: &[u8] = b"fuse.forebay";

/// A directory on which something may be mounted.
#[derive(Debug)]
pub(super) struct Place {
    /// As the kernel lists it.
    pub(super) dir: PathBuf,
    /// Whether the topmost file system on it is one of ours.
    pub(super) is_ours: bool,
}

/// What `dir` is. A mount whose process is gone, and which answers nothing, is found as well, but not through a symlink.
pub(super) fn find(dir: &Path) -> io::Result<Place> {
    let parent = dir.parent().map(|parent| match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    });
    if let (Some(parent), Some(name)) = (parent, dir.file_name()) {
        let dir = std::fs::canonicalize(parent)?.join(name);
        if is_ours(&dir)? {
            return Ok(Place { dir, is_ours: true });
        }
    }
    let dir = std::fs::canonicalize(dir)?;
    let is_ours = is_ours(&dir)?;
    Ok(Place { dir, is_ours })
}

/// Whether the topmost file system on `dir`, a path without symlinks, is one of ours.
pub(super) fn is_ours(dir: &Path) -> io::Result<bool> {
    let list = std::fs::read("/proc/self/mountinfo")?;
    Ok(topmost(&list, dir) == Some(TYPE))
}

/// The type of what was mounted last on `dir`.
fn topmost<'a>(list: &'a [u8], dir: &Path) -> Option<&'a [u8]> {
    let mut mounts = list.split(|byte| *byte == b'\n').rev().filter_map(mount);
    mounts.find(|(on, _)| on == dir).map(|(_, kind)| kind)
}

/// Where a line says that something is mounted, and its type. Some fields before the lone `-` are optional.
fn mount(line: &[u8]) -> Option<(PathBuf, &[u8])> {
    let mut fields = line.split(|byte| *byte == b' ');
    let on = fields.nth(4)?;
    fields.find(|field| *field == b"-")?;
    Some((unescaped(on), fields.next()?))
}

/// The kernel writes spaces, tabs, line ends and backslashes as `\ooo`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let byte = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(path).into()
}

/// The path as bytes, to make a name of.
pub(super) fn bytes(dir: &Path) -> &[u8] {
    dir.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /mnt/a ro,nosuid shared:7 master:2 - fuse.forebay forebay:s3://b/ ro
31 22 0:51 / /mnt/with\\040space\\134\\012x ro - fuse.forebay forebay:/x ro
32 22 0:52 / /mnt/over rw - fuse.forebay forebay:/y ro
33 32 0:53 / /mnt/over rw - tmpfs tmpfs rw
34 22 0:54 / /mnt/- rw shared:3 - tmpfs - rw
short line
";

    #[test]
    fn the_last_mount_on_a_directory_counts() {
        for (dir, kind) in [
            ("/", Some("ext4")),
            ("/mnt/a", Some("fuse.forebay")),
            ("/mnt/with space\\\nx", Some("fuse.forebay")),
            ("/mnt/over", Some("tmpfs")),
            ("/mnt/-", Some("tmpfs")),
            ("/mnt", None),
            ("/mnt/a/", Some("fuse.forebay")),
        ] {
            assert_eq!(topmost(LIST, Path::new(dir)), kind.map(str::as_bytes), "{dir}");
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescaped(b"a\\9\\04\\101"), Path::new("a\\9\\04A"));
    }

    #[test]
    fn a_directory_is_found_as_it_is_listed() {
        let here = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(here.path(), here.path().join("link")).unwrap();
        let found = find(&here.path().join("link")).unwrap();
        assert_eq!(found.dir, here.path().canonicalize().unwrap());
        assert!(!found.is_ours);
        let missing = find(&here.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
