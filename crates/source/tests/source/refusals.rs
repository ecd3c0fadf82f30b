//! What S3 refuses, and which word it becomes.

use std::time::Duration;

use forebay_source::{Fault, Opener};
use forebay_testkit::{Face, FaultKind, Op, RetryAfter, Rule};
use forebay_types::ErrorKind;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};

use crate::world::{kind, lab, open, options, read, within};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_is_not_allowed_are_told_apart() {
    let lab = lab(Face::Full);
    lab.objects().put("bucket", "object", "x");
    lab.objects().put("closed", "object", "x");
    lab.objects().deny_bucket("closed", true);
    let opener = Opener::new(options(&lab));
    for (url, expected) in [
        ("s3://bucket/missing", ErrorKind::NotFound),
        ("s3://nowhere/object", ErrorKind::NotFound),
        ("s3://closed/object", ErrorKind::Denied),
    ] {
        let source = open(&opener, url);
        let error = within(read(&source)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{url}: {error}");
        let error = within(source.store.head(&source.path)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "HEAD {url}: {error}");
    }
    for (url, expected) in [
        ("s3://nowhere/", ErrorKind::NotFound),
        ("s3://closed/", ErrorKind::Denied),
    ] {
        let listed: Result<Vec<_>, _> = within(open(&opener, url).store.list(None).try_collect()).await;
        let error = listed.unwrap_err();
        assert_eq!(kind(&error), expected, "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_denied_and_not_repeated() {
    let lab = lab(Face::Full);
    lab.objects().put("bucket", "object", "x");
    for (name, value) in [
        ("aws_secret_access_key", "wrong"),
        ("aws_access_key_id", "nobody"),
    ] {
        lab.reset_counts();
        let mut options = options(&lab);
        options.cloud.insert(name.to_owned(), value.to_owned());
        let source = open(&Opener::new(options), "s3://bucket/object");
        let error = within(read(&source)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Denied, "{name}: {error}");
        assert_eq!(lab.counts().requests, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_past_the_end_is_a_416() {
    let lab = lab(Face::Full);
    lab.objects().put("bucket", "object", "x");
    let source = open(&Opener::new(options(&lab)), "s3://bucket/object");
    let error = within(source.store.get_range(&source.path, 10..20))
        .await
        .unwrap_err();
    assert_eq!(Fault::of(&error).status, Some(416), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_repeated_when_the_server_says() {
    let lab = lab(Face::Full);
    let opener = Opener::new(options(&lab));
    let store = open(&opener, "s3://bucket/").store;
    let busy = |op| {
        let kind = FaultKind::Status {
            code: 503,
            retry_after: Some(RetryAfter::Seconds(0)),
        };
        Rule::new(kind).op(op).times(1)
    };
    let path = Path::from("object");
    lab.faults().add(busy(Op::Put));
    within(store.put(&path, "x".into())).await.unwrap();
    // A refusal is no doubt about what was done: what must happen once can be repeated too.
    lab.faults().add(busy(Op::Put));
    within(store.put_opts(&Path::from("new"), "x".into(), PutMode::Create.into()))
        .await
        .unwrap();
    lab.faults().add(busy(Op::Other));
    let paths = futures::stream::iter([Ok(path.clone()), Ok(Path::from("new"))]).boxed();
    let deleted: Vec<_> = within(store.delete_stream(paths).try_collect()).await.unwrap();
    assert_eq!(deleted.len(), 2);
    assert!(lab.objects().get("bucket", "object").is_none());
    assert_eq!(opener.transport().meter().retries(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_put_whose_fate_is_unknown_is_not_repeated() {
    let lab = lab(Face::Full);
    let opener = Opener::new(options(&lab));
    let store = open(&opener, "s3://bucket/").store;
    lab.faults().add(
        Rule::new(FaultKind::Status {
            code: 500,
            retry_after: None,
        })
        .op(Op::Put)
        .times(1),
    );
    let path = Path::from("new");
    let put = store.put_opts(&path, "x".into(), PutMode::Create.into());
    assert_eq!(kind(&within(put).await.unwrap_err()), ErrorKind::Unavailable);
    assert_eq!(lab.counts().puts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_put_that_loses_is_a_conflict() {
    let lab = lab(Face::Full);
    let store = open(&Opener::new(options(&lab)), "s3://bucket/").store;
    let path = Path::from("object");
    within(store.put(&path, "x".into())).await.unwrap();
    let error = within(store.put_opts(&path, "y".into(), PutMode::Create.into()))
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Conflict, "{error}");
    assert!(
        lab.objects()
            .get("bucket", "object")
            .unwrap()
            .content
            .check(0, b"x")
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_down_is_an_error_after_all_attempts() {
    let lab = lab(Face::Fast);
    let opener = Opener::new(options(&lab));
    let source = open(&opener, "s3://bucket/object");
    lab.faults().add(
        Rule::new(FaultKind::Status {
            code: 500,
            retry_after: Some(RetryAfter::Seconds(0)),
        })
        .op(Op::Head),
    );
    let begun = tokio::time::Instant::now();
    let error = within(source.store.head(&source.path)).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    assert_eq!(lab.counts().heads, 6);
    assert!(begun.elapsed() < Duration::from_secs(20));
}
