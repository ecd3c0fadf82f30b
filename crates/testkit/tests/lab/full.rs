//! What only the full face does, and that the fault layer is above it too.

use forebay_testkit::{Attributes, Content, Face, FaultKind, Lab, Point, Rule, WrongRange};
use forebay_types::ByteRange;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, TagSet};
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Client;
use crate::store::store;

const SIZE: u64 = 40_000_000;

fn full() -> (Lab, AmazonS3) {
    let lab = Lab::builder()
        .face(Face::Full)
        .bucket("bucket")
        .credentials("key", "secret")
        .start()
        .unwrap();
    lab.objects().put("bucket", "k", Content::pattern(5, SIZE));
    let store = store(&lab, "bucket", "key", "secret");
    (lab, store)
}

async fn failure(store: &AmazonS3) -> String {
    format!("{:?}", store.get(&Path::from("k")).await.unwrap_err())
}

#[tokio::test]
async fn signatures_are_checked() {
    let (lab, good) = full();
    assert!(good.get(&Path::from("k")).await.is_ok());
    let wrong = failure(&store(&lab, "bucket", "key", "wrong")).await;
    assert!(wrong.contains("SignatureDoesNotMatch"), "{wrong}");
    let unknown = failure(&store(&lab, "bucket", "other", "secret")).await;
    assert!(unknown.contains("InvalidAccessKeyId"), "{unknown}");
    assert_eq!(
        Client::connect(lab.addr()).get("/bucket/k", &[]).status,
        403,
        "no signature"
    );
}

/// A trusting client gets through, by address and by name, and a fault ends its connection as it does a plain one.
#[tokio::test]
async fn the_lab_can_be_served_over_https() {
    let lab = Lab::builder().tls().start().unwrap();
    lab.objects().put("b", "k", Content::pattern(1, 3_000_000));
    assert_eq!(lab.endpoint(), format!("https://{}", lab.addr()));
    let mut roots = rustls::RootCertStore::empty();
    let pem = lab.ca_pem().unwrap().as_bytes();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    for (name, cut) in [("127.0.0.1", false), ("localhost", true)] {
        if cut {
            lab.faults()
                .add(Rule::new(FaultKind::Truncate { after: 1_000_000 }));
        }
        let tcp = tokio::net::TcpStream::connect(lab.addr()).await.unwrap();
        let mut stream = connector.connect(name.try_into().unwrap(), tcp).await.unwrap();
        stream
            .write_all(b"GET /b/k HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let head = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap()
            + 4;
        let body = &answer[head..];
        assert_eq!(body.len(), if cut { 1_000_000 } else { 3_000_000 });
        assert_eq!(Content::pattern(1, 3_000_000).check(0, body), Ok(()));
    }
}

#[tokio::test]
async fn buckets_may_be_missing_or_denied() {
    let (lab, good) = full();
    let missing = failure(&store(&lab, "nobody", "key", "secret")).await;
    assert!(missing.contains("NoSuchBucket"), "{missing}");
    lab.objects().deny_bucket("bucket", true);
    let denied = failure(&good).await;
    assert!(
        denied.contains("AccessDenied") && denied.contains("403"),
        "{denied}"
    );
}

#[tokio::test]
async fn every_byte_is_where_it_should_be() {
    let (lab, store) = full();
    let content = Content::pattern(5, SIZE);
    let bytes = store.get(&Path::from("k")).await.unwrap().bytes().await.unwrap();
    assert_eq!((bytes.len() as u64, content.check(0, &bytes)), (SIZE, Ok(())));
    for (range, start) in [
        (GetRange::Bounded(10..1_000_000), 10),
        (GetRange::Offset(SIZE - 5), SIZE - 5),
        (GetRange::Suffix(1_000), SIZE - 1_000),
    ] {
        let options = GetOptions {
            range: Some(range),
            ..GetOptions::default()
        };
        let bytes = store
            .get_opts(&Path::from("k"), options)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        assert_eq!(content.check(start, &bytes), Ok(()));
    }
    assert_eq!(lab.counts().gets, 4);
}

#[tokio::test]
async fn attributes_and_tags_are_kept() {
    let (lab, store) = full();
    let attributes = Attributes {
        content_type: Some("text/csv".into()),
        cache_control: Some("no-store".into()),
        ..Attributes::default()
    };
    lab.objects().put_with("bucket", "a", "x".into(), attributes);
    let got = store.get(&Path::from("a")).await.unwrap();
    assert_eq!(
        got.attributes
            .get(&object_store::Attribute::ContentType)
            .unwrap()
            .as_ref(),
        "text/csv"
    );
    assert_eq!(
        got.attributes
            .get(&object_store::Attribute::CacheControl)
            .unwrap()
            .as_ref(),
        "no-store"
    );
    let mut tags = TagSet::default();
    tags.push("team", "a & b");
    store
        .put_opts(&Path::from("t"), "x".into(), tags.into())
        .await
        .unwrap();
    assert_eq!(
        lab.objects().get("bucket", "t").unwrap().attributes.tags["team"],
        "a & b"
    );
}

#[tokio::test]
async fn conditional_puts_are_refused_with_412() {
    let (lab, store) = full();
    let path = Path::from("once");
    store
        .put_opts(&path, "1".into(), PutMode::Create.into())
        .await
        .unwrap();
    let again = store
        .put_opts(&path, "2".into(), PutMode::Create.into())
        .await
        .unwrap_err();
    assert!(
        matches!(again, object_store::Error::AlreadyExists { .. }),
        "{again:?}"
    );
    assert_eq!(
        lab.objects()
            .get("bucket", "once")
            .unwrap()
            .content
            .read(ByteRange::new(0, 9)),
        "1"
    );
}

/// A signature covers Range and If-Match, so these faults must not touch the headers before they are checked.
#[tokio::test]
async fn faults_reach_the_full_face() {
    let (lab, store) = full();
    let path = Path::from("k");
    let ranged = || GetOptions {
        range: Some(GetRange::Bounded(100..200)),
        ..GetOptions::default()
    };
    lab.faults().add(Rule::new(FaultKind::WholeBody));
    let whole = format!("{:?}", store.get_opts(&path, ranged()).await.unwrap_err());
    assert!(whole.contains("NotPartial"), "{whole}");
    lab.faults().clear();

    let stale = || GetOptions {
        if_match: Some("\"no\"".into()),
        ..GetOptions::default()
    };
    let refused = store.get_opts(&path, stale()).await.unwrap_err();
    assert!(
        matches!(refused, object_store::Error::Precondition { .. }),
        "{refused:?}"
    );
    lab.faults().add(Rule::new(FaultKind::IgnoreConditions));
    assert!(store.get_opts(&path, stale()).await.is_ok());
    lab.faults().clear();

    lab.faults()
        .add(Rule::new(FaultKind::ContentRange(WrongRange::Shifted(1))));
    assert!(store.get_opts(&path, ranged()).await.is_err());
    lab.faults().clear();

    lab.faults()
        .add(Rule::new(FaultKind::Reset(Point::AfterBody(50))).times(1));
    assert!(
        store
            .get_opts(&path, ranged())
            .await
            .unwrap()
            .bytes()
            .await
            .is_err()
    );
    let bytes = store
        .get_opts(&path, ranged())
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(Content::pattern(5, SIZE).check(100, &bytes), Ok(()));

    lab.faults().add(Rule::new(FaultKind::MissingContentLength));
    assert!(store.get(&path).await.is_err(), "crate object_store needs one");
}

#[tokio::test]
async fn a_fresh_copy_is_answered_with_304_alone() {
    let (_lab, store) = full();
    let path = Path::from("k");
    let etag = store.head(&path).await.unwrap().e_tag;
    let fresh = GetOptions {
        if_none_match: etag,
        ..GetOptions::default()
    };
    let fresh = store.get_opts(&path, fresh).await.unwrap_err();
    assert!(
        matches!(fresh, object_store::Error::NotModified { .. }),
        "{fresh:?}"
    );
}
