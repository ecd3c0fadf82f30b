//! Programs that map files.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use forebay_mount::IoMode;

use crate::maps::Map;
use crate::readers::{LEN, PAGE, in_every_way, rest};
use crate::world::{MIB, Setup, World, noise};

#[test]
fn maps_shared_and_private_whole_and_in_part() {
    let bytes = noise(12, LEN);
    in_every_way(&bytes, |path, way| {
        let file = File::open(path).unwrap();
        // From the end to the start first: the kernel cannot read ahead.
        let backwards = Map::new(&file, 0, bytes.len(), libc::MAP_SHARED);
        backwards.advise(libc::MADV_RANDOM);
        for at in (0..bytes.len()).step_by(PAGE * 7).rev() {
            assert_eq!(backwards[at], bytes[at], "{way} at {at}");
        }
        let ahead = Map::new(&file, 0, bytes.len(), libc::MAP_SHARED | libc::MAP_POPULATE);
        ahead.advise(libc::MADV_WILLNEED);
        let part = Map::new(&file, MIB, 2 * PAGE + 5, libc::MAP_SHARED);
        let mut own = Map::new(&file, 0, bytes.len(), libc::MAP_PRIVATE);
        drop(file);
        assert!(
            ahead[..] == bytes[..] && own[..] == bytes[..] && backwards[..] == bytes[..],
            "{way}"
        );
        assert!(part[..] == bytes[MIB as usize..][..2 * PAGE + 5], "{way}");
        // What one changes for himself nobody else sees.
        own.set(5000, !bytes[5000]);
        assert_eq!(own[5000], !bytes[5000]);
        assert_eq!(ahead[5000], bytes[5000], "{way}");
        assert!(fs::read(path).unwrap() == bytes, "{way}");
        // Behind the end of the file its last page is empty.
        let file = File::open(path).unwrap();
        let last = LEN as usize / PAGE * PAGE;
        let tail = Map::new(&file, last as u64, PAGE, libc::MAP_SHARED);
        assert_eq!(tail[..LEN as usize - last], bytes[last..], "{way}");
        assert!(tail[LEN as usize - last..].iter().all(|byte| *byte == 0), "{way}");
    });
}

#[test]
fn a_shared_map_cannot_be_written() {
    in_every_way(&noise(13, LEN), |path, way| {
        let file = File::open(path).unwrap();
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, which is not made.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                writable,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_eq!(map, libc::MAP_FAILED, "{way}");
        assert_eq!(
            io::Error::last_os_error().raw_os_error(),
            Some(libc::EACCES),
            "{way}"
        );
        // So that it was read in some way.
        assert_eq!(rest(&mut File::open(path).unwrap()).len(), LEN as usize);
    });
}

/// An object of two extents: smaller ones are only ever evicted whole.
const LARGE: u64 = 40 * MIB;

#[test]
fn a_map_outlives_its_file_the_mount_and_its_place_in_the_cache() {
    for (io, handed_over) in [
        (IoMode::Pages, false),
        (IoMode::Direct, false),
        (IoMode::Pages, true),
    ] {
        let world = World::new();
        let (first, second) = (noise(14, LARGE), noise(15, LARGE));
        world.put("first", first.clone());
        world.put("second", second.clone());
        let mut setup = Setup {
            // For one of them.
            cache_size: LARGE + 8 * MIB,
            ..Setup::default()
        };
        (setup.options.io, setup.options.passthrough) = (io, handed_over);
        let Some(mounted) = world.mount(setup) else { return };
        if handed_over && !mounted.hand_over("first") {
            eprintln!("not run: files cannot be handed to the kernel here");
            return;
        }
        let file = File::open(mounted.at("first")).unwrap();
        let map = Map::new(&file, 0, LARGE as usize, libc::MAP_SHARED);
        drop(file);
        let cache = mounted.reader.cache().unwrap();
        let evicted = cache.stats().evicted_bytes;
        // It must go for the other one, as far as it can.
        for _ in 0..2 {
            assert!(fs::read(mounted.at("second")).unwrap() == second);
            mounted.block_on(mounted.reader.flush());
        }
        let len = LARGE as usize;
        assert!(
            map[..len / 4] == first[..len / 4],
            "evicted: {io:?}, {handed_over}"
        );
        if handed_over {
            // A whole file, a part of one, or what would not fit.
            assert!(
                cache.stats().evicted_bytes > evicted || cache.stats().drops > 0,
                "{:?}",
                cache.stats()
            );
        }
        cache.clear().unwrap();
        assert!(
            map[len / 4..len / 2] == first[len / 4..len / 2],
            "cleared: {io:?}, {handed_over}"
        );
        mounted.mount.unmount().unwrap();
        assert!(!mounted.at("first").exists());
        assert!(
            map[len / 2..] == first[len / 2..],
            "unmounted: {io:?}, {handed_over}"
        );
        drop(map);
        // With the last that was open the session ends.
        mounted.mount.wait().unwrap();
    }
}

#[test]
fn a_file_that_becomes_complete_while_it_is_open_is_opened_and_mapped_again() {
    let bytes = noise(21, LEN);
    for (io, is_mapped) in [
        (IoMode::Pages, true),
        (IoMode::Pages, false),
        (IoMode::Direct, true),
        (IoMode::Direct, false),
    ] {
        let what = format!("{io:?}, mapped at first: {is_mapped}");
        let world = World::new();
        world.put("data", bytes.clone());
        let mut setup = Setup::default();
        setup.options.io = io;
        let Some(mounted) = world.mount(setup) else { return };
        let file = File::open(mounted.at("data")).unwrap();
        let map = is_mapped.then(|| Map::new(&file, 0, bytes.len(), libc::MAP_SHARED));
        assert!(map.is_none_or(|map| map[..] == bytes[..]), "{what}");
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes, "{what}");
        // The first open stays as it is; the kernel refuses to mix some ways of reading.
        let before = mounted.mount.stats().handed_over;
        let mut again = Vec::new();
        for _ in 0..40 {
            mounted.block_on(mounted.reader.flush());
            let other = File::open(mounted.at("data")).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(rest(&mut &other) == bytes, "{what}");
            again.push(other);
            if mounted.mount.stats().handed_over > before {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for file in again.iter().chain([&file]) {
            let map = Map::new(file, 0, bytes.len(), libc::MAP_SHARED);
            assert!(map[..] == bytes[..], "{what}");
        }
        drop((file, again));
        assert!(fs::read(mounted.at("data")).unwrap() == bytes, "{what}");
    }
}
