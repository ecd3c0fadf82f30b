use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

/// Memory that counts what is held.
#[derive(Debug)]
struct Counted(Arc<AtomicU64>, u64);

impl Hold for Counted {
    fn release(&mut self, bytes: u64) {
        assert!(bytes <= self.1, "more is given back than was held");
        self.1 -= bytes;
        self.0.fetch_sub(bytes, SeqCst);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, SeqCst);
    }
}

#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

const LANDS: Purpose = Purpose {
    keeper: Some(1),
    lands: true,
    narrow: false,
    urgent: false,
};
const MEMORY: Purpose = Purpose {
    keeper: Some(1),
    lands: false,
    narrow: false,
    urgent: false,
};

struct World {
    staging: Staging<Counted, &'static str>,
    held: Arc<AtomicU64>,
    bell: Arc<Bell>,
}

impl World {
    fn new(blocks: u64) -> Self {
        Self {
            staging: Staging::new(blocks * BLOCK),
            held: Arc::default(),
            bell: Arc::default(),
        }
    }

    /// Claims in parts of four blocks; nothing is on disk.
    fn claim(&self, blocks: std::ops::Range<u64>, purpose: Purpose) -> Vec<Claim<Counted, &'static str>> {
        let claimed = self.staging.claim(
            BlockRange::new(blocks.start, blocks.end),
            purpose,
            |blocks| vec![(blocks, false)],
            |run| {
                let mut rest = run;
                std::iter::from_fn(move || {
                    let (part, after) = rest.split_at(4 * BLOCK);
                    rest = after;
                    (!part.is_empty()).then_some(part)
                })
            },
            |bytes| {
                self.held.fetch_add(bytes, SeqCst);
                Some(Counted(self.held.clone(), bytes))
            },
        );
        assert_eq!(claimed.refused, None);
        claimed.claims
    }

    fn poll(&self, waiting: &mut Waiting<Counted, &'static str>) -> Poll<Waited<&'static str>> {
        let waker = Waker::from(self.bell.clone());
        std::pin::Pin::new(waiting).poll(&mut Context::from_waker(&waker))
    }

    fn rings(&self) -> u64 {
        self.bell.0.swap(0, SeqCst)
    }

    fn held(&self) -> u64 {
        self.held.load(SeqCst) / BLOCK
    }
}

/// Blocks `blocks`, each filled with its number.
fn bytes(blocks: std::ops::Range<u64>) -> Bytes {
    blocks
        .flat_map(|block| vec![block as u8; BLOCK as usize])
        .collect()
}

fn joined(chunks: &[Bytes]) -> Vec<u8> {
    chunks.concat()
}

#[test]
fn nobody_fetches_what_somebody_fetches() {
    let world = World::new(16);
    let first = world.claim(2..6, LANDS);
    assert_eq!(first.len(), 1);
    let second = world.claim(0..10, LANDS);
    let ranges: Vec<_> = second
        .iter()
        .map(|claim| BlockRange::touching(claim.range()))
        .collect();
    assert_eq!(ranges, [BlockRange::new(0, 2), BlockRange::new(6, 10)]);
    drop((first, second));
    assert!(world.staging.is_empty());
    assert_eq!(world.held(), 0);
}

#[test]
fn what_is_on_disk_is_not_claimed() {
    let world = World::new(16);
    let claimed = world.staging.claim(
        BlockRange::new(0, 8),
        LANDS,
        |blocks| {
            assert_eq!(blocks, BlockRange::new(0, 8));
            vec![
                (BlockRange::new(0, 3), true),
                (BlockRange::new(3, 5), false),
                (BlockRange::new(5, 8), true),
            ]
        },
        |run| [run],
        |bytes| Some(Counted(Arc::new(AtomicU64::new(bytes)), bytes)),
    );
    assert_eq!(claimed.claims.len(), 1);
    assert_eq!(claimed.claims[0].range(), BlockRange::new(3, 5).bytes(u64::MAX));
}

#[test]
fn refused_memory_registers_nothing() {
    let world = World::new(16);
    let mut room = 2;
    let claimed = world.staging.claim(
        BlockRange::new(0, 16),
        LANDS,
        |blocks| vec![(blocks, false)],
        |run| (0..4).map(move |i| ByteRange::at(run.start() + i * 4 * BLOCK, 4 * BLOCK)),
        |bytes| {
            room -= 1;
            (room >= 0).then(|| Counted(Arc::new(AtomicU64::new(bytes)), bytes))
        },
    );
    assert_eq!(claimed.claims.len(), 2);
    assert_eq!(claimed.refused, Some(8 * BLOCK));
    drop(claimed);
    assert_eq!(
        world.claim(8..16, LANDS).len(),
        2,
        "the refused ones are nobody's"
    );
}

#[test]
fn a_waiter_wakes_inside_a_part() {
    let world = World::new(4);
    let claim = world.claim(0..4, LANDS).remove(0);
    let mut waiting = world.staging.wait(BLOCK + 10, BLOCK + 20);
    assert!(world.poll(&mut waiting).is_pending());
    claim.arrived(bytes(0..1));
    assert_eq!(world.rings(), 0, "its byte is not here yet");
    claim.arrived(bytes(1..2));
    assert_eq!(world.rings(), 1);
    let Poll::Ready(Waited::Bytes(chunks)) = world.poll(&mut waiting) else {
        panic!("the bytes are here")
    };
    assert_eq!(joined(&chunks), [1; 10]);
    claim.arrived(bytes(2..4));
    assert_eq!(world.rings(), 0, "it waits for nothing any more");
}

#[test]
fn bytes_stay_until_they_are_on_disk_and_read() {
    let world = World::new(4);
    let claim = world.claim(0..4, LANDS).remove(0);
    let id = claim.id();
    claim.arrived(bytes(0..4));
    claim.landing(2 * BLOCK);
    claim.landing(4 * BLOCK);
    claim.complete();
    world.staging.settled(id, 4 * BLOCK, true);
    world.staging.consumed(1, ByteRange::new(0, 4 * BLOCK));
    assert_eq!(world.held(), 4, "its first piece is not settled");
    world.staging.settled(id, 2 * BLOCK, true);
    assert_eq!(world.held(), 0);
    assert!(world.staging.is_empty());
}

#[test]
fn consumed_bytes_leave_in_whole_blocks() {
    let world = World::new(4);
    let claim = world.claim(0..4, MEMORY).remove(0);
    claim.arrived(bytes(0..3));
    world.staging.consumed(1, ByteRange::new(0, BLOCK + BLOCK / 2));
    assert_eq!(world.held(), 3);
    assert_eq!(joined(&world.staging.take(BLOCK, 2 * BLOCK)), bytes(1..2));
    assert!(world.staging.take(0, BLOCK).is_empty());
    // A later claim of the block that left is a new fill beside the old one.
    let again = world.claim(0..4, MEMORY);
    assert_eq!(again.len(), 1);
    assert_eq!(BlockRange::touching(again[0].range()), BlockRange::new(0, 1));
    drop(claim);
    assert_eq!(world.staging.reaches(BLOCK), 3 * BLOCK);
}

#[test]
fn a_waiter_keeps_its_bytes() {
    let world = World::new(4);
    let claim = world.claim(0..4, MEMORY).remove(0);
    let mut waiting = world.staging.wait(BLOCK, 4 * BLOCK);
    assert!(world.poll(&mut waiting).is_pending());
    claim.arrived(bytes(0..4));
    claim.complete();
    world.staging.consumed(1, ByteRange::new(0, 4 * BLOCK));
    assert_eq!(world.held(), 3, "block 0 is nobody's");
    let Poll::Ready(Waited::Bytes(chunks)) = world.poll(&mut waiting) else {
        panic!("the bytes are here")
    };
    assert_eq!(joined(&chunks), bytes(1..4));
    assert_eq!(world.held(), 0);
}

#[test]
fn a_failure_reaches_those_who_wait_and_leaves_whole_blocks() {
    let world = World::new(4);
    let claim = world.claim(0..4, MEMORY).remove(0);
    let mut early = world.staging.wait(0, BLOCK);
    let mut late = world.staging.wait(2 * BLOCK, 3 * BLOCK);
    assert!(world.poll(&mut early).is_pending());
    assert!(world.poll(&mut late).is_pending());
    claim.arrived(bytes(0..2));
    claim.arrived(bytes(2..3).slice(..100));
    claim.fail("broken");
    assert!(matches!(world.poll(&mut early), Poll::Ready(Waited::Bytes(_))));
    assert_eq!(world.poll(&mut late), Poll::Ready(Waited::Failed("broken")));
    assert_eq!(world.staging.reaches(0), 2 * BLOCK, "half a block is no block");
    assert_eq!(world.held(), 2);
    assert_eq!(world.claim(0..4, MEMORY).len(), 1, "the rest can be claimed anew");
}

#[test]
fn a_dropped_claim_sends_waiters_elsewhere() {
    let world = World::new(4);
    let claim = world.claim(0..4, LANDS).remove(0);
    let mut waiting = world.staging.wait(0, BLOCK);
    assert!(world.poll(&mut waiting).is_pending());
    drop(claim);
    assert_eq!(world.rings(), 1);
    assert_eq!(world.poll(&mut waiting), Poll::Ready(Waited::Gone));
    assert_eq!(world.held(), 0);
}

#[test]
fn abandoned_unless_somebody_waits() {
    let world = World::new(8);
    let mut claims = world.claim(0..8, LANDS);
    let mut waiting = world.staging.wait(4 * BLOCK, 5 * BLOCK);
    assert!(world.poll(&mut waiting).is_pending());
    assert!(world.staging.abandon(1, claims[0].id()));
    assert!(!world.staging.abandon(1, claims[1].id()));
    drop(waiting);
    assert!(world.staging.abandon(1, claims[1].id()));
    claims.clear();
    assert_eq!(world.held(), 0);
}

#[test]
fn reclaiming_takes_first_what_is_on_disk() {
    let world = World::new(16);
    let mut claims = world.claim(0..12, LANDS);
    let unstored = claims.remove(2);
    let stored = claims.remove(1);
    let open = claims.remove(0);
    for (claim, blocks, good) in [(stored, 4..8, true), (unstored, 8..12, false)] {
        let (id, end) = (claim.id(), claim.range().end());
        claim.arrived(bytes(blocks));
        claim.landing(end);
        claim.complete();
        world.staging.settled(id, end, good);
    }
    open.arrived(bytes(0..2));
    let reclaimed = world.staging.reclaim(BLOCK);
    assert_eq!(reclaimed.freed, 4 * BLOCK);
    assert_eq!(reclaimed.lost, []);
    assert_eq!(
        world.staging.reaches(8 * BLOCK),
        12 * BLOCK,
        "what the disk has not got stayed"
    );
    let reclaimed = world.staging.reclaim(u64::MAX);
    assert_eq!(reclaimed.lost, [ByteRange::new(8 * BLOCK, 12 * BLOCK)]);
    assert_eq!(world.staging.reaches(0), 2 * BLOCK, "what is on its way stayed");
}

#[test]
fn each_keeper_keeps_for_himself() {
    let world = World::new(4);
    let claim = world.claim(0..4, MEMORY).remove(0);
    let other = Purpose {
        keeper: Some(2),
        lands: false,
        narrow: false,
        urgent: false,
    };
    assert!(world.claim(1..3, other).is_empty());
    claim.arrived(bytes(0..4));
    claim.complete();
    world.staging.consumed(1, ByteRange::new(0, 4 * BLOCK));
    assert_eq!(world.held(), 3, "the other wants block 1 still");
    world.staging.consumed(2, ByteRange::new(BLOCK, 3 * BLOCK));
    assert_eq!(world.held(), 0, "block 3 he never wanted");
}

#[test]
fn who_leaves_keeps_nothing() {
    let world = World::new(8);
    for claim in world.claim(0..8, MEMORY) {
        let (start, end) = (claim.range().start() / BLOCK, claim.range().end() / BLOCK);
        claim.arrived(bytes(start..end));
        claim.complete();
    }
    assert_eq!(world.held(), 8);
    world.staging.leave(1);
    assert_eq!(world.held(), 0);
}

#[test]
fn what_is_read_in_any_order_leaves_once_the_front_is_read() {
    let world = World::new(4);
    let claim = world.claim(0..4, MEMORY).remove(0);
    claim.arrived(bytes(0..4));
    claim.complete();
    for block in [2, 1, 3] {
        world.staging.consumed(1, ByteRange::at(block * BLOCK, BLOCK));
        assert_eq!(world.held(), 4, "block 0 is not read");
    }
    world.staging.consumed(1, ByteRange::at(0, BLOCK));
    assert_eq!(world.held(), 0);
}
