//! http:// against nginx.

use std::path::Path;
use std::process::Command;

use super::{Server, forebay, installed, ok, random_file};

const BIG: usize = 40 << 20;

fn start() -> Option<Server> {
    let nginx = installed("FOREBAY_TEST_NGINX")?;
    Some(Server::start(|dir, port| {
        let www = dir.join("www");
        std::fs::create_dir_all(&www).unwrap();
        // user:secret, by htpasswd's plain SHA-1 form.
        std::fs::write(dir.join("users"), "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {}/{kind};", dir.display()))
            .collect();
        let conf = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;
             events {{ worker_connections 256; }}
             http {{ access_log off; {temporary}
               server {{ listen 127.0.0.1:{port}; root {dir}/www;
                 location /norange/ {{ alias {dir}/www/; max_ranges 0; }}
                 location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
                 location /private/ {{ alias {dir}/www/; auth_basic x; auth_basic_user_file {dir}/users; }} }} }}",
            dir = dir.display()
        );
        std::fs::write(dir.join("nginx.conf"), conf).unwrap();
        let mut command = Command::new(nginx);
        command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf"));
        command
    }))
}

fn url(server: &Server, path: &str) -> String {
    format!("http://127.0.0.1:{}/{path}", server.port)
}

fn get(server: &Server, dir: &Path, path: &str) -> Vec<u8> {
    ok(&forebay(dir, &[], &["get", &url(server, path), "out"]));
    std::fs::read(dir.join("out")).unwrap()
}

#[test]
fn files_come_whole_by_every_road() {
    let Some(server) = start() else { return };
    let bytes = random_file(&server.dir.path().join("www/big file.bin"), BIG);
    let dir = tempfile::tempdir().unwrap();
    for path in ["big%20file.bin", "norange/big%20file.bin", "moved/big%20file.bin"] {
        assert!(get(&server, dir.path(), path) == bytes, "{path}");
    }
    // A server that serves no ranges still gives the middle.
    for path in ["big%20file.bin", "norange/big%20file.bin"] {
        let output = forebay(
            dir.path(),
            &[],
            &["cat", "--range", "1000000-1000099", &url(&server, path)],
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.stdout, bytes[1_000_000..1_000_100], "{path}");
    }
    let stat = ok(&forebay(
        dir.path(),
        &[],
        &["stat", "--json", &url(&server, "big%20file.bin")],
    ));
    assert!(stat.contains(&format!("\"size\":{BIG}")), "{stat}");
}

#[test]
fn passwords_open_doors_and_are_not_shown() {
    let Some(server) = start() else { return };
    let bytes = random_file(&server.dir.path().join("www/small.bin"), 1000);
    let dir = tempfile::tempdir().unwrap();
    let with = format!("http://user:secret@127.0.0.1:{}/private/small.bin", server.port);
    let output = forebay(dir.path(), &[], &["-vvv", "cat", &with]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, bytes);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    let wrong = format!(
        "http://user:wrongpass@127.0.0.1:{}/private/small.bin",
        server.port
    );
    let output = forebay(dir.path(), &[], &["cat", &wrong]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("wrongpass"));
}

#[test]
fn what_is_not_there_is_said() {
    let Some(server) = start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = forebay(dir.path(), &[], &["get", &url(&server, "nothing.bin")]);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(server.dir.path().join("www/empty"), "").unwrap();
    assert!(get(&server, dir.path(), "empty").is_empty());
}
