//! s3:// against moto.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::{Server, forebay, installed, ok, random_file};

fn start() -> Option<Server> {
    let moto = installed("FOREBAY_TEST_MOTO")?;
    let server = Server::start(|_, port| {
        let mut command = Command::new(moto);
        command
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    });
    // Moto lets anybody make a bucket.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream
        .write_all(
            b"PUT /bucket HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Some(server)
}

#[test]
fn objects_go_there_and_come_back() {
    let Some(server) = start() else { return };
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let env = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "word"),
        ("AWS_REGION", "us-east-1"),
    ];
    let dir = tempfile::tempdir().unwrap();
    // One beyond the single request of a get, one beyond the single request of a put.
    for (name, len) in [("small.bin", 1000), ("large.bin", 20 << 20), ("empty.bin", 0)] {
        let bytes = random_file(&dir.path().join(name), len);
        let url = format!("s3://bucket/dir/a b+c/{name}");
        ok(&forebay(dir.path(), &env, &["put", name, &url]));
        ok(&forebay(dir.path(), &env, &["get", &url, "back"]));
        assert!(std::fs::read(dir.path().join("back")).unwrap() == bytes, "{name}");
    }
    let listed = ok(&forebay(dir.path(), &env, &["ls", "-r", "s3://bucket/"]));
    assert_eq!(listed.matches(".bin").count(), 3, "{listed}");
    ok(&forebay(dir.path(), &env, &["get", "s3://bucket/dir/", "tree"]));
    let large = std::fs::read(dir.path().join("tree/a b+c/large.bin")).unwrap();
    assert!(large == std::fs::read(dir.path().join("large.bin")).unwrap());
    let missing = forebay(dir.path(), &env, &["cat", "s3://bucket/nothing"]);
    assert_eq!(
        missing.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&missing.stderr)
    );
    let no_bucket = forebay(dir.path(), &env, &["cat", "s3://elsewhere/nothing"]);
    assert_eq!(
        no_bucket.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&no_bucket.stderr)
    );
}
