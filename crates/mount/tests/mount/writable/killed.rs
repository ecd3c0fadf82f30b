//! A mount that ends without a word.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use forebay_mount::IoMode;
use rustix::mount::{MountFlags, UnmountFlags};

use super::{How, Overlaid, served};
use crate::shared::Place;
use crate::world::{MIB, World, noise};

impl Overlaid {
    /// Ends the connection to the kernel, and what serves it, with nothing said to either, and mounts anew.
    fn kill(&mut self) {
        let device = fs::metadata(self.at("")).unwrap().dev();
        let running = self.running.take().unwrap();
        abort(rustix::fs::minor(device));
        running.runtime.shutdown_background();
        drop((running.mount, running.merged));
        assert!(self.start());
    }
}

/// Aborts the connection of a mounted file system.
fn abort(minor: u32) {
    let abort = |dir: &Path| fs::write(dir.join(minor.to_string()).join("abort"), "1");
    if abort(Path::new("/sys/fs/fuse/connections")).is_ok() {
        return;
    }
    // Where they are usually shown nothing is mounted; wherever it is, they are the same.
    let dir = tempfile::tempdir().unwrap();
    rustix::mount::mount(c"fusectl", dir.path(), c"fusectl", MountFlags::empty(), c"").unwrap();
    let written = abort(dir.path());
    rustix::mount::unmount(dir.path(), UnmountFlags::DETACH).unwrap();
    written.unwrap();
}

#[test]
fn all_that_was_answered_is_there() {
    for how in [How::default(), served(IoMode::Pages)] {
        let world = World::new();
        for (seed, name) in ["dir/a", "dir/b", "dir/c"].iter().enumerate() {
            world.put(name, noise(seed as u64, MIB));
        }
        let Some(mut overlaid) = Overlaid::new(world.source(), how) else {
            return;
        };
        for round in 0..4u64 {
            let at = |name: &str| overlaid.at(name);
            fs::create_dir(at(&format!("new{round}"))).unwrap();
            for number in 0..50 {
                fs::write(at(&format!("new{round}/{number}")), noise(number, 10_000)).unwrap();
            }
            fs::rename(at(&format!("new{round}")), at(&format!("moved{round}"))).unwrap();
            let file = OpenOptions::new().write(true).open(at("dir/a")).unwrap();
            file.write_all_at(&noise(round, 100), round * 200_000).unwrap();
            fs::write(at("dir/b"), format!("round {round}")).unwrap();
            let _ = fs::remove_file(at("dir/c"));
            // It has no name, and so it ends here.
            let gone = fs::File::create(at("gone")).unwrap();
            gone.write_all_at(b"nobody's", 0).unwrap();
            fs::remove_file(at("gone")).unwrap();
            overlaid.kill();
            drop((file, gone));
            let at = |name: &str| overlaid.at(name);
            let mut bytes = noise(0, MIB);
            for past in 0..=round {
                for number in 0..50 {
                    let name = format!("moved{past}/{number}");
                    assert!(fs::read(at(&name)).unwrap() == noise(number, 10_000), "{name}");
                }
                bytes[past as usize * 200_000..][..100].copy_from_slice(&noise(past, 100));
            }
            assert!(fs::read(at("dir/a")).unwrap() == bytes);
            assert_eq!(fs::read_to_string(at("dir/b")).unwrap(), format!("round {round}"));
            let mut names: Vec<_> = fs::read_dir(at("dir"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, ["a", "b"]);
            assert!(!at("gone").exists());
        }
    }
}
