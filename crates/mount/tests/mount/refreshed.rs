//! Names that come and go in the source without anybody looking, told to the kernel by asking the root anew.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use forebay_testkit::Content;
use forebay_vfs::Freshness;

use crate::world::{BUCKET, MIB, Setup, World, soon};

#[test]
fn the_kernel_hears_what_came_and_what_went() {
    let world = World::new();
    let content = Content::pattern(1, 3 * MIB);
    for name in ["film/part", "gone/part", "open"] {
        world.put(name, content.clone());
    }
    let setup = Setup {
        // Longer than the test: only who is told knows better.
        freshness: Freshness::Ttl(Duration::from_secs(3600)),
        ..Setup::default()
    };
    let Some(mounted) = world.mount(setup) else { return };
    let names = || {
        let entries = fs::read_dir(mounted.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["film", "gone", "open"]);
    let new = mounted.at("new/part");
    assert!(!new.exists());
    assert!(mounted.at("gone/part").exists());
    let open = File::open(mounted.at("open")).unwrap();
    let mut bytes = vec![0; MIB as usize];
    open.read_exact_at(&mut bytes, 0).unwrap();
    for name in ["gone/part", "open"] {
        assert!(world.lab.objects().delete(BUCKET, name));
    }
    world.put("new/part", content.clone());
    assert_eq!(names(), ["film", "gone", "open"], "it is believed");

    mounted.block_on(mounted.mount.tree().refresh_root()).unwrap();
    assert_eq!(names(), ["film", "new"]);
    // The kernel is told by a thread of its own.
    assert!(soon(
        || !mounted.at("gone").exists() && !mounted.at("open").exists()
    ));
    assert!(soon(
        || fs::read(&new).is_ok_and(|read| content.check(0, &read).is_ok())
    ));
    // Who has it open reads on what is here.
    open.read_exact_at(&mut bytes, 0).unwrap();
    content.check(0, &bytes).unwrap();
}

#[test]
fn of_sources_that_know_nothing_more_nothing_is_told() {
    let world = World::new();
    world.put("file", Content::pattern(1, MIB));
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let _open = [
        File::open(mounted.at("file")).unwrap(),
        File::open(mounted.at("file")).unwrap(),
    ];
    mounted.block_on(mounted.mount.refresh_facts());
    let status = mounted.mount.status();
    assert_eq!(status.files.len(), 2);
    assert!(
        status.files.iter().all(|file| file.torrent.is_none()),
        "{status:?}"
    );
}
