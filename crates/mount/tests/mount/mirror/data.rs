//! What is in files, where a mirror has its own.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use forebay_mount::{IoMode, MirrorOptions};

use super::{Mirrored, doubting};
use crate::shared::{self, Place, on};
use crate::world::{MIB, noise};

on! { Mirrored::new(&doubting()); data::programs_with_pages_of_their_own_write_past_ours }
on! { Mirrored::new(&by(IoMode::Pages)); data::mappings_are_written_back }

#[test]
fn mappings_are_written_back_beside_direct_reads() {
    if let Some(mirror) = Mirrored::new(&by(IoMode::Direct)) {
        shared::data::mappings_are_written_back(&mirror);
    }
}

fn by(io: IoMode) -> MirrorOptions {
    let mut options = MirrorOptions::default();
    options.mount.io = io;
    options
}

#[test]
fn a_long_write_is_one_request() {
    let Some(mirror) = Mirrored::new(&MirrorOptions::default()) else {
        return;
    };
    let bytes = noise(2, MIB);
    let file = File::create(mirror.at("file")).unwrap();
    assert_eq!(file.write_at(&bytes, 0).unwrap(), bytes.len());
    assert_eq!(mirror.mount.stats().writes, 1);
    assert!(fs::read(mirror.real("file")).unwrap() == bytes);
}

#[test]
fn files_are_copied_below() {
    let Some(mirror) = Mirrored::new(&MirrorOptions::default()) else {
        return;
    };
    let bytes = noise(5, 2 * MIB);
    fs::write(mirror.at("from"), &bytes).unwrap();
    let from = File::open(mirror.at("from")).unwrap();
    let to = File::create(mirror.at("to")).unwrap();
    let before = mirror.mount.stats();
    let (mut at, mut into) = (1000, 10);
    let copied =
        rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut into), MIB as usize).unwrap();
    assert!(copied > 0);
    let after = mirror.mount.stats();
    assert_eq!((after.reads, after.writes), (before.reads, before.writes));
    let mut expected = vec![0; 10];
    expected.extend_from_slice(&bytes[1000..1000 + copied]);
    assert!(fs::read(mirror.at("to")).unwrap() == expected);
    mirror.is_the_same();
}

#[test]
fn what_is_synced_and_how_much_room_there_is_comes_from_below() {
    let Some(mirror) = Mirrored::new(&MirrorOptions::default()) else {
        return;
    };
    let file = File::create(mirror.at("file")).unwrap();
    file.write_at(b"content", 0).unwrap();
    let before = mirror.mount.stats().requests;
    file.sync_all().unwrap();
    file.sync_data().unwrap();
    File::open(mirror.at("")).unwrap().sync_all().unwrap();
    assert!(mirror.mount.stats().requests >= before + 3);
    let shown = rustix::fs::statvfs(mirror.at("file")).unwrap();
    let real = rustix::fs::statvfs(mirror.real("file")).unwrap();
    assert_eq!(
        (shown.f_blocks, shown.f_files, shown.f_frsize, shown.f_namemax),
        (real.f_blocks, real.f_files, real.f_frsize, real.f_namemax)
    );
    assert!(real.f_blocks > 0);
}
