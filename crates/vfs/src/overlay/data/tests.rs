use forebay_types::BLOCK;
use proptest::prelude::*;

use super::*;
use crate::overlay::tests::{Rig, attrs, new, origin, write};
use crate::overlay::{Copied, Upper};

fn lower(size: u64) -> Vec<u8> {
    (0..size).map(|at| (at / 7 + at / BLOCK * 31) as u8 | 1).collect()
}

/// The file as it is seen, without filling anything.
fn view(file: &DataFile, lower: &[u8]) -> Vec<u8> {
    let len = file.len().unwrap();
    let mut seen = Vec::new();
    while (seen.len() as u64) < len {
        let at = seen.len() as u64;
        let mut bytes = vec![0xEE; (len - at).min(BLOCK - at % BLOCK) as usize];
        match file.read_at(&mut bytes, at).unwrap() {
            ReadData::Present(n) => seen.extend_from_slice(&bytes[..n]),
            ReadData::Absent(range) => {
                // The first absent range is what is asked for here, or begins before it in the same block.
                assert!(
                    range.start() <= at || range.start() % BLOCK == 0,
                    "{range:?} at {at}"
                );
                seen.extend_from_slice(&lower[at as usize..range.end() as usize]);
            }
        }
    }
    seen
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, usize, u8),
    Truncate(u64),
    Fill(u64, u64),
    Punch(u64, u64),
    Zero(u64, u64, bool),
    Allocate(u64, u64, bool),
    Copy(u64, u64, u64),
    Seek(u64),
    Sync(bool),
    Whole,
    Reopen,
    Kill,
}

/// Places that are near the borders of blocks as often as not.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..6 * BLOCK,
        (0u64..6, 0u64..3).prop_map(|(block, off)| (block * BLOCK + off).saturating_sub(1))
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![1..200u64, 1..3 * BLOCK, Just(BLOCK), Just(2 * BLOCK)];
    prop_oneof![
        6 => (place(), len(), 1u8..).prop_map(|(at, len, with)| Op::Write(at, len as usize, with)),
        3 => place().prop_map(Op::Truncate),
        3 => (0u64..6, 1u64..4).prop_map(|(at, n)| Op::Fill(at, n)),
        2 => (place(), len()).prop_map(|(at, len)| Op::Punch(at, len)),
        2 => (place(), len(), any::<bool>()).prop_map(|(at, len, keep)| Op::Zero(at, len, keep)),
        1 => (place(), len(), any::<bool>()).prop_map(|(at, len, keep)| Op::Allocate(at, len, keep)),
        2 => (place(), place(), len()).prop_map(|(from, to, len)| Op::Copy(from, to, len)),
        2 => place().prop_map(Op::Seek),
        1 => any::<bool>().prop_map(Op::Sync),
        1 => Just(Op::Whole),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
    ]
}

fn fill(file: &DataFile, lower: &[u8], range: ByteRange) {
    let before = rustix::fs::fstat(file.fd()).unwrap();
    let bytes = &lower[range.start() as usize..range.end() as usize];
    file.fill(range.start(), bytes).unwrap();
    let after = rustix::fs::fstat(file.fd()).unwrap();
    assert_eq!(
        (before.st_mtime, before.st_mtime_nsec, before.st_size),
        (after.st_mtime, after.st_mtime_nsec, after.st_size)
    );
}

/// Does a change, after filling what it needs.
fn filled(file: &DataFile, lower: &[u8], change: impl Fn() -> Changed) -> u64 {
    match change() {
        Changed::Done(n) => n,
        Changed::Fill(ranges) => {
            assert!((1..=2).contains(&ranges.len()));
            for range in ranges {
                fill(file, lower, range);
            }
            match change() {
                Changed::Done(n) => n,
                needs => panic!("{needs:?} after it was filled"),
            }
        }
    }
}

struct World {
    rig: Rig,
    upper: Upper,
    file: Arc<DataFile>,
    lower: Vec<u8>,
    expected: Vec<u8>,
}

impl World {
    fn new(size: u64) -> Self {
        let rig = Rig::new();
        let upper = rig.open();
        let id = upper
            .adopt_file(upper.root(), b"f", &origin("f", size), attrs(0o640))
            .unwrap();
        let file = upper.data(id).unwrap();
        let lower = lower(size);
        Self {
            rig,
            upper,
            file,
            expected: lower.clone(),
            lower,
        }
    }

    fn reopen(self, kill: bool) -> Self {
        let Self {
            rig,
            upper,
            file,
            lower,
            expected,
        } = self;
        let id = file.id();
        let rig = if kill { rig.killed() } else { rig };
        drop((file, upper));
        let upper = rig.open();
        let file = upper.data(id).unwrap();
        Self {
            rig,
            upper,
            file,
            lower,
            expected,
        }
    }

    fn grow(&mut self, len: u64) {
        let len = self.expected.len().max(len as usize);
        self.expected.resize(len, 0);
    }

    fn clear(&mut self, at: u64, len: u64) {
        let end = (at + len).min(self.expected.len() as u64);
        if at < end {
            self.expected[at as usize..end as usize].fill(0);
        }
    }

    fn go(mut self, op: &Op) -> Self {
        let file = Arc::clone(&self.file);
        let (at_end, lower) = (self.expected.len() as u64, self.lower.clone());
        match *op {
            Op::Write(at, len, with) => {
                let bytes: Vec<u8> = (0..len).map(|i| with.wrapping_add(i as u8)).collect();
                let n = filled(&file, &lower, || file.write_at(at, &bytes).unwrap());
                assert_eq!(n, len as u64);
                self.grow(at + len as u64);
                self.expected[at as usize..at as usize + len].copy_from_slice(&bytes);
            }
            Op::Truncate(len) => {
                file.truncate(len).unwrap();
                self.expected.resize(len as usize, 0);
            }
            Op::Fill(block, n) => {
                let range = BlockRange::new(block, block + n).bytes(lower.len() as u64);
                if !range.is_empty() {
                    fill(&file, &lower, range);
                    fill(&file, &lower, range);
                    assert!(
                        file.absent()
                            .iter()
                            .all(|absent| { absent.end() <= range.start() || range.end() <= absent.start() })
                    );
                }
            }
            Op::Punch(at, len) => {
                filled(&file, &lower, || file.punch(at, len).unwrap());
                self.clear(at, len);
            }
            Op::Zero(at, len, keep) => {
                filled(&file, &lower, || file.zero(at, len, keep).unwrap());
                if !keep {
                    self.grow(at + len);
                }
                self.clear(at, len);
            }
            Op::Allocate(at, len, keep) => {
                file.allocate(at, len, keep).unwrap();
                if !keep {
                    self.grow(at + len);
                }
            }
            Op::Copy(from, to, len) => {
                let len = len.min(at_end.saturating_sub(from));
                if len > 0 && from < to + len && to < from + len {
                    let refused = file.copy_from(&file, from, to, len).unwrap_err();
                    assert_eq!(refused.errno(), Errno::INVAL);
                } else {
                    loop {
                        match file.copy_from(&file, from, to, len).unwrap() {
                            Copied::Done(n) => {
                                assert_eq!(n, len);
                                break;
                            }
                            Copied::FillSource(range) => fill(&file, &lower, range),
                            Copied::FillTarget(ranges) => {
                                for range in ranges {
                                    fill(&file, &lower, range);
                                }
                            }
                            Copied::Unable => return self,
                        }
                    }
                    if len > 0 {
                        self.grow(to + len);
                        self.expected
                            .copy_within(from as usize..(from + len) as usize, to as usize);
                    }
                }
            }
            Op::Seek(at) => self.seek(at),
            Op::Sync(data_only) => file.sync(data_only).unwrap(),
            Op::Whole => {
                let complete = file.is_complete();
                assert_eq!(file.make_whole().unwrap(), complete);
                assert_eq!(file.whole_fd().is_some(), complete);
            }
            Op::Reopen => {
                drop(file);
                return self.reopen(false);
            }
            Op::Kill => {
                drop(file);
                return self.reopen(true);
            }
        }
        self
    }

    /// Nothing but zeros is said to be a hole, and data begins where there is a byte that is none at the latest.
    fn seek(&self, at: u64) {
        let len = self.expected.len() as u64;
        let next = |zero: bool| {
            let rest = self.expected.iter().enumerate().skip(at as usize);
            let mut rest = rest.filter(|(_, byte)| (**byte == 0) == zero);
            rest.next().map_or(len, |(at, _)| at as u64)
        };
        let data = self.file.seek_data(at).unwrap();
        let hole = self.file.seek_hole(at).unwrap();
        assert_eq!(hole.is_none(), at >= len);
        if at < len {
            assert!(hole.unwrap() >= next(true).min(len), "{hole:?} at {at}");
            assert!(hole.unwrap() <= len);
            assert!(data.unwrap_or(len) <= next(false), "{data:?} at {at}");
        }
        assert!(data.is_none_or(|data| (at..len).contains(&data)));
    }

    fn check(&self) {
        let seen = view(&self.file, &self.lower);
        assert_eq!(seen.len(), self.expected.len());
        if let Some(at) = (0..seen.len()).find(|&at| seen[at] != self.expected[at]) {
            panic!("byte {at} is {}, not {}", seen[at], self.expected[at]);
        }
        let dirty = self.file.dirty().unwrap();
        for (at, byte) in self.expected.iter().enumerate() {
            let at = at as u64;
            if self.lower.get(at as usize) != Some(byte) {
                assert!(
                    dirty.iter().any(|range| range.start() <= at && at < range.end()),
                    "byte {at} was changed and is not in {dirty:?}"
                );
            }
        }
        assert!(dirty.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        assert_eq!(self.file.is_complete(), self.file.absent().is_empty());
        self.upper.attrs(self.file.id()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_what_was_written_to_it(
        size in prop_oneof![0..5 * BLOCK, (0u64..5).prop_map(|n| n * BLOCK)],
        ops in prop::collection::vec(op(), 1..25),
    ) {
        let mut world = World::new(size);
        for op in &ops {
            world = world.go(op);
            world.check();
        }
        world = world.reopen(true);
        world.check();
    }
}

#[test]
fn a_partly_covered_block_is_filled_first() {
    let world = World::new(3 * BLOCK);
    let ends = [(10, 20), (BLOCK - 1, BLOCK + 1), (BLOCK, 2 * BLOCK)];
    let needs = ends.map(|(start, end)| {
        world
            .file
            .write_at(start, &vec![1; (end - start) as usize])
            .unwrap()
    });
    let first = ByteRange::new(0, BLOCK);
    let second = ByteRange::new(BLOCK, 2 * BLOCK);
    assert_eq!(needs[0], Changed::Fill(vec![first]));
    assert_eq!(needs[1], Changed::Fill(vec![first, second]));
    assert_eq!(needs[2], Changed::Done(BLOCK));
    assert_eq!(world.file.dirty().unwrap(), [second]);
    // The block that is here splits what is absent.
    let mut buf = vec![0; 3 * BLOCK as usize];
    assert_eq!(world.file.read_at(&mut buf, 0).unwrap(), ReadData::Absent(first));
    assert_eq!(
        world.file.read_at(&mut buf[..10], BLOCK).unwrap(),
        ReadData::Present(10)
    );
    assert_eq!(
        world.file.read_at(&mut buf[..20], 2 * BLOCK - 10).unwrap(),
        ReadData::Absent(ByteRange::new(2 * BLOCK, 3 * BLOCK))
    );
}

#[test]
fn what_was_cut_off_never_comes_back() {
    for kill in [false, true] {
        let mut world = World::new(2 * BLOCK + 100);
        world.file.truncate(BLOCK + 10).unwrap();
        world = world.reopen(kill);
        world.file.truncate(3 * BLOCK).unwrap();
        world = world.reopen(kill);
        world.expected.truncate(BLOCK as usize + 10);
        world.expected.resize(3 * BLOCK as usize, 0);
        world.check();
        assert_eq!(
            world.file.absent(),
            [ByteRange::new(0, BLOCK + 10)],
            "only what is left is below"
        );
        // Nothing left of the lower file: nothing is asked of it any more.
        world.file.truncate(0).unwrap();
        assert!(world.file.is_complete() && world.file.whole_fd().is_some());
        world.file.truncate(10).unwrap();
        world = world.reopen(kill);
        world.expected = vec![0; 10];
        world.check();
        assert_eq!(world.upper.content(world.file.id()).unwrap().1, Data::Whole);
    }
}

#[test]
fn a_cut_that_the_journal_was_not_told_of_counts() {
    let world = World::new(2 * BLOCK);
    // As a process leaves it that is killed between the two.
    rustix::fs::ftruncate(world.file.fd(), 100).unwrap();
    let mut world = world.reopen(true);
    world.file.truncate(1000).unwrap();
    world.expected.truncate(100);
    world.expected.resize(1000, 0);
    world.check();
    world.reopen(true).check();
}

#[test]
fn a_filled_block_is_clean_and_a_changed_one_is_never_filled() {
    let world = World::new(2 * BLOCK);
    write(&world.file, 0, &vec![9; BLOCK as usize]);
    assert_eq!(world.file.fill(0, &world.lower).unwrap(), BLOCK);
    assert_eq!(world.file.fill(0, &world.lower).unwrap(), 0);
    assert!(world.file.is_complete());
    assert_eq!(world.file.dirty().unwrap(), [ByteRange::new(0, BLOCK)]);
    // Bytes that are not a whole block are of no use.
    assert_eq!(world.file.fill(5, &[1, 2, 3]).unwrap(), 0);
    assert_eq!(&view(&world.file, &[])[..3], [9, 9, 9]);
}

#[test]
fn offsets_beyond_the_largest_file_are_refused() {
    let world = World::new(10);
    for offset in [u64::MAX, 1 << 63, (1 << 63) - 2] {
        assert_eq!(
            world.file.write_at(offset, b"abc").unwrap_err().errno(),
            Errno::FBIG
        );
        assert_eq!(
            world.file.read_at(&mut [0; 3], offset).unwrap(),
            ReadData::Present(0)
        );
        assert_eq!(world.file.seek_data(offset).unwrap(), None);
        assert_eq!(world.file.seek_hole(offset).unwrap(), None);
    }
    assert_eq!(world.file.truncate(1 << 63).unwrap_err().errno(), Errno::FBIG);
    assert_eq!(
        world.file.write_at(u64::MAX, b"").unwrap_err().errno(),
        Errno::FBIG
    );
}

#[test]
fn copies_between_files_fill_what_they_read() {
    let world = World::new(2 * BLOCK);
    let (_, other) = world.upper.create(world.upper.root(), b"g", new(0o600)).unwrap();
    let second = ByteRange::new(BLOCK, 2 * BLOCK);
    assert_eq!(
        other.copy_from(&world.file, BLOCK, 0, 10 * BLOCK).unwrap(),
        Copied::FillSource(second)
    );
    fill(&world.file, &world.lower, second);
    assert_eq!(
        other.copy_from(&world.file, BLOCK, 5, 10 * BLOCK).unwrap(),
        Copied::Done(BLOCK)
    );
    assert_eq!(&view(&other, &[])[5..], &world.lower[BLOCK as usize..]);
    assert_eq!(
        world.file.copy_from(&other, 0, 0, 10).unwrap(),
        Copied::FillTarget(vec![ByteRange::new(0, BLOCK)])
    );
}
