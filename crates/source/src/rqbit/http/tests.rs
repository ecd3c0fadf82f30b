use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay_types::ErrorKind;
use futures::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::transport::TransportOptions;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";
const NOT_FOUND: &str = r#"{"error_kind":"torrent_not_found","human_readable":"torrent not found 99","status":404,"status_text":"404 Not Found","id":99}"#;

type Answer = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// A server that gives its answer to every request, and remembers their heads.
struct Server {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer): (_, Arc<Answer>) = (heads.clone(), Arc::new(Box::new(answer)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, seen.clone(), answer.clone()));
            }
        });
        Self { addr, heads }
    }

    async fn saying(head: &str, body: impl AsRef<[u8]>) -> Self {
        let answer = answer(head, body);
        Self::start(move |_| answer.clone()).await
    }

    fn daemon(&self, userpass: Option<&str>) -> HttpDaemon {
        let url = format!("http://{}/", self.addr).parse().unwrap();
        HttpDaemon::new(url, userpass, transport())
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn transport() -> Transport {
    Transport::new(TransportOptions {
        stall_timeout: Duration::from_secs(5),
        ..TransportOptions::default()
    })
}

/// `head` is the status line and headers, each line ended by a newline; a length is added.
fn answer(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = head.replace('\n', "\r\n");
    let mut bytes = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn converse(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, answer: Arc<Answer>) {
    let mut unread = Vec::new();
    loop {
        let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") else {
            match stream.read_buf(&mut unread).await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        let head: Vec<u8> = unread.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let bytes = answer(&head);
        seen.lock().unwrap().push(head);
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn hash() -> InfoHash {
    HASH.parse().unwrap()
}

async fn bytes(daemon: &HttpDaemon, start: u64, end: u64) -> Result<Vec<u8>, Failure> {
    let stream = daemon.open(hash(), 3, ByteRange::new(start, end)).await?;
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn questions_go_by_info_hash_with_the_password() {
    let server = Server::start(|head| match head.split(' ').nth(1).unwrap() {
        "/torrents" => answer(
            "200 OK",
            format!(
                r#"{{"torrents":[{{"id":0,"info_hash":"{HASH}","name":"a","output_folder":"/","total_pieces":10}}]}}"#
            ),
        ),
        path if path.ends_with("/stats/v1") => answer(
            "200 OK",
            r#"{"state":"paused","file_progress":[7],"error":null,"total_bytes":9,"live":null}"#,
        ),
        path if path.ends_with("/haves") => answer("200 OK\nx-bitfield-len: 10", [0xff, 0x80, 0]),
        _ => answer(
            "200 OK",
            format!(r#"{{"id":0,"info_hash":"{HASH}","name":"a","files":[],"total_pieces":10}}"#),
        ),
    })
    .await;
    let daemon = server.daemon(Some("al:ice:s"));
    let listed = daemon.torrents().await.unwrap();
    assert_eq!((listed.len(), listed[0].hash), (1, hash()));
    assert_eq!(daemon.details(hash()).await.unwrap().files, []);
    assert_eq!(daemon.stats(hash()).await.unwrap().file_progress, [7]);
    let haves = daemon.haves(hash()).await.unwrap();
    assert_eq!((haves.pieces, &haves.bits[..]), (10, &[0xff, 0x80][..]));
    let heads = server.heads();
    for (head, (path, accept)) in heads.iter().zip([
        ("/torrents".to_owned(), "application/json"),
        (format!("/torrents/{HASH}"), "application/json"),
        (format!("/torrents/{HASH}/stats/v1"), "application/json"),
        (format!("/torrents/{HASH}/haves"), "application/octet-stream"),
    ]) {
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains(&format!("accept: {accept}\r\n")), "{head}");
        // `al:ice:s`
        assert!(head.contains("authorization: Basic YWw6aWNlOnM=\r\n"), "{head}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let show = |url: &str, userpass| {
        let daemon = HttpDaemon::new(url.parse().unwrap(), userpass, transport());
        assert_eq!(daemon.origin_url(), daemon.to_string());
        let debug = format!("{daemon:?}");
        assert!(!debug.contains("s3cret") && !debug.contains("alice"), "{debug}");
        (daemon.to_string(), daemon.scope())
    };
    for (url, userpass, shown, scope) in [
        ("http://h:3030/", None, "rqbit://h:3030", ""),
        ("http://alice:s3cret@h/", Some("bob:x"), "rqbit://h:80", "alice"),
        (
            "https://[::1]:1/?x#y",
            Some("bob:s3cret"),
            "rqbits://[::1]:1",
            "bob",
        ),
        ("http://h:3030", Some(""), "rqbit://h:3030", ""),
    ] {
        assert_eq!(show(url, userpass), (shown.to_owned(), scope.to_owned()));
    }
}

#[tokio::test]
async fn wrong_answers_are_told_apart() {
    let haves = r"200 OK
x-bitfield-len: 17";
    let denied = "RQBIT_HTTP_BASIC_AUTH_USERPASS";
    for (head, body, kind, said) in [
        (
            "200 OK",
            r#"{"info_hash":"01"#,
            ErrorKind::Unavailable,
            "EOF while parsing",
        ),
        (
            "200 OK",
            "<html>",
            ErrorKind::Unavailable,
            "description of a torrent cannot be understood",
        ),
        (
            "200 OK",
            r#"{"name":"x"}"#,
            ErrorKind::Unavailable,
            "missing field `info_hash`",
        ),
        (
            "401 Unauthorized\nWWW-Authenticate: Basic realm=\"API\"",
            "",
            ErrorKind::Denied,
            denied,
        ),
        (
            "403 Forbidden",
            "",
            ErrorKind::Denied,
            "wants a user and a password",
        ),
        ("404 Not Found", NOT_FOUND, ErrorKind::NotFound, HASH),
        (
            "302 Found\nLocation: http://127.0.0.1:1/",
            "",
            ErrorKind::Unavailable,
            "redirected by",
        ),
        (
            "412 Precondition Failed",
            r#"{"human_readable":"not live"}"#,
            ErrorKind::Unavailable,
            "says: not live",
        ),
        (
            "400 Bad Request",
            "cannot parse\u{7}",
            ErrorKind::Invalid,
            "400: cannot parse\\u{7}",
        ),
    ] {
        let server = Server::saying(head, body).await;
        let failure = server.daemon(None).details(hash()).await.unwrap_err();
        assert_eq!(failure.kind(), kind, "{head}: {failure}");
        assert!(failure.to_string().contains(said), "{head}: {failure}");
        assert_eq!(server.heads().len(), 1);
    }
    let server = Server::saying("404 Not Found", "").await;
    let failure = server.daemon(None).torrents().await.unwrap_err();
    assert!(
        failure.to_string().contains("is it rqbit's HTTP API?"),
        "{failure}"
    );
    let server = Server::saying("401 Unauthorized", "{}").await;
    let failure = server
        .daemon(Some("alice:s3cret"))
        .torrents()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failure.contains("does not take this user") && !failure.contains("s3cret"),
        "{failure}"
    );

    for (head, body, said) in [
        (haves, &b"ab"[..], "17 pieces have 3 bytes of bits, 2 came"),
        ("200 OK", b"abc", "x-bitfield-len is missing"),
        ("200 OK\nx-bitfield-len: -1", b"abc", "no number of pieces"),
        (
            "200 OK\nx-bitfield-len: 4294967296",
            b"abc",
            "no number of pieces",
        ),
    ] {
        let server = Server::saying(head, body).await;
        let failure = server.daemon(None).haves(hash()).await.unwrap_err();
        assert!(failure.to_string().contains(said), "{head}: {failure}");
    }
}

#[tokio::test]
async fn huge_answers_are_not_read() {
    // Announced, and not.
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let endless = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(17)
    );
    for bytes in [announced, endless] {
        let server = Server::start(move |_| bytes.clone().into_bytes()).await;
        let failure = server.daemon(None).torrents().await.unwrap_err();
        assert!(
            matches!(
                failure,
                Failure::TooLarge {
                    limit: MAX_TORRENT_LIST_BYTES,
                    ..
                }
            ),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn a_failing_client_is_heard() {
    let text = r#"{"error_kind":"internal_error","human_readable":"it broke\u001b","status":500}"#;
    let server = Server::saying("500 Internal Server Error\nRetry-After: 0", text).await;
    let failure = server.daemon(None).stats(hash()).await.unwrap_err();
    assert_eq!(failure.to_string(), "the torrent client says: it broke\\u{1b}");
    assert_eq!(
        server.heads().len(),
        1,
        "how long to be patient is for others to say"
    );
    let server = Server::saying("502 Bad Gateway\nRetry-After: 0", "<html>").await;
    let failure = server.daemon(None).stats(hash()).await.unwrap_err();
    assert!(
        matches!(failure, Failure::Status { status: 502, .. }),
        "{failure}"
    );
}

#[tokio::test]
async fn exactly_the_range_comes() {
    let server = Server::start(|head| {
        if head.contains("range: bytes=2-4\r\n") {
            answer("206 Partial Content\nContent-Range: bytes 2-4/10", "234")
        } else {
            answer("200 OK", "0123456789")
        }
    })
    .await;
    let daemon = server.daemon(Some("u:p"));
    assert_eq!(bytes(&daemon, 2, 5).await.unwrap(), b"234");
    let head = server.heads().remove(0);
    let path = format!("GET /torrents/{HASH}/stream/3 HTTP/1.1\r\n");
    assert!(
        head.starts_with(&path) && head.contains("authorization: Basic "),
        "{head}"
    );
    // All of the file for all of it.
    assert_eq!(bytes(&daemon, 0, 10).await.unwrap(), b"0123456789");
    for (start, end) in [(0, 9), (1, 10), (0, 11), (5, 6)] {
        let failure = bytes(&daemon, start, end).await.unwrap_err();
        assert!(matches!(failure, Failure::NoRanges { .. }), "{failure}");
    }
    assert_eq!(bytes(&daemon, 7, 7).await.unwrap(), b"");
    assert_eq!(server.heads().len(), 6, "nothing is asked for no bytes");
}

#[tokio::test]
async fn other_bytes_than_asked_are_an_error() {
    let text = r#"{"error_kind":"internal_error","human_readable":"invalid file","status":500}"#;
    let part = |range: &str| format!("206 Partial Content\nContent-Range: {range}");
    for (head, body, said) in [
        (
            part("bytes 3-5/10"),
            "345",
            "asked for bytes 2-4, it says 'bytes 3-5/10'",
        ),
        (part("bytes 2-5/10"), "2345", "it says 'bytes 2-5/10'"),
        (part("bytes 2-4/4"), "234", "it says 'bytes 2-4/4'"),
        (part("bytes 2-4/*"), "234", "it says"),
        (part("items 2-4/10"), "234", "it says"),
        (part("bytes 2-4/10"), "2345", "sent 4 bytes where 3"),
        (part("bytes 2-4/10"), "23", "sent 2 bytes where 3"),
        ("206 Partial Content".to_owned(), "234", "it says ''"),
        ("204 No Content".to_owned(), "", "does not serve ranges"),
        ("404 Not Found".to_owned(), NOT_FOUND, HASH),
        ("401 Unauthorized".to_owned(), "", "wants a user and a password"),
        (
            "500 Internal Server Error".to_owned(),
            text,
            "the torrent client says: invalid file",
        ),
        (
            "416 Range Not Satisfiable".to_owned(),
            r#"{"human_readable":"bad range"}"#,
            "416: bad range",
        ),
    ] {
        let server = Server::saying(&head, body).await;
        let failure = bytes(&server.daemon(None), 2, 5).await.unwrap_err();
        assert!(failure.to_string().contains(said), "{head}: {failure}");
        assert_eq!(server.heads().len(), 1, "it is the caller who repeats");
    }
    // Without a length, too few and too many.
    for (body, good) in [("23", false), ("234", true), ("2345", false)] {
        let chunked = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let server = Server::start(move |_| chunked.clone().into_bytes()).await;
        assert_eq!(bytes(&server.daemon(None), 2, 5).await.is_ok(), good, "{body}");
    }
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let daemon = HttpDaemon::new(url.parse().unwrap(), None, transport());
    let failure = bytes(&daemon, 0, 5).await.unwrap_err();
    assert!(matches!(failure, Failure::Connect { .. }), "{failure}");
}
