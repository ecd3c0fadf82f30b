//! What is in files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::{Place, errno};
use crate::maps::{change_mapped, read_mapped};
use crate::world::{MIB, noise};

pub(crate) fn files_are_written_and_cut(place: &impl Place) {
    let bytes = noise(1, 3 * MIB + 17);
    fs::write(place.at("file"), &bytes).unwrap();
    assert!(fs::read(place.real("file")).unwrap() == bytes);
    let mut file = OpenOptions::new().append(true).open(place.at("file")).unwrap();
    file.write_all(b"the end").unwrap();
    file.write_all(b", and more").unwrap();
    let mut all = bytes;
    all.extend_from_slice(b"the end, and more");
    assert!(fs::read(place.real("file")).unwrap() == all);
    // In the middle, and over the end with a hole before.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.at("file"))
        .unwrap();
    file.write_all_at(b"somewhere", 4095).unwrap();
    file.write_all_at(b"far", 4 * MIB).unwrap();
    all[4095..4104].copy_from_slice(b"somewhere");
    all.resize(4 * MIB as usize, 0);
    all.extend_from_slice(b"far");
    assert!(fs::read(place.at("file")).unwrap() == all);
    place.is_the_same();
    file.set_len(1000).unwrap();
    assert!(fs::read(place.at("file")).unwrap() == all[..1000]);
    // By its name, and longer.
    let path = place.at("file");
    rustix::fs::ftruncate(OpenOptions::new().write(true).open(&path).unwrap(), 5000).unwrap();
    all.truncate(1000);
    all.resize(5000, 0);
    assert!(fs::read(place.at("file")).unwrap() == all);
    place.is_the_same();
    // It was there, so it is emptied; or refused.
    File::create(&path).unwrap().write_all(b"new").unwrap();
    assert_eq!(fs::read(place.real("file")).unwrap(), b"new");
    assert_eq!(errno(File::create_new(&path)), Some(libc::EEXIST));
    File::create_new(place.at("other")).unwrap();
    place.is_the_same();
}

pub(crate) fn room_is_taken_and_given_back(place: &impl Place) {
    let open = |path| OpenOptions::new().read(true).write(true).open(path).unwrap();
    fs::write(place.at("file"), noise(4, MIB)).unwrap();
    let (file, real) = (open(place.at("file")), open(place.real("file")));
    rustix::fs::fallocate(&file, FallocateFlags::empty(), MIB, MIB).unwrap();
    assert_eq!(file.metadata().unwrap().size(), 2 * MIB);
    rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 2 * MIB, MIB).unwrap();
    assert_eq!(file.metadata().unwrap().size(), 2 * MIB);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, 256 << 10, 128 << 10).unwrap();
    let bytes = fs::read(place.at("file")).unwrap();
    assert!(bytes[256 << 10..384 << 10].iter().all(|byte| *byte == 0));
    assert!(bytes[..256 << 10] == noise(4, MIB)[..256 << 10]);
    place.is_the_same();
    file.sync_all().unwrap();
    for from in [0, 1, 256 << 10, 300 << 10, 400 << 10, MIB, 2 * MIB - 1] {
        use rustix::fs::SeekFrom::{Data, Hole};
        for to in [Data(from), Hole(from)] {
            assert_eq!(rustix::fs::seek(&file, to), rustix::fs::seek(&real, to), "{to:?}");
        }
    }
    assert_eq!(
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(3 * MIB)),
        Err(Errno::NXIO)
    );
}

pub(crate) fn locks_stay_with_the_kernel(place: &impl Place) {
    let first = File::create(place.at("file")).unwrap();
    let second = File::open(place.at("file")).unwrap();
    first.lock().unwrap();
    assert!(second.try_lock_shared().is_err());
    drop(first);
    second.try_lock_shared().unwrap();
}

pub(crate) fn programs_with_pages_of_their_own_write_past_ours(place: &impl Place) {
    let direct = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DIRECT);
        options
    };
    fs::write(place.at("file"), noise(7, 3 * 4096 + 5)).unwrap();
    let file = direct().open(place.at("file")).unwrap();
    // Not aligned: nothing is asked of the disk below that it would refuse.
    file.write_all_at(b"direct", 4090).unwrap();
    let mut bytes = [0; 10];
    file.read_exact_at(&mut bytes, 4088).unwrap();
    assert_eq!(&bytes[2..8], b"direct");
    place.is_the_same();
}

pub(crate) fn mappings_are_written_back(place: &impl Place) {
    let mut bytes = noise(6, MIB + 100);
    fs::write(place.at("file"), &bytes).unwrap();
    // Its pages are written through whichever handle there is: also one that appends.
    let appending = OpenOptions::new().append(true).open(place.at("file")).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.at("file"))
        .unwrap();
    change_mapped(&file, 8192, 10_000, b'x');
    bytes[8192..18_192].fill(b'x');
    assert!(fs::read(place.real("file")).unwrap() == bytes);
    file.write_all_at(b"written", 8200).unwrap();
    bytes[8200..8207].copy_from_slice(b"written");
    assert!(read_mapped(&file, 4096, 16 << 10) == bytes[4096..][..16 << 10]);
    drop((file, appending));
    place.is_the_same();
}
