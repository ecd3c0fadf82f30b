//! What a large directory costs in memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use forebay_range::Target;
use forebay_testkit::within;
use forebay_types::{ManualClock, Version};
use forebay_vfs::{
    DirPath, Entry, FileMeta, Freshness, Ino, Kind, Namespace, Node, Tree, TreeOptions, VfsError,
};

/// Bytes allocated now.
static ALLOCATED: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

/// What the system's allocator takes for so many bytes: 8 of its own, in steps of 16.
fn taken(layout: Layout) -> i64 {
    (layout.size() as i64 + 8 + 15) / 16 * 16
}

// SAFETY: everything is the system's allocator's, which keeps the promises; counting changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(taken(layout), Relaxed);
        // SAFETY: the caller keeps the promises that the same call to the system's needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(taken(layout), Relaxed);
        // SAFETY: as above; it was allocated there.
        unsafe { System.dealloc(ptr, layout) }
    }
}

const FILES: u64 = 100_000;

/// One directory, as S3 would list it.
#[derive(Debug)]
struct Large;

#[async_trait]
impl Namespace for Large {
    async fn list(&self, _dir: &DirPath) -> Result<Vec<Entry>, VfsError> {
        let entry = |n: u64| Entry {
            name: format!("part-{n:06}.bin").into(),
            node: Node::File(FileMeta {
                size: n,
                modified: Duration::from_secs(n),
                version: Version::ETag(format!("\"{n:032x}\"").into()),
                executable: false,
            }),
        };
        Ok((0..FILES).map(entry).collect())
    }

    async fn look(&self, _dir: &DirPath, _name: &str, _was: Option<Kind>) -> Result<Option<Node>, VfsError> {
        Ok(None)
    }

    fn target(&self, _dir: &DirPath, _name: &str, _meta: &FileMeta) -> Target {
        panic!("nothing is opened")
    }

    fn freshness(&self) -> Freshness {
        Freshness::Ttl(Duration::from_secs(1))
    }
}

/// Bytes for each file.
fn per_file(since: i64) -> i64 {
    (ALLOCATED.load(Relaxed) - since) / FILES as i64
}

#[tokio::test]
async fn a_name_costs_some_two_hundred_bytes_and_comes_back() {
    let clock = ManualClock::default();
    let tree = Tree::new(Arc::new(Large), TreeOptions::default(), Arc::new(clock.clone()));
    let start = ALLOCATED.load(Relaxed);
    let mut snapshot = within(tree.read_dir(Ino::ROOT)).await.unwrap();
    let listed = per_file(start);
    println!("{listed} bytes for each file that is listed");
    assert!(listed <= 250, "{listed} bytes for each file that is listed");
    for index in 0..snapshot.len() {
        assert!(tree.refer(&snapshot, index).is_some());
    }
    let held = per_file(start);
    println!("{held} bytes for each file that the kernel holds too");
    assert!(held <= 320, "{held} bytes for each file that the kernel holds");
    // Listing it again adds nothing.
    for _ in 0..3 {
        clock.advance(Duration::from_secs(2));
        snapshot = within(tree.read_dir(Ino::ROOT)).await.unwrap();
        let again = per_file(start);
        assert!(
            again <= held + 1,
            "{again} bytes for each file after another listing"
        );
    }
    for entry in snapshot.iter_from(0) {
        tree.forget(entry.ino, 1);
    }
    drop((snapshot, tree));
    let left = per_file(start);
    assert!(left <= 1, "{left} bytes for each file are left");
}
