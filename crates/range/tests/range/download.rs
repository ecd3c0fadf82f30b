//! The engine over a function that fetches ranges.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_source::Failure;
use forebay_testkit::Content;
use forebay_types::{ByteRange, ErrorKind};
use tokio_util::sync::CancellationToken;

use crate::world::{KIB, MIB, small_parts, within};

fn config() -> RangeEngineConfig {
    RangeEngineConfig {
        stall_timeout: Duration::from_secs(10),
        ..small_parts()
    }
}

fn of(content: &Content, offset: u64, len: u64) -> Bytes {
    content.read(ByteRange::at(offset, len))
}

fn unavailable() -> object_store::Error {
    let status = Failure::Status {
        status: 503,
        code: None,
        message: None,
        retry_after: None,
    };
    status.into_store_error("range")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_function_can_be_downloaded_in_parallel() {
    let engine = RangeEngine::new(config());
    for size in [0, 1, 128 * KIB, MIB + 7] {
        let content = Content::pattern(3, size);
        let calls = Arc::new(AtomicU64::new(0));
        let fetch = {
            let (content, calls) = (content.clone(), calls.clone());
            move |offset, len| {
                calls.fetch_add(1, Relaxed);
                let bytes = of(&content, offset, len);
                async move { Ok(bytes) }
            }
        };
        let (bytes, stats) = within(engine.download(size, fetch, None)).await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        content.check(0, &bytes).unwrap();
        assert_eq!(stats.bytes_downloaded, size);
        assert_eq!(calls.load(Relaxed), stats.requests);
        // The last 7 bytes are no part of their own.
        assert_eq!(stats.requests, (size / (128 * KIB)).max(size.min(1)));
    }
    assert_eq!((engine.budget().in_flight(), engine.gate().in_flight()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_fail_are_fetched_again_as_far_as_that_helps() {
    let engine = RangeEngine::new(config());
    let content = Content::pattern(3, MIB);
    let failed = Arc::new(Mutex::new(HashSet::new()));
    let fetch = {
        let content = content.clone();
        move |offset, len| {
            let bytes = of(&content, offset, len);
            // Each range once.
            let fails = failed.lock().unwrap().insert(offset);
            async move { if fails { Err(unavailable()) } else { Ok(bytes) } }
        }
    };
    let (bytes, stats) = within(engine.download(MIB, fetch, None)).await.unwrap();
    content.check(0, &bytes).unwrap();
    assert_eq!(stats.retries, 8, "{stats:?}");

    let denied = |_, _| async {
        let status = Failure::Status {
            status: 403,
            code: None,
            message: None,
            retry_after: None,
        };
        Err(status.into_store_error("range"))
    };
    let error = within(engine.download(1000, denied, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);

    let down = |_, _| async { Err(unavailable()) };
    let error = within(engine.download(MIB, down, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!((engine.budget().in_flight(), engine.gate().in_flight()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_answers_with_another_length_is_not_believed() {
    let engine = RangeEngine::new(config());
    for by in [-1_i64, 1] {
        let wrong = move |_, len: u64| async move {
            Ok(Bytes::from(vec![7; len.saturating_add_signed(by) as usize]))
        };
        let error = within(engine.download(1000, wrong, None)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_download_ends_at_once_and_drops_its_calls() {
    struct Alive(Arc<AtomicU64>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }
    let engine = RangeEngine::new(config());
    let alive = Arc::new(AtomicU64::new(0));
    let fetch = {
        let alive = alive.clone();
        move |_, _| {
            alive.fetch_add(1, Relaxed);
            let here = Alive(alive.clone());
            async move {
                let _here = here;
                std::future::pending().await
            }
        }
    };
    let cancel = CancellationToken::new();
    let download = Box::pin(engine.download(MIB, fetch, Some(cancel.clone())));
    let stop = async {
        while alive.load(Relaxed) < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancel.cancel();
    };
    let (outcome, ()) = within(async { tokio::join!(download, stop) }).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    for _ in 0..200 {
        if alive.load(Relaxed) == 0 && engine.budget().in_flight() == 0 && engine.gate().in_flight() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} calls are still under way", alive.load(Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_cancelled_before_it_begins_is_cancelled() {
    let engine = RangeEngine::new(config());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let never = |_, _| std::future::pending();
    let error = within(engine.download(MIB, never, Some(cancel)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
