//! How a file is read that the kernel is not given, and what may follow on what.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use forebay_mount::IoMode;

use crate::readers::directory;
use crate::world::{MIB, Setup, World, can_hand_over, local, noise};

fn by(io: IoMode, passthrough: bool) -> Setup {
    let mut setup = Setup::default();
    (setup.options.io, setup.options.passthrough) = (io, passthrough);
    setup
}

fn read(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

#[test]
fn pages_stay_with_the_kernel_and_direct_reads_come_to_us_each_time() {
    let bytes = noise(1, 3 * MIB);
    let dir = directory();
    fs::write(dir.path().join("data"), &bytes).unwrap();
    for (io, again) in [(IoMode::Pages, false), (IoMode::Direct, true)] {
        let Some(mounted) = crate::world::Mounted::new(local(dir.path()), by(io, false)) else {
            return;
        };
        assert!(fs::read(mounted.at("data")).unwrap() == bytes);
        let before = mounted.mount.stats().reads;
        assert!(fs::read(mounted.at("data")).unwrap() == bytes);
        assert_eq!(mounted.mount.stats().reads > before, again, "{io:?}");
    }
}

/// The kernel would refuse a file beside pages (EIO), and a mapping beside a file (ENODEV).
#[test]
fn a_file_that_is_open_stays_as_it_is_read_until_nobody_has_it_open() {
    if !can_hand_over() {
        return;
    }
    let world = World::new();
    let bytes = noise(2, 5 * MIB);
    world.put("data", bytes.clone());
    for io in [IoMode::Direct, IoMode::Pages] {
        let Some(mounted) = world.mount(by(io, true)) else {
            return;
        };
        let first = File::open(mounted.at("data")).unwrap();
        assert!(read(&first, 0, bytes.len()) == bytes);
        mounted.block_on(mounted.reader.flush());
        let second = File::open(mounted.at("data")).unwrap();
        assert!(read(&second, MIB, 4096) == bytes[MIB as usize..][..4096]);
        assert_eq!(mounted.mount.stats().handed_over, 0, "{io:?}");
        drop((first, second));
        assert!(mounted.hand_over("data"), "{io:?}");
        assert_eq!(mounted.mount.stats().errors, 0, "{io:?}");
    }
}

#[test]
fn only_user_attributes_are_known_here() {
    let world = World::new();
    world.put("data", noise(3, 10));
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let get = |name: &str| {
        let mut value = [0; 100];
        rustix::fs::getxattr(mounted.at("data"), name, &mut value)
    };
    assert!(get("user.forebay.etag").is_ok());
    assert_eq!(get("user.other"), Err(rustix::io::Errno::NODATA));
    for name in ["security.selinux", "system.posix_acl_access"] {
        assert_eq!(get(name), Err(rustix::io::Errno::OPNOTSUPP), "{name}");
    }
}
