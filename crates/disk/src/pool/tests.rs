use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// A budget of so many bytes; knows what is held.
#[derive(Debug)]
struct Budget {
    most: u64,
    held: Arc<AtomicU64>,
}

struct Held(u64, Arc<AtomicU64>);

impl Drop for Held {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0, SeqCst);
    }
}

impl MemoryBudget for Budget {
    fn try_set_aside(&self, bytes: u64) -> Option<Box<dyn Any + Send + Sync>> {
        self.held
            .fetch_update(SeqCst, SeqCst, |held| {
                (held + bytes <= self.most).then_some(held + bytes)
            })
            .ok()?;
        Some(Box::new(Held(bytes, self.held.clone())))
    }
}

/// A pool of up to `slabs`, in a budget for `counted` of them; and what is held of that.
fn pool(slabs: usize, counted: usize) -> (Pool, Arc<AtomicU64>) {
    let held = Arc::new(AtomicU64::new(0));
    let budget = Budget {
        most: (counted * SLAB) as u64,
        held: held.clone(),
    };
    let pool = Pool::new(
        (slabs * SLAB + SLAB / 2) as u64,
        Some(&(Arc::new(budget) as Arc<dyn MemoryBudget>)),
    );
    (pool, held)
}

/// Fills it with what only this one has: all of a small one, some of each page of a large one.
fn mark(bytes: &mut [u8], tag: u8) {
    let step = if bytes.len() > 64 << 10 { 509 } else { 1 };
    bytes.iter_mut().step_by(step).for_each(|byte| *byte = tag);
    if let Some(last) = bytes.last_mut() {
        *last = tag;
    }
}

#[track_caller]
fn assert_marked(bytes: &[u8], tag: u8) {
    let step = if bytes.len() > 64 << 10 { 509 } else { 1 };
    assert!(bytes.iter().step_by(step).all(|byte| *byte == tag));
    assert!(bytes.last().is_none_or(|last| *last == tag));
}

fn piece_of(len: usize, align: usize) -> usize {
    len.max(align).max(SMALLEST).next_power_of_two()
}

/// What holds of a pool whatever happened: lists and slabs agree, and nothing is counted twice.
#[track_caller]
fn assert_whole(pool: &Pool) {
    let state = pool.shared.lock();
    assert!(state.slabs.len() <= pool.shared.most_slabs);
    assert_eq!(state.stats.kept, (state.slabs.len() * SLAB) as u64);
    let mut in_use = 0;
    for (number, slab) in state.slabs.iter().enumerate() {
        let number = number as u16;
        let (used, left, piece) = slab.counts();
        in_use += used * piece;
        let listed = state.whole.iter().filter(|other| **other == number).count();
        assert_eq!(
            listed,
            usize::from(slab.is_free()),
            "slab {number} among the whole ones"
        );
        assert_eq!(slab.is_free(), used == 0, "slab {number}");
        for (class, cut) in state.cut.iter().enumerate() {
            let listed = cut.iter().filter(|other| **other == number).count();
            let has_room = piece == SMALLEST << class && left > 0;
            assert_eq!(
                listed,
                usize::from(has_room),
                "slab {number} among those of class {class}"
            );
        }
        if piece > 0 {
            assert_eq!((used + left) * piece, SLAB, "pieces of slab {number}");
        }
    }
    assert_eq!(state.stats.in_use, in_use as u64);
}

/// Whether a piece of this size could be had.
fn has_room(pool: &Pool, piece: usize) -> bool {
    if piece > SLAB {
        return false;
    }
    let state = pool.shared.lock();
    let more = state.slabs.len() < pool.shared.most_slabs;
    more || !state.whole.is_empty() || !state.cut[class_of(piece)].is_empty()
}

#[derive(Clone, Debug)]
enum Step {
    Take {
        len: usize,
        align: usize,
    },
    Give(prop::sample::Index),
    /// A slice takes the place of the buffer.
    Slice(prop::sample::Index, u8, u8),
    /// A second owner of what is sliced.
    Clone(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![
        4 => 0..10_000usize,
        3 => 10_000..600_000usize,
        2 => 600_000..SLAB + 1,
        1 => SLAB..SLAB + 5000,
        2 => prop::sample::select(vec![4095, 4096, 4097, SLAB / 2, SLAB / 2 + 1, SLAB - 1, SLAB]),
    ];
    let align = prop_oneof![5 => 0..13u32, 2 => 13..21u32, 1 => 21..24u32];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (len, align).prop_map(|(len, align)| Step::Take { len, align: 1 << align }),
        5 => index().prop_map(Step::Give),
        1 => (index(), any::<u8>(), any::<u8>()).prop_map(|(index, from, to)| Step::Slice(index, from, to)),
        1 => index().prop_map(Step::Clone),
    ]
}

/// A buffer on loan, as one has it.
enum Loan {
    Buffer(Buffer),
    Bytes(Vec<Bytes>),
}

struct Live {
    loan: Loan,
    at: usize,
    len: usize,
    piece: usize,
    apart: bool,
    tag: u8,
}

impl Live {
    fn check(&self) {
        match &self.loan {
            Loan::Buffer(buffer) => {
                assert_eq!(buffer.as_ref().len(), self.len);
                assert_marked(buffer.as_ref(), self.tag);
            }
            // A slice may lie between two marks; what is marked is marked right.
            Loan::Bytes(slices) => {
                for slice in slices {
                    assert!(slice.iter().all(|byte| *byte == self.tag || self.len > 64 << 10));
                    assert!((self.at..=self.at + self.len).contains(&(slice.as_ptr() as usize)));
                }
            }
        }
    }
}

fn run(slabs: usize, counted: usize, steps: Vec<Step>) {
    let (pool, held) = pool(slabs, counted);
    let mut live: Vec<Live> = Vec::new();
    let (mut taken, mut taken_apart) = (0, 0);
    for (tag, step) in steps.into_iter().enumerate() {
        let tag = tag as u8 ^ 0xA5;
        match step {
            Step::Take { len, align } => {
                let piece = piece_of(len, align);
                let expected_apart = !has_room(&pool, piece);
                let mut buffer = pool.take(len, align).unwrap();
                let apart = buffer.slab().is_none();
                assert_eq!(apart, expected_apart, "{len} bytes aligned to {align}");
                mark(buffer.as_mut(), tag);
                let at = buffer.as_ref().as_ptr() as usize;
                assert!(at.is_multiple_of(align.max(SMALLEST)), "{at:#x} for {align}");
                taken += 1;
                taken_apart += u64::from(apart);
                live.push(Live {
                    at,
                    len,
                    piece,
                    apart,
                    tag,
                    loan: Loan::Buffer(buffer),
                });
            }
            Step::Give(index) if !live.is_empty() => {
                let gone = live.swap_remove(index.index(live.len()));
                gone.check();
            }
            Step::Slice(index, from, to) if !live.is_empty() => {
                let index = index.index(live.len());
                let one = live.swap_remove(index);
                one.check();
                let Loan::Buffer(buffer) = one.loan else {
                    live.push(one);
                    continue;
                };
                let (from, to) = (one.len * usize::from(from) / 256, one.len * usize::from(to) / 256);
                let slice = buffer.into_bytes(from.min(to)..from.max(to));
                // An empty slice of `Bytes` lets its owner go.
                if !slice.is_empty() {
                    live.push(Live {
                        loan: Loan::Bytes(vec![slice]),
                        ..one
                    });
                }
            }
            Step::Clone(index) if !live.is_empty() => {
                let index = index.index(live.len());
                if let Loan::Bytes(slices) = &mut live[index].loan {
                    let again = slices[0].slice(slices[0].len() / 2..);
                    slices.push(again);
                    slices.swap_remove(0);
                }
            }
            _ => {}
        }
        let mut spans: Vec<_> = live.iter().map(|one| (one.at, one.at + one.len)).collect();
        spans.retain(|(start, end)| start < end);
        spans.sort_unstable();
        assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "{spans:?}");
        let stats = pool.stats();
        let sum = |apart: bool, of: fn(&Live) -> usize| -> u64 {
            live.iter()
                .filter(|one| one.apart == apart)
                .map(|one| of(one) as u64)
                .sum()
        };
        assert_eq!(stats.in_use, sum(false, |one| one.piece));
        assert_eq!(stats.apart, sum(true, |one| one.len));
        assert_eq!((stats.taken, stats.taken_apart), (taken, taken_apart));
        assert_eq!(pool.size(), held.load(SeqCst), "all that it may keep is counted");
        assert!(stats.kept <= pool.size() && pool.size() <= (counted * SLAB) as u64);
        assert_whole(&pool);
    }
    live.iter().for_each(Live::check);
    // Whoever goes first.
    let buffers_first = live.len().is_multiple_of(2);
    if buffers_first {
        live.clear();
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.apart), (0, 0));
        let state = pool.shared.lock();
        assert_eq!(state.whole.len(), state.slabs.len(), "all slabs are whole again");
        drop(state);
        drop(pool);
    } else {
        drop(pool);
        live.iter().for_each(Live::check);
        live.clear();
    }
    assert_eq!(held.load(SeqCst), 0, "the budget has all of it back");
}

proptest! {
    #[test]
    fn buffers_are_apart_from_each_other_aligned_and_counted(
        slabs in 0..4usize,
        counted in 0..4usize,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(slabs, counted, steps);
    }
}

#[test]
fn threads_that_take_and_give_do_not_meet_in_a_buffer() {
    let rounds = 400;
    let (pool, held) = pool(3, 3);
    let (send, receive) = mpsc::channel::<(Buffer, u8)>();
    let receive = Arc::new(Mutex::new(receive));
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (pool, send, receive) = (pool.clone(), send.clone(), receive.clone());
            scope.spawn(move || {
                let mut random = u64::from(thread) + 1;
                let mut mine = Vec::new();
                for round in 0..rounds {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let len = (random >> 33) as usize % [5000, 70_000, 2 << 20][round % 3];
                    let tag = thread * 64 + (round % 64) as u8;
                    let mut buffer = pool.take(len, 512 << (random >> 60)).unwrap();
                    mark(buffer.as_mut(), tag);
                    if round % 3 == 0 {
                        send.send((buffer, tag)).unwrap();
                    } else {
                        mine.push((buffer, tag));
                    }
                    if round % 5 == 0
                        && let Ok((buffer, tag)) = receive.lock().unwrap().try_recv()
                    {
                        assert_marked(buffer.as_ref(), tag);
                    }
                    if mine.len() > 6 {
                        let (buffer, tag) = mine.swap_remove((random >> 40) as usize % 6);
                        assert_marked(buffer.as_ref(), tag);
                    }
                }
                for (buffer, tag) in &mine {
                    assert_marked(buffer.as_ref(), *tag);
                }
            });
        }
    });
    while let Ok((buffer, tag)) = receive.lock().unwrap().try_recv() {
        assert_marked(buffer.as_ref(), tag);
    }
    assert_whole(&pool);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.apart), (0, 0));
    assert_eq!(stats.taken, 4 * rounds as u64);
    let (whole, slabs) = {
        let state = pool.shared.lock();
        (state.whole.len(), state.slabs.len())
    };
    assert_eq!(whole, slabs, "all slabs are whole again");
    drop((pool, send, receive));
    assert_eq!(held.load(SeqCst), 0);
}

#[test]
fn a_slab_that_was_cut_serves_another_size_when_all_pieces_are_back() {
    let (pool, _) = pool(1, 1);
    let pieces: Vec<_> = (0..SLAB / SMALLEST).map(|_| pool.take(1, 1).unwrap()).collect();
    assert_eq!(pool.stats().in_use, SLAB as u64);
    assert_eq!(pool.stats().taken_apart, 0);
    let apart = pool.take(SLAB, 4096).unwrap();
    assert_eq!((apart.slab(), pool.stats().apart), (None, SLAB as u64));
    drop(pieces);
    let whole = pool.take(SLAB, SLAB).unwrap();
    assert_eq!(whole.slab(), Some(0));
    assert_eq!(whole.as_ref().len(), SLAB);
    drop((whole, apart));
    assert_eq!(pool.take(SLAB / 2, 1).unwrap().slab(), Some(0));
    assert_eq!(pool.stats().kept, SLAB as u64);
    assert_whole(&pool);
}

#[test]
fn each_piece_is_aligned_to_its_own_size() {
    let (pool, _) = pool(4, 4);
    for align in (0..=22).map(|power| 1usize << power) {
        let buffers: Vec<_> = (0..3).map(|_| pool.take(100, align).unwrap()).collect();
        for buffer in buffers {
            assert!(
                (buffer.as_ref().as_ptr() as usize).is_multiple_of(align.max(SMALLEST)),
                "{align}"
            );
            assert!(buffer.slab().is_some());
        }
    }
    // Larger than a slab: memory of its own.
    let buffer = pool.take(100, 2 * SLAB).unwrap();
    assert!((buffer.as_ref().as_ptr() as usize).is_multiple_of(2 * SLAB));
    assert_eq!(buffer.slab(), None);
}

#[test]
fn what_cannot_be_had_is_an_error() {
    let (pool, _) = pool(1, 1);
    for align in [0, 3, 4095, usize::MAX] {
        let error = pool.take(1, align).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    for len in [usize::MAX, usize::MAX / 2, 1 << 60] {
        let error = pool.take(len, 4096).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    }
    let error = pool.take(1, 1 << 63).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert_eq!((pool.stats().in_use, pool.stats().apart), (0, 0));
}

#[test]
fn bytes_keep_their_buffer_on_loan_until_the_last_slice_is_gone() {
    let (pool, held) = pool(1, 1);
    let mut buffer = pool.take(10_000, 4096).unwrap();
    mark(buffer.as_mut(), 9);
    let bytes = buffer.into_bytes(100..9000);
    let slice = bytes.slice(10..20);
    let copy = slice.clone();
    drop(bytes);
    drop(slice);
    assert_eq!(pool.stats().in_use, 16_384);
    let mut other = pool.take(10_000, 4096).unwrap();
    mark(other.as_mut(), 1);
    assert_marked(&copy, 9);
    drop((pool, other));
    assert_marked(&copy, 9);
    assert_eq!(
        held.load(SeqCst),
        SLAB as u64,
        "the slab is there as long as the slice"
    );
    drop(copy);
    assert_eq!(held.load(SeqCst), 0);
}

#[test]
fn a_slice_that_is_not_in_it_gives_the_buffer_back() {
    let (pool, _) = pool(1, 1);
    let buffer = pool.take(100, 1).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| buffer.into_bytes(0..101)));
    assert!(caught.is_err());
    assert_eq!(pool.stats().in_use, 0);
    // The pool goes on.
    assert_eq!(pool.take(100, 1).unwrap().slab(), Some(0));
}

#[test]
fn fresh_and_used_buffers_are_initialised() {
    let (pool, _) = pool(1, 0);
    // Memory of its own, from malloc: read all of it.
    for len in [0, 1, 4096, SLAB] {
        let buffer = pool.take(len, 4096).unwrap();
        assert_eq!(
            buffer.as_ref().iter().map(|byte| u64::from(*byte)).sum::<u64>(),
            0
        );
    }
}
