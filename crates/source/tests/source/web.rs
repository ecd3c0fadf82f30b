//! Plain web servers, good and bad.

use forebay_source::{Fault, Opener, SourceOptions, version_of};
use forebay_testkit::{Content, Face};
use forebay_types::{ErrorKind, Version};
use object_store::{GetOptions, GetRange, ObjectStoreExt};

use crate::server::{Reply, Server};
use crate::world::{get, kind, lab, open, read, within};

fn opener() -> Opener {
    Opener::new(SourceOptions::default())
}

fn range(range: std::ops::Range<u64>) -> GetOptions {
    GetOptions {
        range: Some(GetRange::Bounded(range)),
        ..GetOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_asked_for_and_checked() {
    let server = Server::start(|head, _| {
        if head.contains("range: bytes=2-4") {
            Reply::of(
                "206 Partial Content\nContent-Range: bytes 2-4/10\nETag: \"a\"",
                "234",
            )
        } else if head.contains("range: bytes=5-6") {
            Reply::of("206 Partial Content\nContent-Range: bytes 6-7/10", "67")
        } else {
            Reply::of(
                "200 OK\nETag: \"a\"\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT",
                "0123456789",
            )
        }
    })
    .await;
    let source = open(&opener(), &server.url("/file"));
    assert_eq!(within(read(&source)).await.unwrap(), "0123456789");
    assert_eq!(within(get(&source, range(2..5))).await.unwrap(), "234");
    let error = within(get(&source, range(5..7))).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    let result = within(source.store.get_opts(&source.path, range(2..5)))
        .await
        .unwrap();
    assert_eq!((result.meta.size, result.range.clone()), (10, 2..5));
    assert_eq!(version_of(&result.meta), Version::ETag("\"a\"".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_for_a_range_is_cut() {
    let server = Server::start(|_, _| Reply::of("200 OK", "0123456789")).await;
    let source = open(&opener(), &server.url("/file"));
    for (options, expected) in [
        (range(0..3), "012"),
        (range(3..5), "34"),
        (range(8..20), "89"),
        (
            GetOptions {
                range: Some(GetRange::Offset(7)),
                ..GetOptions::default()
            },
            "789",
        ),
        (
            GetOptions {
                range: Some(GetRange::Suffix(2)),
                ..GetOptions::default()
            },
            "89",
        ),
    ] {
        assert_eq!(within(get(&source, options)).await.unwrap(), expected);
    }
    let error = within(get(&source, range(10..11))).await.unwrap_err();
    assert_eq!(Fault::of(&error).status, Some(416));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_known_by_what_the_server_tells() {
    let modified = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT";
    for (headers, expected) in [
        ("ETag: W/\"weak\"".to_owned(), Version::ETag("W/\"weak\"".into())),
        (modified.to_owned(), Version::Modified(1_445_412_480_000_000)),
        ("X-Nothing: 1".to_owned(), Version::Unknown),
        ("Last-Modified: yesterday".to_owned(), Version::Unknown),
    ] {
        let server = Server::start(move |_, _| Reply::of(&format!("200 OK\n{headers}"), "x")).await;
        let source = open(&opener(), &server.url("/file"));
        let meta = within(source.store.get(&source.path)).await.unwrap().meta;
        assert_eq!(version_of(&meta), expected);
        assert_eq!(
            version_of(&within(source.store.head(&source.path)).await.unwrap()),
            expected
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_the_server_ignores_is_checked_here() {
    let server = Server::start(|_, _| Reply::of("200 OK\nETag: \"new\"", "x")).await;
    let source = open(&opener(), &server.url("/file"));
    let if_match = |tag: &str| GetOptions {
        if_match: Some(tag.to_owned()),
        ..GetOptions::default()
    };
    assert!(within(get(&source, if_match("\"new\""))).await.is_ok());
    assert!(within(get(&source, if_match("*"))).await.is_ok());
    assert_eq!(
        kind(&within(get(&source, if_match("\"old\""))).await.unwrap_err()),
        ErrorKind::Changed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_refused_and_a_chunked_range_is_not() {
    let server = Server::start(|head, _| {
        let chunks = "3\r\n012\r\n0\r\n\r\n";
        let status = if head.contains("range:") {
            "206 Partial Content\r\nContent-Range: bytes 0-2/10"
        } else {
            "200 OK"
        };
        Reply::raw(format!(
            "HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ))
    })
    .await;
    let source = open(&opener(), &server.url("/file"));
    assert_eq!(
        kind(&within(read(&source)).await.unwrap_err()),
        ErrorKind::Unsupported
    );
    assert_eq!(within(get(&source, range(0..3))).await.unwrap(), "012");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_another_length_than_announced_are_errors() {
    let short = Server::start(|_, _| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")).await;
    let error = within(read(&open(&opener(), &short.url("/file"))))
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    let long =
        Server::start(|_, _| Reply::of("206 Partial Content\nContent-Range: bytes 0-2/10", "0123")).await;
    let error = within(get(&open(&opener(), &long.url("/file")), range(0..3)))
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_and_credentials_stay_at_home() {
    let away = Server::start(|_, _| Reply::of("200 OK", "away")).await;
    let target = away.url("/there?sig=1#fragment");
    let home = Server::start(move |head, _| match head.split(' ').nth(1).unwrap() {
        "/here" => Reply::of("301 Moved Permanently\nLocation: /next", ""),
        "/next" => Reply::of("200 OK", "home"),
        _ => Reply::of(&format!("307 Temporary Redirect\nLocation: {target}"), ""),
    })
    .await;
    let opener = opener();
    let with_user = |path: &str| format!("http://alice:hunter2@{}{path}", home.addr);
    assert_eq!(
        within(read(&open(&opener, &with_user("/here")))).await.unwrap(),
        "home"
    );
    assert_eq!(
        home.heads()
            .iter()
            .filter(|head| head.contains("authorization: basic"))
            .count(),
        2
    );
    assert_eq!(
        within(get(&open(&opener, &with_user("/away")), range(0..2)))
            .await
            .unwrap(),
        "aw"
    );
    assert!(
        away.heads()[0].starts_with("GET /there?sig=1 "),
        "{:?}",
        away.heads()
    );
    assert!(away.heads()[0].contains("range: bytes=0-1"), "{:?}", away.heads());
    assert!(!away.heads()[0].contains("authorization"), "{:?}", away.heads());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_that_lead_nowhere_are_errors() {
    for target in ["/again", "ftp://host/x", "file:///etc/passwd"] {
        let server =
            Server::start(move |_, _| Reply::of(&format!("302 Found\nLocation: {target}"), "")).await;
        let error = within(read(&open(&opener(), &server.url("/again"))))
            .await
            .unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Unavailable, "{target}: {error}");
        assert!(server.requests() <= 11, "{target}");
    }
    let server = Server::start(|_, _| Reply::of("302 Found", "")).await;
    assert!(within(read(&open(&opener(), &server.url("/x")))).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_head_is_refused_one_byte_tells_the_size() {
    for status in ["405 Method Not Allowed", "403 Forbidden", "501 Not Implemented"] {
        let server = Server::start(move |head, _| {
            if head.starts_with("HEAD") {
                Reply::of(status, "")
            } else if head.contains("range: bytes=0-0") {
                Reply::of(
                    "206 Partial Content\nContent-Range: bytes 0-0/10\nETag: \"a\"",
                    "0",
                )
            } else {
                Reply::of("200 OK", "0123456789")
            }
        })
        .await;
        let source = open(&opener(), &server.url("/file"));
        let meta = within(source.store.head(&source.path)).await.unwrap();
        assert_eq!(
            (meta.size, meta.e_tag.as_deref()),
            (10, Some("\"a\"")),
            "{status}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_head_is_refused_an_empty_object_has_no_bytes() {
    let server = Server::start(|head, _| {
        if head.starts_with("HEAD") {
            Reply::of("405 Method Not Allowed", "")
        } else if head.contains("range:") {
            Reply::of("416 Range Not Satisfiable\nContent-Range: bytes */0", "")
        } else {
            Reply::of("200 OK\nETag: \"a\"", "")
        }
    })
    .await;
    let source = open(&opener(), &server.url("/file"));
    let meta = within(source.store.head(&source.path)).await.unwrap();
    assert_eq!((meta.size, meta.e_tag.as_deref()), (0, Some("\"a\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_mean_what_they_say() {
    for (status, expected) in [
        ("404 Not Found", ErrorKind::NotFound),
        ("410 Gone", ErrorKind::NotFound),
        ("403 Forbidden", ErrorKind::Denied),
        ("401 Unauthorized", ErrorKind::Denied),
        ("416 Range Not Satisfiable", ErrorKind::Invalid),
        ("418 I'm a teapot", ErrorKind::Invalid),
        (
            "500 Internal Server Error\nRetry-After: 0",
            ErrorKind::Unavailable,
        ),
    ] {
        let server = Server::start(move |_, _| Reply::of(status, "the reason")).await;
        let source = open(&opener(), &server.url("/file"));
        let error = within(read(&source)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{status}: {error}");
        assert!(error.to_string().contains("the reason"), "{status}: {error}");
        let error = within(source.store.head(&source.path)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "HEAD {status}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_below_a_directory_are_encoded_once() {
    let server = Server::start(|_, _| Reply::of("200 OK", "x")).await;
    let source = open(&opener(), &server.url("/a%20dir/"));
    assert!(source.is_prefix);
    for (name, line) in [
        ("a dir/plain.bin", "GET /a%20dir/plain.bin HTTP/1.1"),
        ("a dir/with space", "GET /a%20dir/with%20space HTTP/1.1"),
        ("a dir/sub/what?#", "GET /a%20dir/sub/what%3F%23 HTTP/1.1"),
    ] {
        let path = object_store::path::Path::parse(name).unwrap();
        within(source.store.get(&path)).await.unwrap();
        assert!(
            server.heads().last().unwrap().starts_with(line),
            "{name}: {:?}",
            server.heads().last()
        );
    }
    let file = open(&opener(), &server.url("/caf%C3%A9/a%20b"));
    within(read(&file)).await.unwrap();
    assert!(
        server
            .heads()
            .last()
            .unwrap()
            .starts_with("GET /caf%C3%A9/a%20b HTTP/1.1")
    );
    for source in [file, source] {
        let other = object_store::path::Path::from("elsewhere");
        assert_eq!(
            kind(&within(source.store.get(&other)).await.unwrap_err()),
            ErrorKind::NotFound
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_web_server_cannot_do_is_unsupported() {
    let source = open(&opener(), "http://127.0.0.1:9/dir/");
    let path = object_store::path::Path::from("dir/x");
    assert_eq!(
        kind(&source.store.put(&path, "x".into()).await.unwrap_err()),
        ErrorKind::Unsupported
    );
    assert_eq!(
        kind(&source.store.delete(&path).await.unwrap_err()),
        ErrorKind::Unsupported
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_literals_are_hosts() {
    let Ok(server) = Server::at("[::1]:0", |_, _| Reply::of("200 OK", "six")).await else {
        eprintln!("this machine has no ::1");
        return;
    };
    let source = open(&opener(), &server.url("/file"));
    assert_eq!(within(read(&source)).await.unwrap(), "six");
    assert!(
        server.heads()[0].contains(&format!("host: {}", server.addr)),
        "{:?}",
        server.heads()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_is_a_web_server_too() {
    let lab = lab(Face::Fast);
    let content = Content::pattern(1, 3 << 20);
    lab.objects().put("bucket", "a dir/file", content.clone());
    let source = open(&opener(), &format!("{}/bucket/a%20dir/file", lab.endpoint()));
    content.check(0, &within(read(&source)).await.unwrap()).unwrap();
    content
        .check(
            1 << 20,
            &within(get(&source, range(1 << 20..2 << 20))).await.unwrap(),
        )
        .unwrap();
    let meta = within(source.store.head(&source.path)).await.unwrap();
    assert_eq!(meta.size, 3 << 20);
    assert_eq!(
        source.object_id(&meta).to_string().matches("//").count(),
        1,
        "{}",
        source.object_id(&meta)
    );
}
