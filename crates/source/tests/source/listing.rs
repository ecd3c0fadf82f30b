//! Listings: complete, in order, and robust against keys and servers that are not.

use std::time::Duration;

use forebay_source::Opener;
use forebay_testkit::{Content, Face, FaultKind, Op, Point, RetryAfter, Rule};
use forebay_types::ErrorKind;
use futures::{StreamExt, TryStreamExt};

use crate::server::{Reply, Server};
use crate::world::{kind, lab, open, options, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_stream_in_order() {
    let lab = lab(Face::Fast);
    for n in 0..100_000 {
        lab.objects()
            .put("bucket", &format!("dir/{n:06}"), Content::pattern(0, n));
    }
    let opener = Opener::new(options(&lab));
    let source = open(&opener, "s3://bucket/dir/");
    let mut keys = source.store.list(Some(&source.path));
    let mut expected = 0;
    within(async {
        while let Some(meta) = keys.next().await {
            let meta = meta.unwrap();
            assert_eq!(
                (meta.location.as_ref(), meta.size),
                (format!("dir/{expected:06}").as_str(), expected)
            );
            expected += 1;
        }
    })
    .await;
    assert_eq!(expected, 100_000);
    assert_eq!(lab.counts().lists, 100);
    assert_eq!(opener.transport().meter().connections(), 1);
    drop(keys);
    assert_eq!(opener.budget().in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_holds_no_connection_between_its_pages() {
    let lab = lab(Face::Fast);
    for n in 0..5000 {
        lab.objects()
            .put("bucket", &format!("{n:06}"), Content::pattern(0, n));
    }
    let opener = Opener::new(options(&lab));
    let mut keys = open(&opener, "s3://bucket/").store.list(None);
    within(keys.next()).await.unwrap().unwrap();
    assert_eq!(opener.budget().in_use(), 0);
    drop(keys);
    lab.faults().add(
        Rule::new(FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        })
        .op(Op::List),
    );
    let mut keys = open(&opener, "s3://bucket/").store.list(None);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), keys.next())
            .await
            .is_err()
    );
    assert_eq!(opener.budget().in_use(), 1);
    drop(keys);
    assert_eq!(opener.budget().in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_no_path_can_hold_are_left_out_and_counted() {
    for face in [Face::Fast, Face::Full] {
        let lab = lab(face);
        for key in [
            "a", "a//b", "b/../c", "d/", "e & <f>", "g/h", "/i", "./j", "k%20l", "m\u{301}",
        ] {
            lab.objects().put("bucket", key, "x");
        }
        let opener = Opener::new(options(&lab));
        let source = open(&opener, "s3://bucket/");
        let listed: Vec<_> = within(source.store.list(None).try_collect()).await.unwrap();
        let mut keys: Vec<_> = listed.iter().map(|meta| meta.location.to_string()).collect();
        keys.sort();
        assert_eq!(keys, ["a", "e & <f>", "g/h", "k%20l", "m\u{301}"], "{face:?}");
        assert_eq!(opener.transport().meter().skipped_keys(), 4, "{face:?}");
        // The level by itself shows what it can as well.
        let level = within(source.store.list_with_delimiter(None)).await.unwrap();
        let prefixes: Vec<_> = level.common_prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(prefixes, ["a", "b", "d", "g"], "{face:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_is_asked_for_again_when_the_server_says() {
    let lab = lab(Face::Fast);
    lab.objects().put("bucket", "a", "x");
    let busy = FaultKind::Status {
        code: 503,
        retry_after: Some(RetryAfter::Seconds(1)),
    };
    lab.faults().add(Rule::new(busy).op(Op::List).times(1));
    let opener = Opener::new(options(&lab));
    let begun = tokio::time::Instant::now();
    let keys: Vec<_> = within(open(&opener, "s3://bucket/").store.list(None).try_collect())
        .await
        .unwrap();
    assert_eq!(keys.len(), 1);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(opener.transport().meter().retries(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_end_is_refused() {
    let server = Server::start(|_, _| {
        let mut page = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult>".to_vec();
        page.resize(17 << 20, b' ');
        Reply::raw(page)
    })
    .await;
    let mut settings = options(&lab(Face::Fast));
    settings
        .cloud
        .insert("aws_endpoint_url".to_owned(), server.url(""));
    let opener = Opener::new(settings);
    let listed: Result<Vec<_>, _> =
        within(open(&opener, "s3://bucket/").store.list(None).try_collect()).await;
    let error = listed.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_no_listing_is_an_error() {
    let server = Server::start(|_, _| Reply::of("200 OK", "<html><body>log in first</html>")).await;
    let mut settings = options(&lab(Face::Fast));
    settings
        .cloud
        .insert("aws_endpoint_url".to_owned(), server.url(""));
    let opener = Opener::new(settings);
    let listed: Result<Vec<_>, _> =
        within(open(&opener, "s3://bucket/").store.list(None).try_collect()).await;
    assert_eq!(kind(&listed.unwrap_err()), ErrorKind::Unavailable);
}
