//! How a directory is mirrored, and that it can be told.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use forebay_mount::{MirrorMount, MirrorOptions};

use super::Mirrored;
use crate::maps::change_mapped;
use crate::shared::Place;
use crate::world::{MIB, can_hand_over, noise};

#[test]
fn names_and_attributes_are_believed_for_their_time() {
    for (valid, believed) in [(Duration::ZERO, false), (Duration::from_secs(3600), true)] {
        let options = MirrorOptions {
            valid,
            ..MirrorOptions::default()
        };
        let Some(mirror) = Mirrored::new(&options) else {
            return;
        };
        fs::write(mirror.at("file"), "content").unwrap();
        assert_eq!(fs::metadata(mirror.at("file")).unwrap().size(), 7);
        fs::write(mirror.real("file"), "longer content").unwrap();
        let size = fs::metadata(mirror.at("file")).unwrap().size();
        assert_eq!(size, if believed { 7 } else { 14 });
        fs::remove_file(mirror.real("file")).unwrap();
        assert_eq!(mirror.at("file").symlink_metadata().is_ok(), believed);
    }
}

#[test]
fn pages_are_kept_if_nobody_else_writes() {
    for keep_pages in [false, true] {
        let options = MirrorOptions {
            keep_pages,
            ..MirrorOptions::default()
        };
        let Some(mirror) = Mirrored::new(&options) else {
            return;
        };
        fs::write(mirror.real("file"), noise(8, MIB)).unwrap();
        assert!(fs::read(mirror.at("file")).unwrap() == noise(8, MIB));
        let before = mirror.mount.stats().reads;
        assert!(before > 0);
        assert!(fs::read(mirror.at("file")).unwrap() == noise(8, MIB));
        assert_eq!(mirror.mount.stats().reads == before, keep_pages);
    }
}

#[test]
fn files_can_be_handed_to_the_kernel() {
    if !can_hand_over() {
        return;
    }
    let mut options = MirrorOptions::default();
    options.mount.passthrough = true;
    let Some(mirror) = Mirrored::new(&options) else {
        return;
    };
    let mut bytes = noise(9, 2 * MIB);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mirror.at("file"))
        .unwrap();
    file.write_all(&bytes).unwrap();
    let second = OpenOptions::new().append(true).open(mirror.at("file")).unwrap();
    (&second).write_all(b"the end").unwrap();
    bytes.extend_from_slice(b"the end");
    change_mapped(&file, 4096, 5000, b'y');
    bytes[4096..9096].fill(b'y');
    assert!(fs::read(mirror.at("file")).unwrap() == bytes);
    assert!(fs::read(mirror.real("file")).unwrap() == bytes);
    file.set_len(100).unwrap();
    bytes.truncate(100);
    assert!(fs::read(mirror.at("file")).unwrap() == bytes);
    drop((file, second));
    mirror.is_the_same();
    let stats = mirror.mount.stats();
    assert_eq!((stats.reads, stats.writes), (0, 0));
    assert!(stats.handed_over >= 2);
}

#[test]
fn a_mirror_of_itself_is_refused() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::create_dir(dir.path().join("mnt")).unwrap();
    let refused = MirrorMount::start(dir.path(), &dir.path().join("mnt"), &MirrorOptions::default());
    let said = refused.expect_err("it would wait for itself").to_string();
    assert!(said.contains("take one outside"), "{said}");
}

#[test]
fn it_ends_when_it_is_unmounted() {
    let Some(mirror) = Mirrored::new(&MirrorOptions::default()) else {
        return;
    };
    fs::write(mirror.at("file"), "content").unwrap();
    let path = mirror.at("file");
    let Mirrored { mount, dir: _dir } = mirror;
    mount.unmount().unwrap();
    assert!(!path.exists());
}
