//! Connections: made, kept, given up, and trusted.

use std::sync::Arc;
use std::time::Duration;

use forebay_source::{
    EngineRead, Failure, HttpStore, Opener, ReadOnly, SourceOptions, Transport, TransportOptions,
};
use forebay_testkit::{Content, Face, FaultKind, Lab, Point, Rule};
use forebay_types::{ErrorKind, ManualClock};
use object_store::client::HttpRequestBody;
use object_store::{Extensions, GetOptions, ObjectStoreExt};

use crate::server::{Reply, Server};
use crate::world::{get, init_logging, kind, lab, open, options, read, within};

/// As the engine asks: nothing below repeats it.
fn once() -> GetOptions {
    let mut extensions = Extensions::new();
    extensions.insert(EngineRead::default());
    GetOptions {
        extensions,
        ..GetOptions::default()
    }
}

fn with(transport: TransportOptions) -> Opener {
    init_logging();
    Opener::new(SourceOptions {
        transport,
        ..SourceOptions::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_one_after_the_other_share_a_connection() {
    let lab = lab(Face::Fast);
    lab.objects()
        .put("bucket", "object", Content::pattern(1, 100_000));
    let opener = Opener::new(options(&lab));
    let source = open(&opener, "s3://bucket/object");
    for _ in 0..20 {
        assert_eq!(within(read(&source)).await.unwrap().len(), 100_000);
        within(source.store.head(&source.path)).await.unwrap();
    }
    let missing = object_store::path::Path::from("missing");
    assert!(within(source.store.get(&missing)).await.is_err());
    within(read(&source)).await.unwrap();
    assert_eq!(
        (lab.counts().connections, opener.transport().meter().connections()),
        (1, 1)
    );
    assert_eq!(opener.transport().idle_connections(), 1);
    assert_eq!(opener.transport().meter().received_bytes() / 100_000, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_left_unread_costs_its_connection() {
    let lab = lab(Face::Fast);
    lab.objects()
        .put("bucket", "object", Content::pattern(1, 50 << 20));
    let opener = Opener::new(options(&lab));
    let source = open(&opener, "s3://bucket/object");
    drop(within(source.store.get(&source.path)).await.unwrap());
    assert_eq!(opener.transport().idle_connections(), 0);
    assert_eq!(opener.budget().in_use(), 0);
    assert!(opener.transport().meter().received_bytes() < 10 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_not_used_beyond_their_age() {
    let lab = lab(Face::Fast);
    lab.objects().put("bucket", "object", "x");
    let clock = ManualClock::default();
    let transport = Transport::with_clock(TransportOptions::default(), Arc::new(clock.clone()));
    let url: url::Url = format!("{}/bucket/object", lab.endpoint()).parse().unwrap();
    let store = HttpStore::new(url, transport.clone());
    let (path, store) = (store.object_path(), ReadOnly(store));
    let read = async || within(store.get(&path)).await.unwrap().bytes().await.unwrap();
    read().await;
    clock.advance(Duration::from_secs(19));
    read().await;
    assert_eq!(transport.meter().connections(), 1);
    clock.advance(Duration::from_secs(20));
    read().await;
    assert_eq!(transport.meter().connections(), 2);
    assert_eq!(transport.idle_connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_is_replaced_unseen() {
    // Closes after each answer without a word about it.
    let server = Server::start(|_, _| Reply {
        close: true,
        ..Reply::of("200 OK", "x")
    })
    .await;
    let opener = with(TransportOptions::default());
    let source = open(&opener, &server.url("/file"));
    for _ in 0..5 {
        assert_eq!(within(get(&source, once())).await.unwrap(), "x");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(opener.transport().meter().connections(), 5);
    assert_eq!(opener.transport().meter().retries(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_at_the_deadline() {
    let lab = lab(Face::Fast);
    lab.objects()
        .put("bucket", "object", Content::pattern(1, 100_000));
    let opener = with(TransportOptions {
        // Much more than an answer takes, on a busy machine too.
        stall_timeout: Duration::from_millis(1500),
        ..TransportOptions::default()
    });
    let source = open(&opener, &format!("{}/bucket/object", lab.endpoint()));
    for at in [Point::BeforeHeaders, Point::AfterBody(1000)] {
        lab.faults()
            .add(Rule::new(FaultKind::Stall { at, resume: None }).times(1));
        let error = within(get(&source, once())).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::TimedOut, "{at:?}: {error}");
    }
    assert_eq!(opener.budget().in_use(), 0);
    // Slow is not silent: it takes longer than the deadline.
    lab.faults().add(Rule::new(FaultKind::Bandwidth(50_000)).times(1));
    assert_eq!(within(get(&source, once())).await.unwrap().len(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_is_unavailable() {
    let opener = with(TransportOptions::default());
    let gone = Server::start(|_, _| Reply::of("200 OK", "")).await.addr;
    // A port that was just free, on an address where nobody listens.
    let source = open(&opener, &format!("http://127.0.0.2:{}/x", gone.port()));
    let error = within(get(&source, once())).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    assert!(
        error.to_string().contains("cannot connect to 127.0.0.2"),
        "{error}"
    );
    let source = open(&opener, "http://no-such-host.invalid/x");
    let error = within(get(&source, once())).await.unwrap_err();
    assert!(
        matches!(kind(&error), ErrorKind::Unavailable | ErrorKind::TimedOut),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_end_is_given_up_at_the_connect_deadline() {
    // It takes the connection and never says a word of TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let opener = with(TransportOptions {
        connect_timeout: Duration::from_millis(200),
        ..TransportOptions::default()
    });
    let source = open(&opener, &format!("https://{}/x", listener.local_addr().unwrap()));
    let error = within(get(&source, once())).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::TimedOut, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_breaks_off_may_be_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let source = open(&with(TransportOptions::default()), &format!("https://{addr}/x"));
    let error = within(get(&source, once())).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_trusted_if_their_authority_is() {
    init_logging();
    let lab = Lab::builder()
        .face(Face::Full)
        .credentials("key", "secret")
        .bucket("bucket")
        .tls()
        .start()
        .unwrap();
    lab.objects()
        .put("bucket", "object", Content::pattern(1, 300_000));
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, lab.ca_pem().unwrap()).unwrap();

    let mut trusting = options(&lab);
    trusting.transport.extra_roots = Some(pem);
    let opener = Opener::new(trusting);
    let s3 = open(&opener, "s3://bucket/object");
    assert_eq!(within(read(&s3)).await.unwrap().len(), 300_000);
    within(s3.store.head(&s3.path)).await.unwrap();
    assert_eq!(opener.transport().meter().connections(), 1);

    let source = open(&Opener::new(options(&lab)), "s3://bucket/object");
    let error = within(read(&source)).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("TLS"), "{error}");

    let mut unreadable = options(&lab);
    unreadable.transport.extra_roots = Some(dir.path().join("missing.pem"));
    let error = within(read(&open(&Opener::new(unreadable), "s3://bucket/object")))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_documents_are_read_only_so_far() {
    for status in [
        "404 Not Found",
        "403 Forbidden",
        "500 Internal Server Error",
        "400 Bad Request",
    ] {
        let server = Server::start(move |_, _| Reply {
            close: true,
            ..Reply::of(&format!("{status}\nConnection: close"), vec![b'x'; 8 << 20])
        })
        .await;
        let mut settings = options(&lab(Face::Fast));
        settings
            .cloud
            .insert("aws_endpoint_url".to_owned(), server.url(""));
        let opener = Opener::new(settings);
        for url in ["s3://bucket/object".to_owned(), server.url("/bucket/object")] {
            let before = opener.transport().meter().received_bytes();
            let error = within(get(&open(&opener, &url), once())).await.unwrap_err();
            let read = opener.transport().meter().received_bytes() - before;
            assert!(
                read <= 512 << 10,
                "{status} {url}: {read} bytes of an error document"
            );
            assert!(error.to_string().len() < 70 << 10, "{status} {url}");
            let expected = match &status[..3] {
                "404" => ErrorKind::NotFound,
                "403" => ErrorKind::Denied,
                "400" => ErrorKind::Invalid,
                _ => ErrorKind::Unavailable,
            };
            assert_eq!(kind(&error), expected, "{status} {url}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_sent_are_invalid() {
    let transport = Transport::new(TransportOptions::default());
    for uri in ["/no-host", "ftp://host/x"] {
        let request = http::Request::get(uri).body(HttpRequestBody::empty()).unwrap();
        let failure = transport.send(request).await.unwrap_err();
        assert!(matches!(failure, Failure::BadUri { .. }), "{uri}: {failure}");
    }
}
