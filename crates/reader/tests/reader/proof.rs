//! Contents that are named by their hash: read as they come, or only when all of one was seen to be right.

use std::sync::Arc;

use forebay_range::Target;
use forebay_reader::{OpenOptions, ReadError, ReaderOptions, Verify};
use forebay_types::{ByteRange, Check, ErrorKind, Proof};

use crate::world::{KIB, MIB, Setup, World, within};

/// Compares with what the lab has under a key.
#[derive(Debug)]
struct Same(Vec<u8>);

struct Comparison(Vec<u8>, Vec<u8>);

impl Proof for Same {
    fn begin(&self) -> Box<dyn Check> {
        Box::new(Comparison(self.0.clone(), Vec::new()))
    }
}

impl Check for Comparison {
    fn take(&mut self, bytes: &[u8]) {
        self.1.extend_from_slice(bytes);
    }

    fn is_right(self: Box<Self>) -> bool {
        self.0 == self.1
    }
}

fn world(verify: Verify, cache_size: u64) -> World {
    let setup = Setup::small_parts().no_read_ahead();
    World::new(Setup {
        cache_size,
        reader: ReaderOptions {
            verify,
            ..setup.reader
        },
        ..setup
    })
}

/// An object of the lab, and what it must come to: its bytes, or its bytes but for the last.
fn target(world: &World, size: u64, right: bool) -> (Target, Vec<u8>) {
    let bytes = world.put("key", 1, size).read(ByteRange::new(0, size)).to_vec();
    let mut must = bytes.clone();
    if !right {
        *must.last_mut().unwrap() ^= 1;
    }
    let mut target = world.target("key");
    target.proof = Some(Arc::new(Same(must)));
    (target, bytes)
}

#[tokio::test]
async fn bytes_are_read_as_they_come_and_kept_when_they_are_right() {
    let world = world(Verify::Complete, 64 * MIB);
    let reader = world.reader();
    let (target, bytes) = target(&world, 2 * MIB, true);
    let handle = reader
        .open(target, OpenOptions::default().first(64 * KIB))
        .await
        .unwrap();
    assert_eq!(handle.read_at(0, 4096).await.unwrap(), bytes[..4096]);
    assert!(
        world.lab.counts().bytes_sent <= 256 * KIB,
        "{:?}",
        world.lab.counts()
    );
    assert_eq!(handle.read_at(0, bytes.len()).await.unwrap(), bytes);
    reader.flush().await;
    assert!(handle.hand_out().is_some());
}

#[tokio::test]
async fn wrong_bytes_are_refused_once_all_are_here() {
    let world = world(Verify::Complete, 64 * MIB);
    let reader = world.reader();
    let mut told = reader.cache().unwrap().refutations();
    let (target, bytes) = target(&world, 2 * MIB, false);
    let handle = reader.open(target.clone(), OpenOptions::default()).await.unwrap();
    assert_eq!(handle.read_at(0, bytes.len()).await.unwrap(), bytes);
    reader.flush().await;
    assert_eq!(&told.recv().await.unwrap(), handle.id());
    let error = handle.read_at(0, 10).await.unwrap_err();
    assert!(matches!(error, ReadError::Refuted { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(handle.hand_out().is_none());
    assert_eq!(handle.try_read_at(0, &mut [0; 10]), None);
    assert!(handle.read_chunks_at(0, 10).await.is_err());
    assert!(handle.read_into(0, &mut [0; 10]).await.is_err());
    // Who opens it beside those hears of it; when nobody has it any more it is asked for anew.
    let again = reader.open(target.clone(), OpenOptions::default()).await;
    assert!(matches!(again, Err(ReadError::Refuted { .. })));
    drop((handle, again));
    let anew = within(async {
        loop {
            // What was under way for the others ends a moment after them.
            match reader.open(target.clone(), OpenOptions::default()).await {
                Ok(handle) => return handle,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let anew = anew.await;
    assert_eq!(anew.read_at(0, 10).await.unwrap(), bytes[..10]);
}

#[tokio::test]
async fn strictly_nothing_is_read_that_was_not_checked() {
    let world = world(Verify::Strict, 64 * MIB);
    let reader = world.reader();
    let (right, bytes) = target(&world, 2 * MIB, true);
    let handle = reader.open(right.clone(), OpenOptions::default()).await.unwrap();
    // All of it is here by now, checked and sealed.
    assert!(handle.is_cached() && handle.hand_out().is_some());
    let counts = world.lab.counts();
    assert!(
        counts.bytes_sent >= 2 * MIB && counts.bytes_sent < 3 * MIB,
        "{counts:?}"
    );
    let mut first = [0; 100];
    assert_eq!(handle.try_read_at(0, &mut first), Some(100));
    assert_eq!(first, bytes[..100]);
    assert_eq!(handle.read_at(0, bytes.len()).await.unwrap(), bytes);
    // Ten who open it at once fetch it once.
    let world = self::world(Verify::Strict, 64 * MIB);
    let reader = world.reader();
    let (right, bytes) = target(&world, 2 * MIB, true);
    let first = OpenOptions::default().first(64 * KIB);
    let opens = (0..10).map(|_| reader.open(right.clone(), first));
    for handle in futures::future::join_all(opens).await {
        assert_eq!(handle.unwrap().read_at(5, 5).await.unwrap(), bytes[5..10]);
    }
    assert!(
        world.lab.counts().bytes_sent < 4 * MIB,
        "{:?}",
        world.lab.counts()
    );
    let wrong = target(&world, MIB, false).0;
    let refused = reader.open(wrong, OpenOptions::default()).await;
    assert!(matches!(refused, Err(ReadError::Refuted { .. })), "{refused:?}");
}

#[tokio::test]
async fn strictly_what_cannot_be_kept_cannot_be_opened() {
    let world = world(Verify::Strict, MIB);
    let (right, _) = target(&world, 8 * MIB, true);
    let refused = world
        .reader()
        .open(right.clone(), OpenOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, ReadError::Unproven { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    let refused = world
        .uncached()
        .open(right, OpenOptions::default())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("not kept in a cache"), "{refused}");
    // Of what has no hash nothing is asked.
    world.put("other", 2, MIB);
    let target = world.target("other");
    world
        .uncached()
        .open(target, OpenOptions::default())
        .await
        .unwrap();
}
