//! What is below, changed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

use forebay_mount::{FileMode, IoMode};
use rustix::io::Errno;

use super::{How, Overlaid, served};
use crate::maps::{change_mapped, read_mapped};
use crate::shared::Place;
use crate::world::{BUCKET, MIB, World, can_hand_over, noise, soon};

const SIZE: u64 = 3 * MIB + 77;

/// A bucket with these files, mounted.
fn over(names: &[&str], how: How) -> Option<(World, Overlaid)> {
    let world = World::new();
    for (seed, name) in names.iter().enumerate() {
        world.put(name, noise(seed as u64, SIZE));
    }
    let overlaid = Overlaid::new(world.source(), how)?;
    Some((world, overlaid))
}

fn to_write(overlaid: &Overlaid, name: &str) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(overlaid.at(name))
        .unwrap()
}

fn hows() -> [How; 3] {
    [How::default(), served(IoMode::Pages), served(IoMode::Direct)]
}

#[test]
fn files_are_changed_in_part() {
    for how in hows() {
        let Some((world, mut overlaid)) = over(&["dir/a", "dir/b"], how) else {
            return;
        };
        let mut bytes = noise(0, SIZE);
        {
            let file = to_write(&overlaid, "dir/a");
            for at in [0, 100_000, MIB - 3, SIZE - 5] {
                file.write_all_at(b"something", at).unwrap();
                let end = at as usize + 9;
                bytes.resize(bytes.len().max(end), 0);
                bytes[at as usize..end].copy_from_slice(b"something");
            }
        }
        // What is below stays.
        assert!(overlaid.source.is_torrents() || fs::read(overlaid.at("dir/b")).unwrap() == noise(1, SIZE));
        for _ in 0..2 {
            assert!(fs::read(overlaid.at("dir/a")).unwrap() == bytes);
            assert_eq!(
                fs::metadata(overlaid.at("dir/a")).unwrap().len(),
                bytes.len() as u64
            );
            assert!(fs::read(overlaid.at("dir/b")).unwrap() == noise(1, SIZE));
            overlaid.again();
        }
        // Cut, and longer again: nothing comes back.
        let file = to_write(&overlaid, "dir/b");
        file.set_len(MIB + 5).unwrap();
        file.set_len(2 * MIB).unwrap();
        let mut cut = noise(1, MIB + 5);
        cut.resize(2 * MIB as usize, 0);
        assert!(fs::read(overlaid.at("dir/b")).unwrap() == cut);
        drop(file);
        overlaid.again();
        assert!(fs::read(overlaid.at("dir/b")).unwrap() == cut);
        drop((overlaid, world));
    }
}

#[test]
fn directories_are_moved_with_all_that_is_in_them() {
    let Some((_world, mut overlaid)) = over(&["dir/a", "dir/sub/b", "other/c"], How::default()) else {
        return;
    };
    fs::rename(overlaid.at("dir"), overlaid.at("other/moved")).unwrap();
    fs::rename(overlaid.at("other"), overlaid.at("dir")).unwrap();
    for _ in 0..2 {
        for (name, seed) in [("dir/moved/a", 0), ("dir/moved/sub/b", 1), ("dir/c", 2)] {
            assert!(
                fs::read(overlaid.at(name)).unwrap() == noise(seed, SIZE),
                "{name}"
            );
        }
        assert!(!overlaid.at("other").exists());
        assert_eq!(fs::read_dir(overlaid.at("")).unwrap().count(), 1);
        overlaid.again();
    }
    fs::remove_dir_all(overlaid.at("dir")).unwrap();
    overlaid.again();
    assert_eq!(fs::read_dir(overlaid.at("")).unwrap().count(), 0);
}

#[test]
fn who_reads_sees_what_others_write() {
    for how in hows() {
        let Some((_world, overlaid)) = over(&["a", "b", "c"], how) else {
            return;
        };
        let sees = |file: &File, bytes: &[u8]| {
            let mut seen = vec![0; bytes.len() + 10];
            let mut at = 0;
            while at < seen.len() {
                match file.read_at(&mut seen[at..], at as u64).unwrap() {
                    0 => break,
                    len => at += len,
                }
            }
            assert!(seen[..at] == *bytes);
        };
        // In part.
        let reader = File::open(overlaid.at("a")).unwrap();
        let mut bytes = noise(0, SIZE);
        sees(&reader, &bytes);
        to_write(&overlaid, "a").write_all_at(b"changed", MIB).unwrap();
        bytes[MIB as usize..][..7].copy_from_slice(b"changed");
        sees(&reader, &bytes);
        // As a whole.
        let reader = File::open(overlaid.at("b")).unwrap();
        let mut one = [0];
        reader.read_exact_at(&mut one, 0).unwrap();
        fs::write(overlaid.at("b"), "all new").unwrap();
        sees(&reader, b"all new");
        // By a name that it does not have any more.
        let reader = File::open(overlaid.at("c")).unwrap();
        let writer = to_write(&overlaid, "c");
        fs::remove_file(overlaid.at("c")).unwrap();
        writer.write_all_at(b"gone", 0).unwrap();
        let mut bytes = noise(2, SIZE);
        bytes[..4].copy_from_slice(b"gone");
        sees(&reader, &bytes);
        assert_eq!(reader.metadata().unwrap().nlink(), 0);
    }
}

/// The kernel would not see what somebody writes later.
#[test]
fn what_is_below_is_never_the_kernels() {
    let Some((_world, overlaid)) = over(&["file"], How::default()) else {
        return;
    };
    let running = overlaid.running();
    for _ in 0..3 {
        assert!(fs::read(overlaid.at("file")).unwrap() == noise(0, SIZE));
        running.runtime.block_on(running.reader.flush());
    }
    let file = to_write(&overlaid, "file");
    assert_eq!(overlaid.mount().stats().handed_over, 0);
    file.set_len(0).unwrap();
    drop(file);
    // All of it is above now. While the one that was closed is not given back yet, which the kernel does when it likes, the file
    // stays with us.
    let is_handed_over = || {
        let _file = to_write(&overlaid, "file");
        overlaid.mount().stats().handed_over > 0
    };
    if can_hand_over() {
        assert!(soon(is_handed_over), "{:?}", overlaid.mount().stats());
    } else {
        assert!(!is_handed_over());
    }
}

#[test]
fn what_comes_and_goes_below_is_seen_where_nothing_is_above() {
    let Some((world, overlaid)) = over(&["dir/kept", "dir/changed", "dir/removed"], How::default()) else {
        return;
    };
    let names = || {
        let mut names: Vec<_> = fs::read_dir(overlaid.at("dir"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["changed", "kept", "removed"]);
    fs::remove_file(overlaid.at("dir/removed")).unwrap();
    fs::write(overlaid.at("dir/changed"), "above").unwrap();
    fs::write(overlaid.at("dir/mine"), "above").unwrap();
    for name in ["dir/new", "dir/kept", "dir/removed", "dir/changed", "dir/mine"] {
        world.put(name, noise(7, 1000));
    }
    assert!(
        soon(|| names() == ["changed", "kept", "mine", "new"]),
        "{:?}",
        names()
    );
    assert!(soon(
        || fs::read(overlaid.at("dir/kept")).is_ok_and(|bytes| bytes == noise(7, 1000))
    ));
    assert!(fs::read(overlaid.at("dir/new")).unwrap() == noise(7, 1000));
    for name in ["dir/changed", "dir/mine"] {
        assert_eq!(fs::read_to_string(overlaid.at(name)).unwrap(), "above");
    }
    assert!(!overlaid.at("dir/removed").exists());
    assert!(world.lab.objects().delete(BUCKET, "dir/new"));
    assert!(soon(|| names() == ["changed", "kept", "mine"]), "{:?}", names());
}

#[test]
fn what_is_removed_can_be_read_by_who_has_it_open() {
    let Some((_world, mut overlaid)) = over(&["dir/a", "b"], How::default()) else {
        return;
    };
    let reader = File::open(overlaid.at("dir/a")).unwrap();
    fs::remove_file(overlaid.at("dir/a")).unwrap();
    fs::rename(overlaid.at("b"), overlaid.at("dir/a")).unwrap();
    let mut bytes = vec![0; SIZE as usize];
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == noise(0, SIZE));
    assert_eq!(reader.metadata().unwrap().nlink(), 0);
    drop(reader);
    assert!(fs::read(overlaid.at("dir/a")).unwrap() == noise(1, SIZE));
    overlaid.again();
    assert!(fs::read(overlaid.at("dir/a")).unwrap() == noise(1, SIZE));
    assert_eq!(fs::read_dir(overlaid.at("")).unwrap().count(), 1);
}

#[test]
fn mappings_change_what_is_below() {
    for how in hows() {
        let Some((_world, mut overlaid)) = over(&["file"], how) else {
            return;
        };
        let mut bytes = noise(0, SIZE);
        let reader = File::open(overlaid.at("file")).unwrap();
        let file = to_write(&overlaid, "file");
        change_mapped(&file, MIB, 100_000, b'x');
        bytes[MIB as usize..][..100_000].fill(b'x');
        assert!(read_mapped(&reader, 0, SIZE as usize) == bytes);
        drop((file, reader));
        assert!(fs::read(overlaid.at("file")).unwrap() == bytes);
        overlaid.again();
        assert!(fs::read(overlaid.at("file")).unwrap() == bytes);
    }
}

#[test]
fn files_are_copied_from_below() {
    let Some((_world, overlaid)) = over(&["from"], How::default()) else {
        return;
    };
    let copy = |name: &str| {
        let from = File::open(overlaid.at("from")).unwrap();
        let to = File::create(overlaid.at(name)).unwrap();
        let (mut at, mut into) = (1000, 10);
        while at < SIZE {
            let copied =
                rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut into), MIB as usize)
                    .unwrap();
            assert!(copied > 0);
        }
        let mut expected = vec![0; 10];
        expected.extend_from_slice(&noise(0, SIZE)[1000..]);
        expected
    };
    let expected = copy("to");
    assert!(fs::read(overlaid.at("to")).unwrap() == expected);
    // Once more of it is above.
    to_write(&overlaid, "from")
        .write_all_at(&noise(0, SIZE)[..100], 0)
        .unwrap();
    assert!(fs::read(overlaid.at("from")).unwrap() == noise(0, SIZE));
    let expected = copy("again");
    assert!(fs::read(overlaid.at("again")).unwrap() == expected);
}

#[test]
fn nothing_below_has_a_hole() {
    use rustix::fs::SeekFrom::{Data, Hole};
    let Some((_world, overlaid)) = over(&["file"], How::default()) else {
        return;
    };
    let seek = |file: &File, to| rustix::fs::seek(file, to);
    let reader = File::open(overlaid.at("file")).unwrap();
    let is_full = || {
        for at in [0, 5, MIB, SIZE - 1] {
            assert_eq!(seek(&reader, Data(at)), Ok(at));
            assert_eq!(seek(&reader, Hole(at)), Ok(SIZE));
        }
        for to in [Data(SIZE), Hole(SIZE + 1)] {
            assert_eq!(seek(&reader, to), Err(Errno::NXIO));
        }
    };
    is_full();
    to_write(&overlaid, "file").write_all_at(b"x", 1).unwrap();
    is_full();
}

#[test]
fn what_a_file_tells_of_itself() {
    let Some((_world, overlaid)) = over(&["file", "other"], How::default()) else {
        return;
    };
    let get = |name: &str, what: &str| {
        let mut value = [0; 200];
        rustix::fs::getxattr(overlaid.at(name), what, &mut value).map(|len| value[..len].to_vec())
    };
    let list = |name: &str| {
        let mut names = [0; 500];
        let len = rustix::fs::listxattr(overlaid.at(name), &mut names).unwrap();
        String::from_utf8_lossy(&names[..len]).into_owned()
    };
    assert!(get("file", "user.forebay.etag").is_ok());
    assert_eq!(get("file", "user.forebay.cached"), Ok(b"0".to_vec()));
    assert!(list("file").contains("user.forebay.origin\0"));
    assert_eq!(get("file", "user.own"), Err(Errno::NODATA));
    assert_eq!(get("file", "security.selinux"), Err(Errno::OPNOTSUPP));
    let set = |what: &str| {
        rustix::fs::setxattr(
            overlaid.at("file"),
            what,
            b"value",
            rustix::fs::XattrFlags::empty(),
        )
    };
    assert_eq!(set("user.forebay.etag"), Err(Errno::PERM));
    set("user.own").unwrap();
    assert_eq!(get("file", "user.own"), Ok(b"value".to_vec()));
    assert_eq!(list("file"), "user.own\0");
    assert_eq!(get("file", "user.forebay.etag"), Err(Errno::NODATA));
    assert!(get("other", "user.forebay.etag").is_ok());
    // What is open is listed, above and below, by its present name.
    fs::rename(overlaid.at("other"), overlaid.at("another")).unwrap();
    let below = File::open(overlaid.at("another")).unwrap();
    let above = File::create(overlaid.at("new")).unwrap();
    let mut one = [0];
    below.read_exact_at(&mut one, 0).unwrap();
    let status = overlaid.mount().status();
    let mut paths: Vec<_> = status.files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!((status.open_files, paths), (2, vec!["another", "new"]));
    let of = |path: &str| status.files.iter().find(|file| file.path == path).unwrap();
    assert_eq!((of("another").size, of("another").mode), (SIZE, FileMode::Pages));
    assert!(of("another").served > 0);
    drop((below, above));
}

#[test]
fn what_is_brought_for_a_file_is_told_of_it() {
    // Each read is seen, and none is made that nobody asked for.
    let Some((_world, overlaid)) = over(&["dir/file"], served(IoMode::Direct)) else {
        return;
    };
    let below = File::open(overlaid.at("dir/file")).unwrap();
    let above = to_write(&overlaid, "dir/file");
    let files = || overlaid.mount().status().files;
    assert!(files().iter().all(|file| (file.fetched, file.requests) == (0, 0)));
    above.write_all_at(b"a part of a block", MIB + 1).unwrap();
    let mut bytes = vec![0; 300_000];
    above.read_exact_at(&mut bytes, 2 * MIB).unwrap();
    below.read_exact_at(&mut bytes, 2 * MIB).unwrap();
    for file in files() {
        assert!(file.fetched >= 300_000 && file.requests > 1, "{file:?}");
        assert!(file.reads > 0 && file.served >= 300_000, "{file:?}");
        let rates = (file.fetched_per_served, file.hit_rate);
        let rate = |part: u64, whole: u64| Some(part as f64 / whole as f64);
        assert_eq!(
            rates,
            (rate(file.fetched, file.served), rate(file.hits, file.reads))
        );
    }
    // It is in the total of the mount, too, once.
    let status = overlaid.mount().status();
    assert_eq!(status.reader.fetched, status.files[0].fetched);
    drop((below, above));
}
