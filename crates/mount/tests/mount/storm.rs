//! Many readers, little room, odd names.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::world::{MIB, Mounted, Setup, World, local, noise};

/// Numbers that look like chance and are the same each time.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn sixty_four_readers_with_a_cache_for_a_quarter_read_what_is_there() {
    let world = World::new();
    let files: Vec<Vec<u8>> = (0..8).map(|n| noise(n, 2 * MIB + n * 7777)).collect();
    for (n, bytes) in files.iter().enumerate() {
        world.put(&format!("f{n}"), bytes.clone());
    }
    let setup = Setup {
        cache_size: 4 * MIB,
        ..Setup::default()
    };
    let Some(mounted) = world.mount(setup) else { return };
    std::thread::scope(|scope| {
        for thread in 0..64u64 {
            let (mounted, files) = (&mounted, &files);
            scope.spawn(move || {
                let mut state = 88_172_645_463_325_252 ^ thread;
                for _ in 0..12 {
                    let n = next(&mut state) as usize % files.len();
                    let file = fs::File::open(mounted.at(&format!("f{n}"))).unwrap();
                    for _ in 0..3 {
                        let at = next(&mut state) as usize % files[n].len();
                        let len = (next(&mut state) as usize % 200_000).min(files[n].len() - at);
                        let mut bytes = vec![0; len];
                        file.read_exact_at(&mut bytes, at as u64).unwrap();
                        assert!(bytes == files[n][at..at + len], "f{n} at {at}");
                    }
                }
            });
        }
    });
    let stats = mounted.mount.stats();
    assert_eq!((stats.errors, stats.waiting), (0, 0), "{stats:?}");
}

/// The bytes of a file as a memory map shows them, after the file itself was closed.
fn mapped(path: &Path) -> Vec<u8> {
    let file = fs::File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    // SAFETY: a new mapping of a whole file, read once and taken away; nobody cuts the file short.
    unsafe {
        let map = libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(map, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        drop(file);
        let bytes = std::slice::from_raw_parts(map.cast::<u8>(), len).to_vec();
        libc::munmap(map, len);
        bytes
    }
}

#[test]
fn memory_maps_outlive_their_files_served_and_handed_over() {
    let world = World::new();
    let bytes = noise(5, 3 * MIB + 11);
    world.put("mapped", bytes.clone());
    for passthrough in [false, true] {
        let mut setup = Setup::default();
        setup.options.passthrough = passthrough;
        let Some(mounted) = world.mount(setup) else { return };
        for _ in 0..3 {
            assert!(
                mapped(&mounted.at("mapped")) == bytes,
                "passthrough: {passthrough}"
            );
            mounted.block_on(mounted.reader.flush());
        }
    }
}

/// All names below a directory, with what they are.
fn walk(dir: &Path, below: &str, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.insert(name.clone(), None);
            walk(&entry.path(), &name, found);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            assert_eq!(entry.metadata().unwrap().len(), bytes.len() as u64);
            found.insert(name, Some(bytes));
        }
    }
}

#[test]
fn a_tree_of_odd_names_is_the_same_mounted() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let longest = "n".repeat(255);
    let names = [
        "plain",
        "with space",
        "-dash",
        "ümläut",
        "日本",
        "a%2Fb",
        "a+b",
        ".hidden",
        "emoji🦀",
        "quote'\"",
        &longest,
        "back\\slash",
        "#hash?query",
        "~tilde",
    ];
    let mut state = 42;
    for above in ["", "dir", "dir/sub", "dir/sub/sub dir"] {
        fs::create_dir_all(dir.path().join(above)).unwrap();
        for name in names {
            let len = next(&mut state) % 5000;
            fs::write(dir.path().join(above).join(name), noise(len, len)).unwrap();
        }
    }
    let Some(mounted) = Mounted::new(local(dir.path()), Setup::default()) else {
        return;
    };
    let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
    walk(dir.path(), "", &mut expected);
    walk(&mounted.path(), "", &mut found);
    assert_eq!(
        expected.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>()
    );
    assert!(expected == found);
    // Names that differ by nothing but their case, or are a part of another, are not there.
    for missing in ["PLAIN", "plai", "plain2", "dir/none", "none/plain"] {
        assert!(!mounted.at(missing).exists(), "{missing}");
    }
}
