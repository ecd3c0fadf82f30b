//! A tracker behind HTTPS, whose certificate the machine trusts.

#![expect(
    clippy::disallowed_methods,
    reason = "what the machine trusts is told to a process by its environment"
)]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use forebay_testkit::rqbit::{Rqbit, make_torrent};
use forebay_torrent::{InProcess, TorrentOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const LINK: &str = "FOREBAY_TEST_LINK";
/// For how long the link may take, in seconds.
const PATIENCE: &str = "FOREBAY_TEST_PATIENCE";

/// What a tracker answers: this one peer (BEP 23).
fn answer(peer: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = peer.ip() else {
        panic!("the lab listens on IPv4")
    };
    let mut body = b"d8:intervali60e5:peers6:".to_vec();
    body.extend(ip.octets());
    body.extend(peer.port().to_be_bytes());
    body.push(b'e');
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_an_https_tracker_are_found() {
    let scratch = TempDir::new().unwrap();
    let file = scratch.path().join("data");
    fs::write(&file, vec![7; 100_000]).unwrap();
    let torrent = make_torrent(&file, "data", Some(65536)).unwrap();
    let seeder = Rqbit::builder().start().unwrap();
    seeder.seed(&torrent, scratch.path()).unwrap();

    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificates = scratch.path().join("ca.pem");
    fs::write(&certificates, own.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tracker = format!(
        "https://localhost:{}/announce",
        listener.local_addr().unwrap().port()
    );
    let answer = answer(seeder.peer_addr());
    let asked = Arc::new(AtomicUsize::new(0));
    let (was_asked, refused) = (Arc::clone(&asked), Arc::new(AtomicUsize::new(0)));
    let was_refused = Arc::clone(&refused);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not trust it goes away in the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                was_refused.fetch_add(1, Relaxed);
                continue;
            };
            match stream.read(&mut [0; 8192]).await {
                Ok(read) if read > 0 => was_asked.fetch_add(1, Relaxed),
                // TLS 1.3: the distrust comes after the handshake of this side.
                _ => {
                    was_refused.fetch_add(1, Relaxed);
                    continue;
                }
            };
            stream.write_all(&answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });

    let link = format!("{}&tr={tracker}", torrent.magnet(&[]));
    // A process of its own, since certificates are looked for in its environment.
    let ask = |trusted: &Path, patience: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_asks_it", "--ignored", "--nocapture"])
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .env(LINK, &link)
            .env(PATIENCE, patience)
            .output()
            .unwrap()
    };
    let output = ask(&certificates, "40");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(asked.swap(0, Relaxed) > 0 && refused.load(Relaxed) == 0);
    // Nobody else can be the tracker.
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    fs::write(&certificates, other.cert.pem()).unwrap();
    assert!(!ask(&certificates, "2").status.success());
    assert!(asked.load(Relaxed) == 0 && refused.load(Relaxed) > 0);
}

#[tokio::test]
#[ignore = "the test above runs it"]
async fn the_process_that_asks_it() {
    let link = std::env::var(LINK).unwrap();
    let here = TempDir::new().unwrap();
    let session = InProcess::start(TorrentOptions::new(here.path())).await.unwrap();
    let patience = Duration::from_secs(std::env::var(PATIENCE).unwrap().parse().unwrap());
    let hash = tokio::time::timeout(patience, session.add(&link));
    let hash = hash.await.unwrap().unwrap();
    assert!(link.contains(&hash.to_string()));
}
