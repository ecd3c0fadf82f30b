//! A full disk: said with what is missing, and nothing stays behind. Needs a file system of its own, so root.

use std::path::{Path, PathBuf};
use std::process::Command;

use forebay_testkit::Content;

use crate::harness::{World, lab, names_in};

/// A file system of 1 MiB. Unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, and why on standard output, where nothing can be mounted.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(path);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self {
                path: path.to_owned(),
            }),
            Ok(output) => {
                println!(
                    "skipped: nothing can be mounted here: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: there is no mount: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

#[test]
fn get_onto_a_full_disk() {
    let lab = lab();
    lab.objects().put("box", "big", Content::pattern(1, 20 << 20));
    lab.objects()
        .put("box", "dir/one", Content::pattern(2, 600 << 10));
    lab.objects()
        .put("box", "dir/two", Content::pattern(3, 600 << 10));
    let world = World::with(&lab);
    let Some(disk) = SmallDisk::mount(&world.path("disk")) else {
        return;
    };
    let refused = world.run(&["get", "s3://box/big", "disk/big"]);
    refused.fails(
        1,
        &["disk/big", "20MiB", "make room, or choose another destination"],
    );
    assert!(names_in(&disk.path).is_empty(), "{:?}", names_in(&disk.path));
    // Room for one of the two.
    world
        .run(&["get", "s3://box/dir/", "disk/"])
        .fails(1, &["disk/", "make room"]);
    let left = names_in(&disk.path);
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}

#[test]
fn put_onto_a_full_disk() {
    let world = World::new();
    world.write("small", vec![7; 2 << 20]);
    world.write("large", vec![7; 20 << 20]);
    let Some(disk) = SmallDisk::mount(&world.path("disk")) else {
        return;
    };
    for name in ["small", "large"] {
        world
            .run(&["put", name, "disk/"])
            .fails(1, &["disk/", "make room"]);
        assert!(names_in(&disk.path).is_empty(), "{:?}", names_in(&disk.path));
    }
}

#[test]
fn standard_output_onto_a_full_disk() {
    let lab = lab();
    lab.objects().put("box", "big", Content::pattern(1, 4 << 20));
    let world = World::with(&lab);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    for args in [
        &["cat", "s3://box/big"][..],
        &["ls", "s3://box/"],
        &["config", "show"],
        &["doctor"],
    ] {
        let output = world
            .command(args)
            .stdout(full.try_clone().unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.contains("cannot write to standard output"),
            "{args:?}: {said}"
        );
    }
}
