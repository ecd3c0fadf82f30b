//! Many threads at once, as the sessions of a mount.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use forebay_types::SystemClock;
use forebay_vfs::{Attr, Ino, Kind, Tree, TreeOptions};
use tokio::runtime::Handle;

use crate::world::{World, namespace};

const DIRS: u64 = 4;
const FILES: u64 = 30;

/// One session: asks for what is there, gives back what it was given. Answers with what it still holds.
fn session(tree: &Tree, runtime: &Handle, seed: u64, rounds: u32) -> HashMap<Ino, u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut held: HashMap<Ino, u64> = HashMap::new();
    for _ in 0..rounds {
        let lookup = |parent: Ino, name: &str| -> Option<Attr> {
            let known = tree.try_lookup(parent, OsStr::new(name));
            let known = known.unwrap_or_else(|| runtime.block_on(tree.lookup(parent, OsStr::new(name))));
            known.ok()
        };
        let Some(dir) = lookup(Ino::ROOT, &format!("dir-{}", random.u64(..DIRS))) else {
            continue;
        };
        *held.entry(dir.ino).or_default() += 1;
        assert_eq!(dir.kind, Kind::Dir);
        match random.u8(..4) {
            0 => {
                let known = tree.try_read_dir(dir.ino);
                let known = known.unwrap_or_else(|| runtime.block_on(tree.read_dir(dir.ino)));
                let Ok(snapshot) = known else { continue };
                for index in 0..snapshot.len() {
                    if let Some(attr) = tree.refer(&snapshot, index) {
                        *held.entry(attr.ino).or_default() += 1;
                    }
                }
            }
            1 => {
                if let Some(attr) = lookup(dir.ino, &format!("{:06}", random.u64(..FILES))) {
                    *held.entry(attr.ino).or_default() += 1;
                    assert_eq!(attr.kind, Kind::File);
                    // It may have gone since.
                    if let Ok(open) = tree.file(attr.ino) {
                        assert_eq!(open.attr.ino, attr.ino);
                    }
                    if random.bool() {
                        tree.changed(attr.ino);
                    }
                }
            }
            2 => {
                let some: Vec<Ino> = held.keys().copied().filter(|_| random.bool()).collect();
                for ino in some {
                    if let Some(count) = held.remove(&ino) {
                        tree.forget(ino, count);
                    }
                }
            }
            _ => {
                for ino in held.keys() {
                    if let Some(Ok(attr)) = tree.try_attr(*ino) {
                        assert_eq!(attr.ino, *ino);
                    }
                }
            }
        }
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_side_by_side_leave_nothing_behind() {
    for max_entries in [20, 1_000_000] {
        let world = World::new();
        for dir in 0..DIRS {
            world.put_many(&format!("dir-{dir}/"), FILES);
        }
        let options = TreeOptions {
            ttl: Some(Duration::from_millis(3)),
            max_entries,
            ..TreeOptions::default()
        };
        let tree = Tree::new(
            Arc::new(namespace(world.source(""))),
            options,
            Arc::new(SystemClock::new()),
        );
        let mut changes = tree.changes();
        let runtime = Handle::current();
        let over = AtomicBool::new(false);
        let held: Vec<HashMap<Ino, u64>> = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let sessions: Vec<_> = (0..6)
                    .map(|seed| {
                        scope.spawn({
                            let (tree, runtime) = (&tree, &runtime);
                            move || session(tree, runtime, seed, 150)
                        })
                    })
                    .collect();
                // Meanwhile things come and go.
                let (world, over) = (&world, &over);
                let changer = scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(99);
                    while !over.load(SeqCst) {
                        let key = format!("dir-{}/{:06}", random.u64(..DIRS), random.u64(..FILES));
                        match random.bool() {
                            true => world.put(&key, "other"),
                            false => drop(world.lab.objects().delete(crate::world::BUCKET, &key)),
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
                let held = sessions
                    .into_iter()
                    .map(|session| session.join().unwrap())
                    .collect();
                over.store(true, SeqCst);
                changer.join().unwrap();
                held
            })
        });
        while changes.try_recv().is_some() {}
        for (ino, count) in held.into_iter().flatten() {
            tree.forget(ino, count);
        }
        let stats = tree.stats();
        assert_eq!(stats.nodes, 1, "{stats:?}");
        assert!(stats.hits > 0 && stats.lists > 0 && stats.looks > 0, "{stats:?}");
        if max_entries == 20 {
            assert!(stats.evicted > 0, "{stats:?}");
            // The last listing, and a little for each directory.
            assert!(stats.cached <= FILES + 40, "{stats:?}");
        }
    }
}
