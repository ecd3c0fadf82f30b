//! The ways in which programs read, each through the daemon and by the kernel itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use forebay_mount::IoMode;
use rustix::fs::Advice;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use tempfile::TempDir;

use crate::maps::Map;
use crate::world::{CacheAt, MIB, Mounted, Setup, World, can_hand_over, local, noise};

pub(crate) const LEN: u64 = 3 * MIB + 4097;
pub(crate) const PAGE: usize = 4096;

/// The same file, mounted in every way in which it can reach a program. By whom reads were answered is looked at, too.
pub(crate) fn in_every_way(bytes: &[u8], check: impl Fn(&Path, &str)) {
    by_everybody(bytes, |mounted, by_kernel| {
        let before = mounted.mount.stats();
        check(
            &mounted.at("data"),
            if by_kernel { "by the kernel" } else { "by us" },
        );
        let after = mounted.mount.stats();
        assert_eq!(after.reads > before.reads, !by_kernel, "{before:?} {after:?}");
    });
}

/// The same; whether it was given to the kernel is said.
fn by_everybody(bytes: &[u8], check: impl Fn(&Mounted, bool)) {
    let world = World::new();
    world.put("data", bytes.to_vec());
    let dir = directory();
    fs::write(dir.path().join("data"), bytes).unwrap();
    for (io, handed_over) in [
        (IoMode::Pages, false),
        (IoMode::Direct, false),
        (IoMode::Pages, true),
    ] {
        let setup = || {
            let mut setup = Setup::default();
            (setup.options.io, setup.options.passthrough) = (io, handed_over);
            setup
        };
        let uncached = Setup {
            cache: CacheAt::Nowhere,
            ..setup()
        };
        let mounts = [
            ("a bucket with a cache", Mounted::new(world.source(), setup())),
            ("a bucket", Mounted::new(world.source(), uncached)),
            ("a directory", Mounted::new(local(dir.path()), setup())),
        ];
        for (what, mounted) in mounts {
            let Some(mounted) = mounted else { return };
            let by_kernel = handed_over && what != "a bucket" && can_hand_over();
            if by_kernel {
                assert!(mounted.hand_over("data"), "{what}");
            }
            check(&mounted, by_kernel);
            assert_eq!(mounted.mount.stats().errors, 0, "{what}, {io:?}");
        }
    }
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// All of an open file, from where it stands.
pub(crate) fn rest(file: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn reads_of_any_length_at_any_place() {
    let bytes = noise(11, LEN);
    in_every_way(&bytes, |path, way| {
        let mut file = File::open(path).unwrap();
        let mut read = Vec::new();
        let mut piece = vec![0; 77_777];
        loop {
            let len = file.read(&mut piece).unwrap();
            if len == 0 {
                break;
            }
            read.extend_from_slice(&piece[..len]);
        }
        assert!(read == bytes, "{way}");
        // Two handles at once, one from the end.
        let other = File::open(path).unwrap();
        for step in (0..LEN).step_by(100_003) {
            for (file, at) in [(&file, step), (&other, LEN - 1 - step)] {
                for len in [0, 1, 4095, 4096, 70_000] {
                    let mut piece = vec![0; len];
                    let mut done = 0;
                    while let Ok(some @ 1..) = file.read_at(&mut piece[done..], at + done as u64) {
                        done += some;
                    }
                    let end = (at as usize + len).min(bytes.len());
                    assert!(piece[..done] == bytes[at as usize..end], "{way}: {len} at {at}");
                }
            }
        }
        let (mut one, mut two, mut three) = (vec![0; 5], vec![0; 100_000], vec![0; 1]);
        let mut pieces = [&mut one[..], &mut two, &mut three].map(IoSliceMut::new);
        let read = rustix::io::preadv(&file, &mut pieces, 12_345).unwrap();
        let all = [one, two, three].concat();
        assert!(all[..read] == bytes[12_345..12_345 + read], "{way}");
        assert_eq!(
            file.read_at(&mut piece, LEN).unwrap(),
            0,
            "{way}: nothing at the end"
        );
        assert_eq!(file.read_at(&mut piece, LEN + MIB).unwrap(), 0, "{way}");
    });
}

#[test]
fn bytes_go_from_file_to_file_without_a_program() {
    let bytes = noise(16, LEN);
    in_every_way(&bytes, |path, way| {
        let dir = directory();
        let copied = |how: &str| {
            let copy = dir.path().join("copy");
            assert!(fs::read(&copy).unwrap() == bytes, "{way}: {how}");
            fs::remove_file(copy).unwrap();
        };
        let make = || File::create_new(dir.path().join("copy")).unwrap();

        let (from, to) = (File::open(path).unwrap(), make());
        let mut at = 0;
        while rustix::fs::sendfile(&to, &from, Some(&mut at), 300_000).unwrap() > 0 {}
        copied("sendfile");

        let (from, to) = (File::open(path).unwrap(), make());
        let (drain, tap) = rustix::pipe::pipe().unwrap();
        loop {
            let flags = SpliceFlags::MOVE;
            let mut len = rustix::pipe::splice(&from, None, &tap, None, 60_000, flags).unwrap();
            if len == 0 {
                break;
            }
            while len > 0 {
                len -= rustix::pipe::splice(&drain, None, &to, None, len, flags).unwrap();
            }
        }
        copied("splice");

        // The kernel copies by itself only within one kind of file system.
        let (mut from, mut to) = (File::open(path).unwrap(), make());
        loop {
            match rustix::fs::copy_file_range(&from, None, &to, None, 1 << 20) {
                Ok(0) => break,
                Ok(_) => {}
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL) => {
                    io::copy(&mut from, &mut to).unwrap();
                    break;
                }
                Err(errno) => panic!("{way}: {errno}"),
            }
        }
        copied("copy_file_range");

        fs::copy(path, dir.path().join("copy")).unwrap();
        copied("what the standard library does");
    });
}

#[test]
fn readers_past_the_page_cache_get_the_bytes_or_are_told_that_they_cannot() {
    let bytes = noise(17, LEN);
    in_every_way(&bytes, |path, way| {
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(path)
        {
            Ok(file) => file,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{way}");
                assert!(fs::read(path).unwrap() == bytes);
                return;
            }
        };
        let memory = Map::new(&File::open("/dev/zero").unwrap(), 0, 2 << 20, libc::MAP_PRIVATE);
        // SAFETY: memory of our own, at the start of a page, that nobody else has.
        let buffer = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr().cast_mut(), memory.len()) };
        for (at, len) in [
            (0, PAGE),
            (PAGE, 64 * PAGE),
            (0, 2 << 20),
            (512 * PAGE, 300 * PAGE),
        ] {
            let read = file.read_at(&mut buffer[..len], at as u64).unwrap();
            let end = (at + read).min(bytes.len());
            assert!(
                read > 0 && buffer[..read] == bytes[at..end],
                "{way}: {len} at {at}"
            );
        }
        let mut at = 0;
        loop {
            // What is left at the end is less than was asked for.
            let read = file.read_at(&mut buffer[..256 * PAGE], at as u64).unwrap();
            assert!(buffer[..read] == bytes[at..at + read], "{way} at {at}");
            at += read;
            if read < 256 * PAGE {
                break;
            }
        }
        assert_eq!(at, bytes.len(), "{way}");
        // Neither offset nor length are multiples of anything.
        match file.read_at(&mut buffer[3..1003], 13) {
            Ok(read) => assert!(buffer[3..3 + read] == bytes[13..13 + read], "{way}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{way}"),
        }
        // And who reads through the page cache at the same time sees the same.
        assert!(fs::read(path).unwrap() == bytes, "{way}");
    });
}

#[test]
fn advice_is_taken_and_changes_no_bytes() {
    let bytes = noise(18, LEN);
    // The kernel reads ahead into its own page cache, be the file handed over or not.
    by_everybody(&bytes, |mounted, way| {
        let path = &mounted.at("data");
        for advice in [
            Advice::Sequential,
            Advice::Random,
            Advice::WillNeed,
            Advice::NoReuse,
            Advice::DontNeed,
            Advice::Normal,
        ] {
            let mut file = File::open(path).unwrap();
            rustix::fs::fadvise(&file, 0, None, advice).unwrap();
            assert!(rest(&mut file) == bytes, "by the kernel: {way}, {advice:?}");
            // What is in memory may go meanwhile.
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
        let mut file = File::open(path).unwrap();
        // SAFETY: a plain call with numbers.
        let ahead = unsafe { libc::readahead(file.as_raw_fd(), 0, bytes.len()) };
        if ahead < 0 {
            let error = io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "by the kernel: {way}");
        }
        assert!(rest(&mut file) == bytes, "by the kernel: {way}");
    });
}

#[test]
fn seeks_find_data_everywhere_and_the_end() {
    let bytes = noise(19, LEN);
    in_every_way(&bytes, |path, way| {
        use rustix::fs::SeekFrom::{Data, Hole};
        let mut file = File::open(path).unwrap();
        assert_eq!(rustix::fs::seek(&file, Data(0)), Ok(0), "{way}");
        assert_eq!(rustix::fs::seek(&file, Data(100_000)), Ok(100_000), "{way}");
        assert_eq!(rustix::fs::seek(&file, Hole(77)), Ok(LEN), "{way}");
        assert_eq!(rustix::fs::seek(&file, Data(LEN)), Err(Errno::NXIO), "{way}");
        assert_eq!(rustix::fs::seek(&file, Hole(LEN + 1)), Err(Errno::NXIO), "{way}");
        assert_eq!(file.seek(SeekFrom::End(-5)).unwrap(), LEN - 5, "{way}");
        assert_eq!(rest(&mut file), &bytes[bytes.len() - 5..], "{way}");
    });
}

#[test]
fn rings_of_requests_are_answered() {
    let bytes = noise(20, LEN);
    let Ok(mut ring) = io_uring::IoUring::new(32) else {
        eprintln!("not run: there is no io_uring here");
        return;
    };
    let ring = std::cell::RefCell::new(&mut ring);
    in_every_way(&bytes, |path, way| {
        let mut ring = ring.borrow_mut();
        let file = File::open(path).unwrap();
        let places: Vec<u64> = (0..32).map(|n| n * 99_991 % LEN).collect();
        let mut buffers = vec![vec![0; 65_000]; places.len()];
        for (number, (at, buffer)) in places.iter().zip(&mut buffers).enumerate() {
            let fd = io_uring::types::Fd(file.as_raw_fd());
            let read = io_uring::opcode::Read::new(fd, buffer.as_mut_ptr(), buffer.len() as u32);
            let entry = read.offset(*at).build().user_data(number as u64);
            // SAFETY: the buffers live until all answers have come, and nobody touches them before.
            unsafe { ring.submission().push(&entry).unwrap() };
        }
        ring.submit_and_wait(places.len()).unwrap();
        let answers: Vec<_> = ring.completion().collect();
        assert_eq!(answers.len(), places.len(), "{way}");
        for answer in answers {
            let number = answer.user_data() as usize;
            let len = usize::try_from(answer.result()).unwrap();
            let at = places[number] as usize;
            assert!(
                len > 0 && buffers[number][..len] == bytes[at..at + len],
                "{way} at {at}"
            );
        }
    });
}
