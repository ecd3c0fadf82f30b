//! Where the cache is, or would be. Nothing is made there.

use std::path::Path;

use forebay_types::ByteSize;
use rustix::fs::{statfs, statvfs};

use super::direct::{Reader, alignment};
use super::{Finding, Status};
use crate::session::Session;
use crate::settings::existing;

const DIRECTORY: &str = "cache directory";
const FILE_SYSTEM: &str = "cache file system";
const DIRECT: &str = "cache O_DIRECT";
const ALIGNMENT: &str = "cache alignment";

/// Directory, file system with its room, and whether and how its files can be read and written past the page cache.
pub(super) fn findings(session: &Session, reader: &Reader<'_>) -> Vec<Finding> {
    let settings = &session.settings.cache;
    let options = match settings.options() {
        Ok(options) => options,
        Err(error) => return vec![Finding::new(DIRECTORY, Status::No, error.message())],
    };
    let off = if settings.enabled {
        ""
    } else {
        "; the cache is off"
    };
    let size = ByteSize(options.max_size);
    let shown = options.dir.to_string_lossy();
    let (status, there) = match options.dir.is_dir() {
        true => (Status::Yes, ""),
        false => (Status::Info, "; not made yet"),
    };
    let directory = Finding::new(DIRECTORY, status, format!("{shown}, up to {size:#}{there}{off}"));
    match existing(&options.dir) {
        Some(place) => vec![
            directory,
            file_system(place),
            direct(place, reader),
            alignment(ALIGNMENT, place),
        ],
        None => vec![directory],
    }
}

fn file_system(place: &Path) -> Finding {
    let (Ok(kind), Ok(room)) = (statfs(place), statvfs(place)) else {
        return Finding::new(FILE_SYSTEM, Status::Unknown, "it does not say");
    };
    // The field's type differs between architectures; the numbers are of 32 bits everywhere.
    let kind = kind.f_type as u64 & 0xFFFF_FFFF;
    let kind = name_of(kind).map_or_else(|| format!("type {kind:#x}"), str::to_owned);
    let bytes = |blocks: u64| ByteSize(blocks.saturating_mul(room.f_frsize));
    let detail = format!(
        "{kind}, {:#} free of {:#}",
        bytes(room.f_bavail),
        bytes(room.f_blocks)
    );
    Finding::new(FILE_SYSTEM, Status::Info, detail)
}

fn direct(place: &Path, reader: &Reader<'_>) -> Finding {
    let read = reader.read(DIRECT, place, "the cache is written through the page cache");
    read.unwrap_or_else(|| {
        let why = format!("no file can be written in {}", place.to_string_lossy());
        Finding::new(DIRECT, Status::Unknown, why)
    })
}

/// Magic numbers of statfs(2) that are met below caches.
fn name_of(kind: u64) -> Option<&'static str> {
    Some(match kind {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0xF2F5_2010 => "f2fs",
        0x2FC1_2FC1 => "zfs",
        0x0102_1994 => "tmpfs (memory)",
        0x794C_7630 => "overlayfs",
        0x6969 => "NFS",
        0xFF53_4D42 | 0xFE53_4D42 => "CIFS",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_file_systems_have_names() {
        assert_eq!(name_of(0xEF53), Some("ext4"));
        assert_eq!(name_of(1), None);
        let here = file_system(Path::new("/"));
        assert!(here.detail.contains("free of"), "{here:?}");
    }
}
