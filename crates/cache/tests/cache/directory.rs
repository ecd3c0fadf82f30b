//! Whose the directory is, and what may lie in it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use forebay_cache::{Cache, CacheError, CacheOptions, Stored};
use forebay_types::{ErrorKind, SystemClock};

use crate::rig::*;

fn try_open(rig: &Rig) -> Result<Cache, CacheError> {
    Cache::open(CacheOptions::new(rig.path(), MIB), Arc::new(SystemClock::new()))
}

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn everything_is_for_its_owner_only() {
    let rig = Rig::new();
    let cache = rig.open(100 * MIB);
    store_all(&cache, &id("a", 1, 10));
    store_all(&cache, &id("b", 1, MIB));
    for dir in [
        rig.path(),
        rig.path().join("objects"),
        rig.files()[0].parent().unwrap().to_owned(),
    ] {
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
    }
    for file in rig
        .files()
        .into_iter()
        .chain(["FORMAT", "ledger"].map(|name| rig.path().join(name)))
    {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(cache.dir(), rig.path());
}

#[test]
fn a_directory_that_others_can_list_is_closed_to_them() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path()).unwrap();
    std::fs::set_permissions(rig.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    try_open(&rig).unwrap();
    assert_eq!(mode(&rig.path()), 0o700);
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path()).unwrap();
    std::fs::set_permissions(rig.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = try_open(&rig).unwrap_err();
    assert!(matches!(error, CacheError::OpenToOthers { mode: 0o777, .. }));
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("mode 0777"), "{error}");
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path()).unwrap();
    if std::os::unix::fs::chown(rig.path(), Some(12_345), None).is_err() {
        println!("skipped: only root can give a directory away");
        return;
    }
    let error = try_open(&rig).unwrap_err();
    assert!(matches!(error, CacheError::NotOwner { owner: 12_345, .. }));
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("belongs to user 12345"), "{error}");
}

#[test]
fn a_directory_with_something_else_in_it_is_no_cache() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path()).unwrap();
    std::fs::create_dir(rig.path().join("lost+found")).unwrap();
    std::fs::write(rig.path().join("thesis.tex"), "years of work").unwrap();
    let error = try_open(&rig).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("'thesis.tex'"), "{error}");
    std::fs::remove_file(rig.path().join("thesis.tex")).unwrap();
    try_open(&rig).unwrap();
}

#[test]
fn another_format_is_refused_with_a_way_out() {
    let rig = Rig::new();
    drop(try_open(&rig).unwrap());
    std::fs::write(rig.path().join("FORMAT"), "forebay cache 2\n").unwrap();
    let error = try_open(&rig).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(
        text.contains("'forebay cache 2'") && text.contains("remove the directory"),
        "{text}"
    );
}

#[test]
fn a_path_that_is_no_directory_is_an_error() {
    let rig = Rig::new();
    std::fs::write(rig.path(), "").unwrap();
    let error = try_open(&rig).unwrap_err();
    assert!(matches!(error, CacheError::Io { .. }), "{error}");
}

#[test]
fn the_directory_itself_may_be_a_symlink() {
    let rig = Rig::new();
    let real = rig.dir.path().join("on/a/larger/disk");
    std::fs::create_dir_all(&real).unwrap();
    symlink(&real, rig.path()).unwrap();
    let cache = rig.open(MIB);
    assert_eq!(store_all(&cache, &id("a", 1, 10)), Stored::Written);
    assert!(real.join("objects").is_dir());
}

#[test]
fn symlinks_below_it_are_not_followed() {
    let rig = Rig::new();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, vec![b'x'; 9000]).unwrap();
    let object = id("linked", 1, 100);
    store_all(&rig.open(MIB), &object);
    let map = rig.maps().remove(0);

    // The map, then its directory, then all of them.
    std::fs::remove_file(&map).unwrap();
    symlink(&victim, &map).unwrap();
    let cache = rig.open(MIB);
    assert_eq!(cache.lookup(&object.origin, &object.key), None);
    assert_eq!(store_all(&cache, &object), Stored::Written);
    assert_eq!(read_all(&cache, &object), 100);
    drop(cache);

    let shard = map.parent().unwrap();
    std::fs::remove_dir_all(shard).unwrap();
    symlink(outside.path(), shard).unwrap();
    let cache = rig.open(MIB);
    assert_eq!(cache.lookup(&object.origin, &object.key), None);
    assert_eq!(store_all(&cache, &object), Stored::Dropped);
    drop(cache);

    std::fs::remove_dir_all(rig.path().join("objects")).unwrap();
    symlink(outside.path(), rig.path().join("objects")).unwrap();
    assert!(try_open(&rig).is_err());
    assert_eq!(std::fs::read(&victim).unwrap(), vec![b'x'; 9000]);
    assert_eq!(outside.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_directory_that_cannot_be_written_is_no_cache_and_no_error() {
    let rig = Rig::new();
    let object = id("kept", 1, MIB);
    store_all(&rig.open(10 * MIB), &object);
    let cache = rig.open(10 * MIB);
    // In the place where a new shard would be made.
    let shards: Vec<String> = (0..=255u8).map(|shard| format!("{shard:02x}")).collect();
    for shard in shards {
        let path = rig.path().join("objects").join(shard);
        if !path.exists() {
            std::fs::write(path, "").unwrap();
        }
    }
    let mut dropped = 0;
    for n in 0..20 {
        dropped += u64::from(store_all(&cache, &id("new", n, 10)) == Stored::Dropped);
    }
    assert!(dropped > 0);
    cache.flush();
    let stats = cache.stats();
    assert_eq!(stats.drops, dropped);
    assert!(stats.io_errors >= dropped);
    assert_eq!(read_all(&cache, &object), MIB);
}
