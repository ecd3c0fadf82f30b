//! Names and what is known of files.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, RenameFlags, XattrFlags};
use rustix::io::Errno;

use super::{Place, errno};
use crate::world::noise;

pub(crate) fn names_are_made_moved_and_taken_away(place: &impl Place) {
    let at = |name: &str| place.at(name);
    fs::create_dir(at("dir")).unwrap();
    assert_eq!(errno(fs::create_dir(at("dir"))), Some(libc::EEXIST));
    fs::write(at("dir/file"), "content").unwrap();
    symlink("dir/file", at("link")).unwrap();
    assert_eq!(fs::read_to_string(at("link")).unwrap(), "content");
    fs::hard_link(at("dir/file"), at("second")).unwrap();
    assert_eq!(fs::metadata(at("second")).unwrap().nlink(), 2);
    assert_eq!(
        fs::metadata(at("second")).unwrap().ino(),
        fs::metadata(at("dir/file")).unwrap().ino()
    );
    // A link to the link itself.
    rustix::fs::linkat(CWD, at("link"), CWD, at("link2"), AtFlags::empty()).unwrap();
    assert_eq!(fs::read_link(at("link2")).unwrap(), Path::new("dir/file"));
    place.is_the_same();
    assert_eq!(errno(fs::remove_dir(at("dir"))), Some(libc::ENOTEMPTY));
    fs::rename(at("dir"), at("moved")).unwrap();
    assert_eq!(fs::read_to_string(at("moved/file")).unwrap(), "content");
    assert_eq!(errno(fs::metadata(at("dir"))), Some(libc::ENOENT));
    fs::write(at("over"), "to be replaced").unwrap();
    fs::rename(at("second"), at("over")).unwrap();
    assert_eq!(fs::read_to_string(at("over")).unwrap(), "content");
    let rename = |from: &str, to: &str, how| rustix::fs::renameat_with(CWD, at(from), CWD, at(to), how);
    assert_eq!(
        rename("over", "moved/file", RenameFlags::NOREPLACE),
        Err(Errno::EXIST)
    );
    fs::write(at("one"), "1").unwrap();
    rename("one", "moved", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read_to_string(at("moved")).unwrap(), "1");
    assert_eq!(fs::read_to_string(at("one/file")).unwrap(), "content");
    place.is_the_same();
    for (name, kind, device) in [("fifo", FileType::Fifo, 0), ("socket", FileType::Socket, 0)] {
        rustix::fs::mknodat(CWD, at(name), kind, Mode::RUSR | Mode::WUSR, device).unwrap();
    }
    let null = rustix::fs::makedev(1, 3);
    let made = rustix::fs::mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::RUSR, null);
    assert!(matches!(made, Ok(()) | Err(Errno::PERM)), "{made:?}");
    place.is_the_same();
    fs::remove_file(at("one/file")).unwrap();
    fs::remove_dir(at("one")).unwrap();
    for name in ["link", "link2", "over", "moved", "fifo", "socket"] {
        fs::remove_file(at(name)).unwrap();
    }
    place.is_the_same();
}

pub(crate) fn what_is_unlinked_lives_as_long_as_it_is_open(place: &impl Place) {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(place.at("file"))
        .unwrap();
    file.write_all(b"before").unwrap();
    fs::remove_file(place.at("file")).unwrap();
    file.write_all(b" and after").unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    file.set_len(9).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before an");
    let meta = file.metadata().unwrap();
    assert_eq!((meta.nlink(), meta.size(), meta.mode()), (0, 9, 0o100_600));
    // Its name is somebody else's by now.
    fs::write(place.at("file"), "another").unwrap();
    assert_eq!(file.metadata().unwrap().size(), 9);
    drop(file);
    place.is_the_same();
}

pub(crate) fn attributes_are_set(place: &impl Place) {
    fs::write(place.at("file"), "content").unwrap();
    symlink("nowhere", place.at("link")).unwrap();
    fs::set_permissions(place.at("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    assert_eq!(fs::metadata(place.real("file")).unwrap().mode(), 0o104_751);
    let time = |seconds, nanos| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    };
    for (name, seconds) in [("file", 1_000_000_000), ("file", -86_400), ("link", 77)] {
        let times = rustix::fs::Timestamps {
            last_access: time(seconds, 123_456_789),
            last_modification: time(seconds + 1, 987_654_321),
        };
        rustix::fs::utimensat(CWD, place.at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let meta = fs::symlink_metadata(place.real(name)).unwrap();
        assert_eq!((meta.atime(), meta.atime_nsec()), (seconds, 123_456_789));
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (seconds + 1, 987_654_321));
        place.is_the_same();
    }
    // One of them alone, and the other to what the clock says.
    let times = rustix::fs::Timestamps {
        last_access: time(0, rustix::fs::UTIME_OMIT),
        last_modification: time(0, rustix::fs::UTIME_NOW),
    };
    let before = fs::metadata(place.real("file")).unwrap();
    rustix::fs::utimensat(CWD, place.at("file"), &times, AtFlags::empty()).unwrap();
    let after = fs::metadata(place.real("file")).unwrap();
    assert_eq!(before.atime(), after.atime());
    assert!(after.mtime() > 1_700_000_000);
    place.is_the_same();
}

pub(crate) fn extended_attributes_are_kept(place: &impl Place) {
    let (file, real) = (place.at("file"), place.real("file"));
    fs::write(&file, "content").unwrap();
    let set = |name: &str, value: &[u8], flags| rustix::fs::setxattr(&file, name, value, flags);
    if set("user.one", b"first", XattrFlags::empty()) == Err(Errno::OPNOTSUPP) {
        eprintln!("not run: the disk below has no extended attributes");
        return;
    }
    assert_eq!(set("user.one", b"x", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(set("user.two", b"x", XattrFlags::REPLACE), Err(Errno::NODATA));
    set("user.two", &noise(3, 1000), XattrFlags::CREATE).unwrap();
    set("user.empty", b"", XattrFlags::empty()).unwrap();
    let get = |path: &Path, name: &str| {
        let mut value = vec![0; 2000];
        rustix::fs::getxattr(path, name, &mut value[..]).map(|len| value[..len].to_vec())
    };
    for name in ["user.one", "user.two", "user.empty", "user.none"] {
        assert_eq!(get(&file, name), get(&real, name), "{name}");
    }
    assert_eq!(get(&file, "user.one").unwrap(), b"first");
    let mut short = [0; 3];
    assert_eq!(
        rustix::fs::getxattr(&file, "user.one", &mut short[..]),
        Err(Errno::RANGE)
    );
    assert_eq!(rustix::fs::getxattr_query(&file, "user.one"), Ok(5));
    let list = |path: &Path| {
        let mut names = vec![0; 2000];
        let len = rustix::fs::listxattr(path, &mut names[..]).unwrap();
        names[..len].to_vec()
    };
    assert_eq!(list(&file), list(&real));
    assert!(list(&file).starts_with(b"user."));
    rustix::fs::removexattr(&file, "user.one").unwrap();
    assert_eq!(get(&real, "user.one"), Err(Errno::NODATA));
    assert_eq!(rustix::fs::removexattr(&file, "user.one"), Err(Errno::NODATA));
}

pub(crate) fn large_directories_are_told_whole_and_once(place: &impl Place) {
    let names: Vec<String> = (0..3000)
        .map(|number| format!("{number}-{}", "n".repeat(number % 200)))
        .collect();
    for name in &names {
        fs::write(place.real(name), name).unwrap();
    }
    let mut expected = names;
    expected.sort();
    for _ in 0..2 {
        let listed = fs::read_dir(place.at("")).unwrap();
        let mut listed: Vec<String> = listed
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        listed.sort();
        assert!(listed == expected);
    }
    place.is_the_same();
    // While they are taken away.
    fs::remove_dir_all(place.at("")).unwrap_err();
    assert_eq!(fs::read_dir(place.real("")).unwrap().count(), 0);
}
