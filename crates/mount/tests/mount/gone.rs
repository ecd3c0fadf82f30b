//! What is taken away while programs read: their place in the cache, the cache, its disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_testkit::Content;
use forebay_types::ByteRange;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::readers::directory;
use crate::world::{CacheAt, MIB, Setup, World, soon};

/// What a read may end in if its bytes are not to be had.
pub(crate) const EXCUSES: [i32; 3] = [libc::EIO, libc::ESTALE, libc::ETIMEDOUT];

/// Bytes of one read: few of them, since each that fails takes its time.
const PIECE: u64 = 1_100_000;

pub(crate) fn put(world: &World, name: &str, seed: u64, size: u64) -> Content {
    let content = Content::pattern(seed, size);
    world.put(name, content.clone());
    content
}

pub(crate) fn whole(content: &Content) -> bytes::Bytes {
    content.read(ByteRange::new(0, content.size()))
}

/// Reads all of an open file in pieces. Each is right, or an error with an excuse; how many were which.
pub(crate) fn right_or_excused(file: &File, content: &Content, what: &str) -> (u32, u32) {
    let (mut right, mut excused) = (0, 0);
    for at in (0..content.size()).step_by(PIECE as usize) {
        let mut bytes = vec![0; PIECE.min(content.size() - at) as usize];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => {
                content
                    .check(at, &bytes)
                    .unwrap_or_else(|wrong| panic!("{what}: {wrong:?}"));
                right += 1;
            }
            Err(error) => {
                let errno = error.raw_os_error();
                assert!(
                    errno.is_some_and(|errno| EXCUSES.contains(&errno)),
                    "{what} at {at}: {error}"
                );
                excused += 1;
            }
        }
    }
    (right, excused)
}

/// For tests of what goes wrong: soon given up.
pub(crate) fn impatient() -> Setup {
    let mut setup = Setup::default();
    setup.range.max_retries = 2;
    setup.range.retry_pause = Duration::from_millis(1);
    setup.range.stall_timeout = Duration::from_millis(300);
    setup.options.read_timeout = Duration::from_millis(1500);
    setup
}

#[test]
fn files_that_are_open_are_read_on_when_the_cache_has_no_room_for_them() {
    for passthrough in [false, true] {
        let world = World::new();
        let files: Vec<_> = (0..6)
            .map(|n| put(&world, &format!("f{n}"), n, 5 * MIB))
            .collect();
        let mut setup = Setup {
            cache_size: 12 * MIB,
            ..Setup::default()
        };
        setup.options.passthrough = passthrough;
        let Some(mounted) = world.mount(setup) else { return };
        let mut open = Vec::new();
        for (n, content) in files.iter().enumerate() {
            let name = format!("f{n}");
            if passthrough && n < 2 {
                mounted.hand_over(&name);
            }
            let file = File::open(mounted.at(&name)).unwrap();
            let mut start = vec![0; 100_000];
            file.read_exact_at(&mut start, 0).unwrap();
            content.check(0, &start).unwrap();
            open.push(file);
        }
        for _ in 0..2 {
            for (file, content) in open.iter().zip(&files) {
                assert_eq!(right_or_excused(file, content, "evicted").1, 0);
            }
            mounted.block_on(mounted.reader.flush());
        }
        let stats = mounted.reader.cache().unwrap().stats();
        assert!(
            stats.evictions + stats.drops > 0 && stats.current_size <= 13 * MIB,
            "{stats:?}"
        );
        assert_eq!(mounted.mount.stats().errors, 0);
    }
}

#[test]
fn a_cache_that_is_removed_takes_no_bytes_with_it() {
    for passthrough in [false, true] {
        let world = World::new();
        let (first, second) = (
            put(&world, "first", 1, 5 * MIB),
            put(&world, "second", 2, 5 * MIB),
        );
        let dir = directory();
        let cache = dir.path().join("cache");
        let mut setup = Setup {
            cache: CacheAt::In(cache.clone()),
            ..Setup::default()
        };
        setup.options.passthrough = passthrough;
        let Some(mounted) = world.mount(setup) else { return };
        if passthrough {
            mounted.hand_over("first");
        }
        let file = File::open(mounted.at("first")).unwrap();
        let mut bytes = vec![0; 100_000];
        file.read_exact_at(&mut bytes, MIB).unwrap();
        first.check(MIB, &bytes).unwrap();
        // Something may be written there meanwhile.
        assert!(soon(|| fs::remove_dir_all(&cache).is_ok()));
        for _ in 0..2 {
            assert_eq!(right_or_excused(&file, &first, "removed").1, 0);
            for (name, content) in [("first", &first), ("second", &second)] {
                assert!(fs::read(mounted.at(name)).unwrap() == whole(content), "{name}");
            }
            mounted.block_on(mounted.reader.flush());
        }
        assert_eq!(mounted.mount.stats().errors, 0);
    }
}

/// A disk of a few MiB.
pub(crate) struct Tiny(pub(crate) PathBuf);

impl Tiny {
    /// `None`: this process may not mount.
    pub(crate) fn new(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let data = std::ffi::CString::new(format!("size={size}")).unwrap();
        let mounted = rustix::mount::mount(c"tiny", at, c"tmpfs", MountFlags::empty(), data.as_c_str());
        mounted.ok().map(|()| Self(at.to_owned()))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_of_the_cache_fails_no_read() {
    let dir = directory();
    for passthrough in [false, true] {
        let world = World::new();
        let large = put(&world, "large", 1, 9 * MIB);
        let small: Vec<_> = (0..8)
            .map(|n| put(&world, &format!("s{n}"), n, 700_000))
            .collect();
        let Some(tiny) = Tiny::new(&dir.path().join("tiny"), "4m") else {
            eprintln!("not run: this process may not mount");
            return;
        };
        let mut setup = Setup {
            cache: CacheAt::In(tiny.0.join("cache")),
            ..Setup::default()
        };
        setup.options.passthrough = passthrough;
        let Some(mounted) = world.mount(setup) else { return };
        let file = File::open(mounted.at("large")).unwrap();
        for _ in 0..3 {
            assert_eq!(right_or_excused(&file, &large, "full").1, 0);
            for (n, content) in small.iter().enumerate() {
                let read = fs::read(mounted.at(&format!("s{n}"))).unwrap();
                assert!(read == whole(content), "s{n}");
            }
            mounted.block_on(mounted.reader.flush());
        }
        assert_eq!(mounted.mount.stats().errors, 0);
        drop((file, mounted));
    }
}

#[test]
fn a_cache_whose_disk_lies_is_not_believed() {
    let world = World::new();
    // So large that what is read ahead does not complete it: what is complete is believed.
    let content = put(&world, "file", 3, 512 * MIB);
    let dir = directory();
    let cache = dir.path().join("cache");
    let mount = || {
        let setup = Setup {
            cache: CacheAt::In(cache.clone()),
            memory: 8 * MIB,
            ..Setup::default()
        };
        world.mount(setup)
    };
    let Some(mounted) = mount() else { return };
    let mut bytes = vec![0; 3 << 20];
    let file = File::open(mounted.at("file")).unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();
    drop(file);
    mounted.block_on(mounted.reader.flush());
    mounted.mount.unmount().unwrap();
    mounted.mount.wait().unwrap();
    drop(mounted);
    let mut turned = 0;
    for shard in fs::read_dir(cache.join("objects")).unwrap() {
        for file in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some() {
                let file = File::options().read(true).write(true).open(path).unwrap();
                let mut byte = [0];
                for at in (0..3 * MIB).step_by(500_000) {
                    file.read_exact_at(&mut byte, at).unwrap();
                    file.write_all_at(&[!byte[0]], at).unwrap();
                    turned += 1;
                }
            }
        }
    }
    assert!(turned > 0);
    let Some(mounted) = mount() else { return };
    let file = File::open(mounted.at("file")).unwrap();
    for at in (0..6 * MIB).step_by(100_000) {
        file.read_exact_at(&mut bytes[..100_000], at).unwrap();
        content.check(at, &bytes[..100_000]).unwrap();
    }
    let stats = mounted.reader.cache().unwrap().stats();
    assert!(stats.corrupt > 0, "{stats:?}");
}
