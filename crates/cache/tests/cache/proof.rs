//! Contents whose bytes are known beforehand by a hash: kept when they are right, thrown away when they are not.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CachedObject, Proven, Stored};
use forebay_types::{BLOCK, ByteRange, Check, ObjectId, Proof};

use crate::rig::{MIB, Rig, content, files, flip, id, read, store, store_all};

/// Compares with the bytes themselves.
#[derive(Debug)]
struct Same(Vec<u8>);

struct Comparison {
    rest: Vec<u8>,
    right: bool,
}

impl Proof for Same {
    fn begin(&self) -> Box<dyn Check> {
        Box::new(Comparison {
            rest: self.0.clone(),
            right: true,
        })
    }
}

impl Check for Comparison {
    fn take(&mut self, bytes: &[u8]) {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => self.rest = rest.to_vec(),
            None => self.right = false,
        }
    }

    fn is_right(self: Box<Self>) -> bool {
        self.right && self.rest.is_empty()
    }
}

fn right(id: &ObjectId) -> Arc<dyn Proof> {
    Arc::new(Same(content(id).read(ByteRange::new(0, id.size)).to_vec()))
}

fn wrong(id: &ObjectId) -> Arc<dyn Proof> {
    let mut bytes = content(id).read(ByteRange::new(0, id.size)).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Arc::new(Same(bytes))
}

fn object(cache: &Cache, id: &ObjectId, proof: &Arc<dyn Proof>) -> Arc<CachedObject> {
    let object = cache.object(id);
    object.must_prove(proof);
    object
}

/// Sizes of an object in its map's file, and of one with a file of its own.
const SIZES: [u64; 2] = [1000, 3 * MIB + 5];

#[test]
fn what_is_right_is_kept_and_what_has_all_bytes_is_known_to_be() {
    let rig = Rig::new();
    for size in SIZES {
        let cache = rig.open(64 * MIB);
        let id = id("right", 1, size);
        let object = object(&cache, &id, &right(&id));
        assert_eq!(object.prove(), Proven::NotYet);
        let (first, rest) = ByteRange::new(0, size).split_at(BLOCK);
        store(&object, first);
        if !rest.is_empty() {
            assert_eq!(object.prove(), Proven::NotYet);
            store(&object, rest);
        }
        cache.flush();
        assert!(object.is_proven() && !object.is_refuted());
        assert_eq!(object.hand_out().is_some(), size > MIB);
        assert_eq!(object.prove(), Proven::Right);
        drop(object);
        drop(cache);
        // Another process: a seal tells it; what has none is checked again.
        let cache = rig.open(64 * MIB);
        let object = self::object(&cache, &id, &right(&id));
        cache.flush();
        assert!(object.is_proven());
        assert_eq!(read(&object, ByteRange::new(0, size)), size);
    }
}

#[tokio::test]
async fn what_is_wrong_is_thrown_away_and_said() {
    let rig = Rig::new();
    for size in SIZES {
        let cache = rig.open(64 * MIB);
        let mut told = cache.refutations();
        let id = id("wrong", 1, size);
        let object = object(&cache, &id, &wrong(&id));
        store(&object, ByteRange::new(0, size));
        cache.flush();
        assert_eq!(object.prove(), Proven::Wrong);
        assert!(object.is_refuted() && !object.is_proven());
        assert!(object.hand_out().is_none());
        assert_eq!(read(&object, ByteRange::new(0, size)), 0);
        assert!(files(&rig.path()).is_empty());
        assert_eq!(told.recv().await, Some(id.clone()));
        // It is not kept again as long as somebody has it.
        assert_eq!(store(&object, ByteRange::new(0, size)), Stored::Dropped);
        assert!(files(&rig.path()).is_empty());
        drop(object);
        let object = self::object(&cache, &id, &right(&id));
        assert_eq!(store(&object, ByteRange::new(0, size)), Stored::Written);
        assert_eq!(object.prove(), Proven::Right);
        drop(object);
        cache.clear().unwrap();
    }
}

#[test]
fn what_another_process_left_unproven_is_checked_before_it_is_trusted() {
    let rig = Rig::new();
    let id = id("left", 1, 2 * MIB);
    {
        // Without a proof, as a process leaves it that is killed before it came to that: the seal is taken off.
        let mut options = rig.options(64 * MIB);
        options.verify_sealed = true;
        let cache = crate::rig::open(options);
        store(&cache.object(&id), ByteRange::new(0, MIB));
    }
    let cache = rig.open(64 * MIB);
    let object = object(&cache, &id, &wrong(&id));
    assert_eq!(read(&object, ByteRange::new(0, MIB)), MIB);
    store(&object, ByteRange::new(MIB, 2 * MIB));
    cache.flush();
    assert_eq!(object.prove(), Proven::Wrong);
}

#[test]
fn a_disk_that_lost_a_byte_is_told_from_a_server_that_sent_another() {
    let rig = Rig::new();
    let id = id("disk", 1, 2 * MIB);
    {
        let cache = rig.open(64 * MIB);
        store(&cache.object(&id), ByteRange::new(0, MIB));
    }
    flip(&rig.data()[0], 10, 1);
    let cache = rig.open(64 * MIB);
    let object = object(&cache, &id, &right(&id));
    store(&object, ByteRange::new(MIB, 2 * MIB));
    cache.flush();
    // The block is missing, nothing is refuted.
    assert_eq!(object.prove(), Proven::NotYet);
    assert!(!object.is_refuted());
    store(&object, ByteRange::new(0, BLOCK));
    cache.flush();
    assert_eq!(object.prove(), Proven::Right);
}

#[test]
fn an_empty_content_has_a_proof_too() {
    let rig = Rig::new();
    let cache = rig.open(64 * MIB);
    let id = id("empty", 1, 0);
    let object = object(&cache, &id, &(Arc::new(Same(Vec::new())) as Arc<dyn Proof>));
    assert_eq!(store_all(&cache, &id), Stored::Written);
    cache.flush();
    assert_eq!(object.prove(), Proven::Right);
}

#[test]
fn a_scan_that_looks_at_a_loose_file_does_not_save_it_from_being_cleared() {
    let rig = Rig::new();
    let cache = crate::rig::scanned(rig.open(64 * MIB));
    let id = id("loose", 1, 2 * MIB);
    store_all(&cache, &id);
    let data = rig.data()[0].clone();
    // Another instance of the same name: no map knows it.
    let mut name = data.file_name().unwrap().to_str().unwrap().to_owned();
    let last = if name.pop() == Some('0') { '1' } else { '0' };
    let loose = data.with_file_name(format!("{name}{last}"));
    std::fs::write(&loose, b"nobody's").unwrap();
    let file = std::fs::File::open(&loose).unwrap();
    file.lock().unwrap();
    let scan = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_micros(500));
        drop(file);
    });
    cache.clear().unwrap();
    scan.join().unwrap();
    assert!(files(&rig.path()).is_empty(), "{:?}", rig.files());
}
