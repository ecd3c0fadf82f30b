//! Files that are opened, and who has them.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use forebay_mount::{FileMode, IoMode};

use super::{How, Overlaid, served};
use crate::maps::{change_mapped, read_mapped};
use crate::shared::{Place, errno};
use crate::world::{MIB, can_hand_over, noise, soon};

#[test]
fn new_files_are_the_kernels() {
    if !can_hand_over() {
        return;
    }
    let Some(overlaid) = Overlaid::empty(How::default()) else {
        return;
    };
    let mut bytes = noise(1, MIB + 5);
    fs::write(overlaid.at("file"), &bytes).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(overlaid.at("file"))
        .unwrap();
    let status = overlaid.mount().status();
    assert_eq!(status.files[0].mode, FileMode::Passthrough);
    change_mapped(&file, 4096, 8192, b'm');
    bytes[4096..][..8192].fill(b'm');
    file.write_all_at(b"far", 2 * MIB).unwrap();
    bytes.resize(2 * MIB as usize, 0);
    bytes.extend_from_slice(b"far");
    assert!(read_mapped(&file, 0, bytes.len()) == bytes);
    assert!(fs::read(overlaid.at("file")).unwrap() == bytes);
    assert_eq!(file.metadata().unwrap().size(), bytes.len() as u64);
    drop(file);
    let stats = overlaid.mount().stats();
    assert_eq!((stats.reads, stats.writes), (0, 0));
    assert_eq!(stats.opens, stats.passthrough_opens);
    assert!(stats.handed_over >= 2);
    assert!(soon(|| overlaid.mount().stats().handed_over_now == 0));
    overlaid.stays();
}

#[test]
fn files_that_are_served_keep_their_pages() {
    let Some(overlaid) = Overlaid::empty(served(IoMode::Pages)) else {
        return;
    };
    fs::write(overlaid.at("file"), noise(1, MIB)).unwrap();
    assert!(overlaid.mount().stats().writes > 0);
    assert_eq!(overlaid.mount().stats().written, MIB);
    for _ in 0..3 {
        assert!(fs::read(overlaid.at("file")).unwrap() == noise(1, MIB));
    }
    let reads = overlaid.mount().stats().reads;
    let file = OpenOptions::new().write(true).open(overlaid.at("file")).unwrap();
    file.write_all_at(&noise(2, MIB), 0).unwrap();
    drop(file);
    assert!(fs::read(overlaid.at("file")).unwrap() == noise(2, MIB));
    assert_eq!(overlaid.mount().stats().reads, reads, "the pages were good");
}

#[test]
fn one_of_many_makes_a_file() {
    let Some(overlaid) = Overlaid::empty(How::default()) else {
        return;
    };
    for round in 0..40 {
        let path = overlaid.at(&format!("file{round}"));
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match File::create_new(&path) {
                    Ok(file) => {
                        made.fetch_add(1, Relaxed);
                        file.write_all_at(b"mine", 0).unwrap();
                    }
                    error => assert_eq!(errno(error), Some(libc::EEXIST)),
                });
            }
        });
        assert_eq!(made.load(Relaxed), 1);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        // Without the demand that it be new everybody gets one and the same.
        let path = overlaid.at(&format!("shared{round}"));
        std::thread::scope(|scope| {
            for at in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let file = OpenOptions::new()
                        .create(true)
                        .truncate(false)
                        .write(true)
                        .open(path);
                    file.unwrap().write_all_at(b"x", at).unwrap();
                });
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"xxxxxxxx");
    }
    overlaid.stays();
}

#[test]
fn names_that_are_read_anew_are_the_present_ones() {
    let Some(overlaid) = Overlaid::empty(How::default()) else {
        return;
    };
    fs::write(overlaid.at("one"), "").unwrap();
    let mut dir = rustix::fs::Dir::read_from(File::open(overlaid.at("")).unwrap()).unwrap();
    let names = |dir: &mut rustix::fs::Dir| {
        let mut names = Vec::new();
        while let Some(entry) = dir.read() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names
    };
    assert_eq!(names(&mut dir), ["one"]);
    fs::write(overlaid.at("two"), "").unwrap();
    fs::remove_file(overlaid.at("one")).unwrap();
    dir.rewind();
    assert_eq!(names(&mut dir), ["two"]);
}

#[test]
fn room_is_that_where_the_changes_are() {
    let Some(overlaid) = Overlaid::empty(How::default()) else {
        return;
    };
    let shown = rustix::fs::statvfs(overlaid.at("")).unwrap();
    let real = rustix::fs::statvfs(overlaid.overlay()).unwrap();
    assert_eq!(
        (shown.f_blocks, shown.f_files, shown.f_frsize, shown.f_namemax),
        (real.f_blocks, real.f_files, real.f_frsize, real.f_namemax)
    );
    assert!(real.f_blocks > 0);
    let file = File::create(overlaid.at("file")).unwrap();
    file.write_all_at(b"content", 0).unwrap();
    file.sync_all().unwrap();
    file.sync_data().unwrap();
    File::open(overlaid.at("")).unwrap().sync_all().unwrap();
}

#[test]
fn changes_are_made_durable_every_so_often() {
    for (every, is_done) in [
        (Duration::from_millis(20), true),
        (Duration::from_secs(3600), false),
    ] {
        let how = How {
            sync_interval: every,
            ..How::default()
        };
        let Some(overlaid) = Overlaid::empty(how) else {
            return;
        };
        let journal = || overlaid.running().merged.upper().stats().journal;
        let grows = |number: i32| {
            fs::create_dir(overlaid.at(&number.to_string())).unwrap();
            let before = journal();
            std::thread::sleep(Duration::from_millis(60));
            // A sync leaves a mark in it.
            journal() > before
        };
        assert_eq!((0..10).any(grows), is_done, "{every:?}");
    }
}
