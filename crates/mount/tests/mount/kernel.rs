//! Mounting and unmounting, and what the kernel is told.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use forebay_vfs::Freshness;

use crate::world::{Mounted, Setup, World, local, noise};

/// Tries until it is so; the kernel is told by a thread of its own.
fn soon(what: impl Fn() -> bool) -> bool {
    (0..500).any(|_| {
        let is = what();
        if !is {
            std::thread::sleep(Duration::from_millis(10));
        }
        is
    })
}

#[test]
fn an_unmounted_tree_is_gone_and_its_threads_end() {
    let world = World::new();
    world.put("file", "content");
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    assert!(mounted.at("file").exists());
    let listed = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = listed
        .lines()
        .find(|line| line.contains(&*mounted.path().to_string_lossy()));
    let line = line.expect("it is in the list of mounts");
    assert!(
        line.contains("nosuid") && line.contains("nodev") && line.contains(" ro"),
        "{line}"
    );
    mounted.mount.unmount().unwrap();
    mounted.mount.wait().unwrap();
    assert!(!mounted.at("file").exists());
}

#[test]
fn the_kernel_reads_ahead_as_far_as_it_is_told() {
    let world = World::new();
    world.put("file", "content");
    let mut setup = Setup::default();
    setup.options.max_readahead = 512 << 10;
    let Some(mounted) = world.mount(setup) else { return };
    let device = rustix::fs::stat(mounted.path()).unwrap().st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let setting = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    let told = fs::read_to_string(&setting).unwrap();
    if fs::OpenOptions::new().write(true).open(&setting).is_ok() {
        assert_eq!(told.trim(), "512");
    }
}

#[test]
fn a_replaced_object_is_seen_after_its_time() {
    let world = World::new();
    world.put("file", "first");
    let setup = Setup {
        freshness: Freshness::Ttl(Duration::from_millis(50)),
        ..Setup::default()
    };
    let Some(mounted) = world.mount(setup) else { return };
    assert_eq!(fs::read_to_string(mounted.at("file")).unwrap(), "first");
    world.put("file", "the second, which is longer");
    assert!(soon(|| {
        fs::read_to_string(mounted.at("file")).is_ok_and(|text| text == "the second, which is longer")
    }));
    assert!(world.lab.objects().delete("bucket", "file"));
    assert!(soon(|| !mounted.at("file").exists()));
}

#[test]
fn a_reader_of_an_old_version_never_gets_bytes_of_the_new_one() {
    let world = World::new();
    let (first, second) = (noise(1, 3 << 20), noise(2, 3 << 20));
    world.put("file", first.clone());
    let mut setup = Setup {
        freshness: Freshness::Ttl(Duration::from_millis(20)),
        ..Setup::default()
    };
    setup.options.passthrough = false;
    let Some(mounted) = world.mount(setup) else { return };
    for round in 0..20 {
        let (old, new) = if round % 2 == 0 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        let reading = fs::File::open(mounted.at("file")).unwrap();
        let mut bytes = vec![0; 4096];
        reading.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == old[..4096], "round {round}");
        world.put("file", new.clone());
        assert!(
            soon(|| fs::read(mounted.at("file")).is_ok_and(|bytes| bytes == *new)),
            "round {round}"
        );
        // What was read before may still be seen; what was not is old, or an error.
        for at in (0..3 << 20).step_by(300_007) {
            match reading.read_exact_at(&mut bytes, at) {
                Ok(()) => {
                    let at = at as usize;
                    assert!(
                        bytes == old[at..at + 4096] || bytes == new[at..at + 4096],
                        "round {round} at {at}: mixed"
                    );
                }
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "{error}"),
            }
        }
        drop(reading);
        // And who opens it now gets the new one alone.
        assert!(fs::read(mounted.at("file")).unwrap() == *new, "round {round}");
    }
}

#[test]
fn what_the_kernel_reads_by_itself_stays_what_it_was() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "the first content").unwrap();
    let setup = Setup {
        freshness: Freshness::Ttl(Duration::from_millis(20)),
        ..Setup::default()
    };
    let Some(mounted) = Mounted::new(local(dir.path()), setup) else {
        return;
    };
    let old = fs::File::open(mounted.at("file")).unwrap();
    if mounted.mount.stats().handed_over == 0 {
        eprintln!("not run: files cannot be handed to the kernel here");
        return;
    }
    // Replaced, not written to.
    fs::write(dir.path().join("next"), "another one, and longer").unwrap();
    fs::rename(dir.path().join("next"), &file).unwrap();
    // Who opens it now gets the new one, beside the old.
    let is_new = || fs::read(mounted.at("file")).is_ok_and(|bytes| bytes == b"another one, and longer");
    assert!(soon(is_new));
    let mut bytes = [0; 17];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"the first content");
    assert!(is_new());
    drop(old);
    assert!(is_new());
}

#[test]
fn extended_attributes_tell_the_version() {
    let world = World::new();
    world.put("file", "content");
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let mut value = [0; 256];
    let len = rustix::fs::getxattr(mounted.at("file"), "user.forebay.etag", &mut value[..]).unwrap();
    assert!(
        len > 2 && value[0] == b'"',
        "{:?}",
        std::str::from_utf8(&value[..len])
    );
    let cached = || {
        let mut value = [0; 16];
        let len = rustix::fs::getxattr(mounted.at("file"), "user.forebay.cached", &mut value[..]).unwrap();
        std::str::from_utf8(&value[..len]).unwrap().to_owned()
    };
    assert_eq!(cached(), "0");
    assert_eq!(fs::read_to_string(mounted.at("file")).unwrap(), "content");
    mounted.block_on(mounted.reader.flush());
    assert_eq!(cached(), "100");
    let missing = rustix::fs::getxattr(mounted.at("file"), "user.other", &mut value[..]);
    assert_eq!(missing, Err(rustix::io::Errno::NODATA));
}
