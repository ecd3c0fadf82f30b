//! Any order of anything: what is read is right or missing, and the figures are those of the disk.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

use forebay_cache::{Accounting, Cache, CacheOptions, ReadOutcome, Stored, Wait};
use forebay_types::{BLOCK, BlockRange, ByteRange, ObjectId};
use proptest::prelude::*;

use crate::rig::*;

/// Sizes of the objects by key: empty, inside the map, at its border, large, larger than one extent.
const SIZES: [u64; 7] = [
    0,
    77,
    3 * BLOCK,
    4 * BLOCK,
    4 * BLOCK + 1,
    40 * BLOCK + 9,
    300 * BLOCK,
];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Cache (of two), object, first block, blocks.
    Store(bool, usize, u64, u64, u64),
    Read(bool, usize, u64, u64, u64),
    Hold(bool, usize, u64),
    LetGo,
    Reopen(bool),
    Clear(bool),
    Verify(bool),
    /// Which file, which byte of it, which bit.
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
}

fn any_step() -> impl Strategy<Value = Step> {
    let object = (any::<bool>(), 0..SIZES.len(), 0u64..2);
    prop_oneof![
        8 => (object.clone(), 0u64..300, 1u64..100).prop_map(|((c, k, v), at, n)| Step::Store(c, k, v, at, n)),
        8 => (object.clone(), any::<u64>(), 1u64..6_000_000).prop_map(|((c, k, v), at, n)| Step::Read(c, k, v, at, n)),
        2 => object.prop_map(|(c, k, v)| Step::Hold(c, k, v)),
        1 => Just(Step::LetGo),
        1 => any::<bool>().prop_map(Step::Reopen),
        1 => any::<bool>().prop_map(Step::Clear),
        1 => any::<bool>().prop_map(Step::Verify),
        2 => (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..8).prop_map(|(f, at, bit)| Step::Flip(f, at, bit)),
        1 => (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(f, at)| Step::Cut(f, at)),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

/// What the caches may know. A flipped bit under a seal, or in a block that was checked before, is not noticed: that is the bargain.
/// So the model remembers whether bits were flipped since the objects were last opened.
struct World {
    rig: Rig,
    options: CacheOptions,
    caches: [Option<Cache>; 2],
    held: Vec<std::sync::Arc<forebay_cache::CachedObject>>,
    /// Blocks that were stored and not damaged since: nothing else can be there.
    stored: HashMap<ObjectId, Vec<bool>>,
    tampered: bool,
}

impl World {
    fn new(budget: u64, accounting: Accounting) -> Self {
        let rig = Rig::new();
        let mut options = rig.options(budget);
        options.accounting = accounting;
        options.verify_sealed = true;
        options.max_open = 3;
        let caches = [Some(open(options.clone())), Some(open(options.clone()))];
        Self {
            rig,
            options,
            caches,
            held: Vec::new(),
            stored: HashMap::new(),
            tampered: false,
        }
    }

    fn cache(&self, second: bool) -> &Cache {
        self.caches[usize::from(second)].as_ref().unwrap()
    }

    /// Closes both caches: what they checked is checked again.
    fn restart(&mut self) {
        self.held.clear();
        for cache in &mut self.caches {
            *cache = None;
        }
        for cache in &mut self.caches {
            *cache = Some(open(self.options.clone()));
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Store(second, key, version, at, blocks) => {
                let id = id(&format!("{key}"), version, SIZES[key]);
                let all = BlockRange::of_size(id.size);
                let start = if all.is_empty() { 0 } else { at % all.len() };
                let some = BlockRange::new(start, (start + blocks).min(all.end()));
                if store(&self.cache(second).object(&id), some.bytes(id.size)) == Stored::Written {
                    let stored = self
                        .stored
                        .entry(id)
                        .or_insert_with(|| vec![false; all.len() as usize]);
                    stored[start as usize..some.end() as usize].fill(true);
                }
            }
            Step::Read(second, key, version, at, len) => {
                let id = id(&format!("{key}"), version, SIZES[key]);
                let range = ByteRange::at(at % (id.size + 1), len);
                let object = self.cache(second).object(&id);
                let got = read(&object, range);
                // What was never stored is never there.
                let stored = self.stored.get(&id);
                for block in BlockRange::touching(ByteRange::at(range.start(), got)) {
                    assert!(
                        stored.is_some_and(|stored| stored[block as usize]),
                        "block {block} of {id}"
                    );
                }
                let mut bytes = vec![0; range.len() as usize];
                match object.read(range.start(), &mut bytes, Wait::No) {
                    ReadOutcome::Done => content(&id).check(range.start(), &bytes).unwrap(),
                    ReadOutcome::Missing { done } | ReadOutcome::WouldBlock { done } => {
                        content(&id).check(range.start(), &bytes[..done]).unwrap();
                    }
                }
            }
            Step::Hold(second, key, version) => {
                let id = id(&format!("{key}"), version, SIZES[key]);
                let object = self.cache(second).object(&id);
                read(&object, ByteRange::new(0, 1));
                self.held.push(object);
            }
            Step::LetGo => self.held.clear(),
            Step::Reopen(second) => {
                // Objects that are held outlive their cache; they only take nothing more.
                self.caches[usize::from(second)] = None;
                self.caches[usize::from(second)] = Some(open(self.options.clone()));
            }
            Step::Clear(second) => {
                self.held.clear();
                self.cache(second).clear().unwrap();
                self.cache(!second).flush();
                assert!(self.rig.files().is_empty(), "{:?}", self.rig.files());
            }
            Step::Verify(second) => {
                let found = self.cache(second).verify(&mut |_| {}).unwrap();
                assert!(
                    self.tampered || (found.bad_blocks, found.removed) == (0, 0),
                    "{found:?}"
                );
            }
            Step::Flip(file, at, bit) => self.tamper(file, |path, len| {
                if len > 0 {
                    flip(path, at.index(len as usize) as u64, bit);
                }
            }),
            Step::Cut(file, at) => self.tamper(file, |path, len| {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_len(at.index(len as usize + 1) as u64).unwrap();
            }),
            Step::Remove(file) => self.tamper(file, |path, _| std::fs::remove_file(path).unwrap()),
        }
    }

    fn tamper(&mut self, file: prop::sample::Index, how: impl FnOnce(&std::path::Path, u64)) {
        for cache in self.caches.iter().flatten() {
            cache.flush();
        }
        let files = self.rig.files();
        if files.is_empty() {
            return;
        }
        let path = &files[file.index(files.len())];
        how(path, path.metadata().unwrap().len());
        self.tampered = true;
        self.restart();
    }

    fn check_figures(&mut self) {
        for cache in self.caches.iter().flatten() {
            cache.flush();
        }
        let on_disk: u64 = self
            .rig
            .files()
            .iter()
            .map(|file| file.metadata().unwrap().blocks() * 512)
            .sum();
        if self.tampered {
            // What was lost and found again is taken off with the next fill.
            return;
        }
        let stats = self.cache(false).stats();
        assert_eq!(
            (stats.corrupt, stats.broken, stats.io_errors),
            (0, 0, 0),
            "{stats:?}"
        );
        // Where two look and write at once, bytes may be counted twice; one that looks alone counts exactly.
        self.held.clear();
        self.caches = [None, None];
        std::fs::remove_file(self.rig.path().join("ledger")).unwrap();
        let cache = scanned(open(self.options.clone()));
        let stats = cache.stats();
        assert!(stats.current_size <= self.options.max_size, "{stats:?}");
        assert_eq!(stats.entry_count, self.rig.maps().len() as u64);
        if self.options.accounting == Accounting::Disk {
            assert_eq!(stats.current_size, on_disk, "{stats:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_bytes_are_right_or_missing(
        steps in prop::collection::vec(any_step(), 1..60),
        budget in prop::sample::select(vec![300_000u64, 4 * MIB, 30 * MIB]),
        content in any::<bool>(),
    ) {
        let accounting = if content { Accounting::Content } else { Accounting::Disk };
        let mut world = World::new(budget, accounting);
        for step in steps {
            world.take(step);
        }
        world.check_figures();
    }
}
