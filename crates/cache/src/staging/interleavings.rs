//! Every order in which a fetcher, readers and the disk can meet. `RUSTFLAGS="--cfg forebay_loom" cargo test -p forebay-cache --lib`.

use bytes::Bytes;
use loom::future::block_on;
use loom::thread;

use super::*;

#[derive(Debug)]
struct NoHold;

impl Hold for NoHold {
    fn release(&mut self, _bytes: u64) {}
}

const MEMORY: Purpose = Purpose {
    keeper: Some(1),
    lands: false,
    narrow: false,
    urgent: false,
};
const LANDS: Purpose = Purpose {
    keeper: Some(1),
    lands: true,
    narrow: false,
    urgent: false,
};

fn claim(staging: &Staging<NoHold, u32>, purpose: Purpose) -> Option<Claim<NoHold, u32>> {
    staging
        .claim(
            BlockRange::new(0, 1),
            purpose,
            |blocks| vec![(blocks, false)],
            |run| [run],
            |_| Some(NoHold),
        )
        .claims
        .pop()
}

/// An object of one small block.
fn staging() -> Staging<NoHold, u32> {
    Staging::new(4)
}

/// Reads as the reader above does: claims what nobody fetches, waits for what somebody does.
fn read(staging: &Staging<NoHold, u32>) -> Vec<u8> {
    loop {
        if let Some(mine) = claim(staging, MEMORY) {
            mine.arrived(Bytes::from_static(b"ab"));
            mine.arrived(Bytes::from_static(b"cd"));
            mine.complete();
        }
        match block_on(staging.wait(0, 4)) {
            Waited::Bytes(chunks) => return chunks.concat(),
            Waited::Gone => {}
            Waited::Failed(_) => panic!("nothing fails here"),
        }
    }
}

#[test]
fn two_readers_share_one_fetch_and_both_wake() {
    loom::model(|| {
        let staging = staging();
        let other = staging.clone();
        let reader = thread::spawn(move || read(&other));
        assert_eq!(read(&staging), b"abcd");
        assert_eq!(reader.join().expect("the reader ends"), b"abcd");
    });
}

#[test]
fn a_waiter_survives_that_its_fetcher_gives_up() {
    loom::model(|| {
        let staging = staging();
        let first = claim(&staging, MEMORY).expect("nobody else");
        let other = staging.clone();
        let fetcher = thread::spawn(move || {
            first.arrived(Bytes::from_static(b"ab"));
            drop(first);
            other
        });
        assert_eq!(read(&staging), b"abcd");
        fetcher.join().expect("the fetcher ends");
    });
}

#[test]
fn bytes_are_here_or_on_disk_at_every_moment() {
    loom::model(|| {
        let staging = staging();
        let mine = claim(&staging, LANDS).expect("nobody else");
        let on_disk = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let (other, disk) = (staging.clone(), on_disk.clone());
        let lander = thread::spawn(move || {
            let id = mine.id();
            mine.arrived(Bytes::from_static(b"abcd"));
            mine.landing(4);
            mine.complete();
            other.consumed(1, ByteRange::new(0, 4));
            disk.store(true, loom::sync::atomic::Ordering::SeqCst);
            other.settled(id, 4, true);
        });
        match block_on(staging.wait(0, 4)) {
            Waited::Bytes(chunks) => assert_eq!(chunks.concat(), b"abcd"),
            Waited::Gone => assert!(on_disk.load(loom::sync::atomic::Ordering::SeqCst)),
            Waited::Failed(_) => panic!("nothing fails here"),
        }
        lander.join().expect("the lander ends");
        assert!(staging.is_empty());
    });
}
