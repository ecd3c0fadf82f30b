//! A disk that is full, or gone bad: no cache, and no error.

use std::path::{Path, PathBuf};
use std::process::Command;

use forebay_cache::{CacheOptions, Stored};
use forebay_types::ByteRange;

use crate::rig::*;

/// A small file system of its own.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// `None`, and the reason printed, where tests may not mount.
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "none"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                println!(
                    "skipped: cannot mount: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: cannot mount: {error}");
                None
            }
        }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", options])
            .arg(self.dir.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

fn options(dir: &Path, max_size: u64) -> CacheOptions {
    let mut options = CacheOptions::new(dir, max_size);
    options.keep_free = 0;
    options
}

#[test]
fn a_full_disk_drops_fills_and_serves_what_it_has() {
    let Some(disk) = Disk::new("16m") else { return };
    // The budget is larger than the disk: only the disk says no.
    let cache = open(options(&disk.cache(), 1 << 40));
    let first = id("first", 1, 4 * MIB);
    let handle = cache.object(&first);
    assert_eq!(store(&handle, ByteRange::new(0, first.size)), Stored::Written);
    std::fs::write(disk.dir.path().join("others"), vec![1; 11 << 20]).unwrap();
    assert_eq!(store_all(&cache, &id("second", 1, 6 * MIB)), Stored::Dropped);
    assert_eq!(read(&handle, ByteRange::new(0, first.size)), first.size);
    cache.flush();
    let stats = cache.stats();
    assert_eq!(stats.drops, 1);
    assert!(stats.io_errors > 0);
    // Room again: it goes on.
    std::fs::remove_file(disk.dir.path().join("others")).unwrap();
    assert_eq!(store_all(&cache, &id("second", 1, 6 * MIB)), Stored::Written);
}

#[test]
fn a_full_disk_makes_room_from_what_is_idle() {
    let Some(disk) = Disk::new("16m") else { return };
    let cache = open(options(&disk.cache(), 1 << 40));
    for n in 0..20 {
        assert_eq!(
            store_all(&cache, &id(&format!("{n}"), 1, 3 * MIB)),
            Stored::Written,
            "{n}"
        );
    }
    cache.flush();
    let stats = cache.stats();
    assert!(stats.evictions >= 14 && stats.drops == 0, "{stats:?}");
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_is_no_error() {
    let Some(disk) = Disk::new("1m") else { return };
    let cache = open(options(&disk.cache(), 1 << 40));
    let mut written = Vec::new();
    for n in 0..60 {
        let id = id(&format!("{n}"), 1, 1 + n * 1000);
        let handle = cache.object(&id);
        if store(&handle, ByteRange::new(0, id.size)) == Stored::Written {
            written.push((handle, id));
        }
    }
    assert!((5..60).contains(&written.len()), "{}", written.len());
    for (handle, id) in &written {
        assert_eq!(read(handle, ByteRange::new(0, id.size)), id.size);
    }
    drop(written);
    drop(cache);
    let cache = open(options(&disk.cache(), 1 << 40));
    assert_eq!(cache.stats().corrupt, 0);
    cache.clear().unwrap();
    assert_eq!(store_all(&cache, &id("after", 1, 100_000)), Stored::Written);
}

#[test]
fn what_must_stay_free_stays_free() {
    let Some(disk) = Disk::new("32m") else { return };
    let mut options = options(&disk.cache(), 1 << 40);
    options.keep_free = 16 * MIB;
    let cache = open(options);
    let free = || {
        let stat = rustix::fs::statvfs(disk.dir.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    };
    for n in 0..20 {
        assert_eq!(
            store_all(&cache, &id(&format!("{n}"), 1, 3 * MIB)),
            Stored::Written
        );
        assert!(free() >= 16 * MIB, "{} after {n}", free());
    }
    // Others take it: then the cache gives way as far as it can, and keeps nothing new.
    std::fs::write(disk.dir.path().join("others"), vec![1; 15 << 20]).unwrap();
    assert_eq!(store_all(&cache, &id("more", 1, 3 * MIB)), Stored::Dropped);
    cache.flush();
    assert_eq!(cache.stats().entry_count, 0);
}

#[test]
fn a_read_only_disk_is_an_error_that_says_so() {
    let Some(disk) = Disk::new("16m") else { return };
    let kept = id("kept", 1, MIB);
    store_all(&open(options(&disk.cache(), 1 << 40)), &kept);
    disk.remount("remount,ro");
    let error = forebay_cache::Cache::open(
        options(&disk.cache(), 1 << 40),
        std::sync::Arc::new(forebay_types::SystemClock::new()),
    )
    .unwrap_err();
    assert!(error.to_string().contains("ead-only"), "{error}");
    disk.remount("remount,rw");
    assert_eq!(read_all(&open(options(&disk.cache(), 1 << 40)), &kept), MIB);
}
