//! Torrents: settings, credentials, and what is said before any client is asked; below, with real clients and mounts.

mod away;
mod commands;
mod lab;
mod mounted;
mod playing;
mod secrets;
mod waiting;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::at::{At, may_mount};
use crate::harness::{Outcome, World, lab};

const PASSWORD: &str = "hunter2-of-the-torrents";

fn no_password(outcome: &Outcome) {
    let said = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
    assert!(!said.contains(PASSWORD), "{said}");
}

#[test]
fn the_settings_and_where_they_come_from() {
    let world = World::new()
        .settings("[rqbit]\nmax_streams = 6\nread_timeout = \"2m\"\nreach = \"8MiB\"\n")
        .set("FOREBAY_RQBIT_POLL", "0s")
        .set("FOREBAY_RQBIT_BELIEVED", "3s");
    let shown = world.run(&["config", "show", "--json"]).json();
    for (key, value) in [
        ("rqbit.max_streams", "6"),
        ("rqbit.read_timeout", "120s"),
        ("rqbit.reach", "8MiB"),
        ("rqbit.poll", "0s"),
        ("rqbit.believed", "3s"),
        ("rqbit.stream_idle", "5s"),
    ] {
        assert_eq!(shown["settings"][key]["value"], value, "{key}");
    }
    World::new()
        .settings("[rqbit]\nstreams = 6\n")
        .run(&["config", "show"])
        .fails(2, &["[rqbit] has no key 'streams'"]);
    World::new()
        .set("FOREBAY_RQBIT_MAX_STREAMS", "100")
        .run(&["config", "show"])
        .fails(2, &["FOREBAY_RQBIT_MAX_STREAMS", "not between 1 and 64"]);
}

#[test]
fn every_old_key_of_a_settings_file_is_told_at_once() {
    let nested = "[api]\nurl = \"http://127.0.0.1:3030\"\nusername = \"u\"\npassword = \"hunter2-of-the-torrents\"\n\
                  [cache]\nmetadata_ttl = 60\ntorrent_list_ttl = 30\nsize = \"1GiB\"\n\
                  [mount]\nmount_point = \"/mnt/torrents\"\nallow_other = false\n\
                  [performance]\nread_timeout = 30\nmax_concurrent_reads = 10\nreadahead_size = 33554432\n\
                  prefetch_enabled = true\nprefetch_multiplier = 2.0\ncheck_pieces_before_read = true\n\
                  [logging]\nlevel = \"info\"\n";
    let outcome = World::new().settings(nested).run(&["config", "show"]);
    no_password(&outcome);
    outcome.fails(
        2,
        &[
            "there is no table [api] any more",
            "api.url is gone: the URL is typed, as in `forebay mount rqbit://HOST:3030/ DIR`",
            "api.username is gone: set RQBIT_HTTP_BASIC_AUTH_USERPASS=USER:PASSWORD",
            "api.password is gone: set RQBIT_HTTP_BASIC_AUTH_USERPASS=USER:PASSWORD",
            "cache.metadata_ttl is now mount.ttl",
            "cache.torrent_list_ttl is now rqbit.believed",
            "mount.mount_point is gone: the directory is typed",
            "mount.allow_other is now the option --allow-other",
            "there is no table [performance] any more (write [readahead] or [rqbit] in its place)",
            "performance.read_timeout is now rqbit.read_timeout",
            "performance.max_concurrent_reads is now rqbit.max_streams",
            "performance.readahead_size is now readahead.readahead_size",
            "performance.prefetch_enabled is now readahead.prefetch_enabled",
            "performance.prefetch_multiplier is now readahead.prefetch_multiplier",
            "performance.check_pieces_before_read is gone: a read waits for the pieces",
            "logging.level is gone: -v",
        ],
    );
    // A key that is in force is not called old.
    assert!(!outcome.stderr.contains("cache.size"), "{}", outcome.stderr);

    let flat = "api_url = \"http://127.0.0.1:3030\"\napi_username = \"u\"\napi_password = \"hunter2-of-the-torrents\"\n\
                metadata_ttl = 60\nmax_entries = 1000\nmount_point = \"/mnt\"\nread_timeout = 30\n\
                max_concurrent_reads = 10\nreadahead_size = 33554432\nlog_level = \"info\"\n";
    let outcome = World::new().settings(flat).run(&["config", "show"]);
    no_password(&outcome);
    outcome.fails(
        2,
        &[
            "api_url is gone: the URL is typed",
            "api_username is gone: set RQBIT",
            "api_password is gone: set RQBIT",
            "metadata_ttl is now mount.ttl",
            "max_entries is gone",
            "mount_point is gone: the directory is typed",
            "read_timeout is now rqbit.read_timeout",
            "max_concurrent_reads is now rqbit.max_streams",
            "readahead_size is now readahead.readahead_size",
            "log_level is gone: -v",
        ],
    );
}

#[test]
fn old_variables_are_told_once_and_nothing_fails() {
    let names = [
        ("API_URL", "http://127.0.0.1:3030", "is gone: the URL is typed"),
        ("MOUNT_POINT", "/mnt", "is gone: the directory is typed"),
        ("METADATA_TTL", "60", "is now FOREBAY_MOUNT_TTL"),
        ("MAX_ENTRIES", "1000", "is gone"),
        ("READ_TIMEOUT", "30", "is now FOREBAY_RQBIT_READ_TIMEOUT"),
        ("LOG_LEVEL", "info", "is gone: -v"),
        ("AUTH_USERPASS", PASSWORD, "is now RQBIT_HTTP_BASIC_AUTH_USERPASS"),
        (
            "AUTH_PASSWORD",
            PASSWORD,
            "is gone: set RQBIT_HTTP_BASIC_AUTH_USERPASS",
        ),
        ("KANGAROO", "1", "says nothing to forebay"),
    ];
    let mut world = World::new();
    for (name, value, _) in names {
        world = world.set(&format!("TORRENT_FUSE_{name}"), value);
    }
    let outcome = world.run(&["config", "show"]);
    outcome.ok();
    no_password(&outcome);
    for (name, _, now) in names {
        let expected = format!("TORRENT_FUSE_{name} {now}");
        assert_eq!(
            outcome.stderr.matches(&expected).count(),
            1,
            "{expected}: {}",
            outcome.stderr
        );
    }
    assert_eq!(outcome.stderr.matches("WARN").count(), 1, "{}", outcome.stderr);
    assert_eq!(World::new().run(&["config", "show"]).stderr, "");
    assert_eq!(world.run(&["config", "show", "--quiet"]).stderr, "");
}

#[test]
fn old_variables_are_told_once_by_a_mount_too() {
    if !may_mount() {
        return;
    }
    let world = World::new().set("TORRENT_FUSE_READ_TIMEOUT", "30");
    std::fs::create_dir_all(world.path("data")).unwrap();
    let at = At::new(&world);
    let data = world.path("data/").to_string_lossy().into_owned();
    let outcome = world.run(&["mount", &data, at.name()]);
    outcome.ok();
    assert_eq!(
        outcome.stderr.matches("TORRENT_FUSE_READ_TIMEOUT").count(),
        1,
        "{}",
        outcome.stderr
    );
    at.unmount(&world);
}

#[test]
fn the_password_of_the_environment_is_named_and_not_shown() {
    let pair = format!("user:{PASSWORD}");
    let world = World::new().set("RQBIT_HTTP_BASIC_AUTH_USERPASS", &pair);
    let shown = world.run(&["config", "show", "--json"]);
    assert_eq!(shown.json()["cloud"]["rqbit_http_basic_auth_userpass"], "<set>");
    no_password(&shown);
    let text = world.run(&["config", "show"]);
    assert!(
        text.ok().contains("# rqbit_http_basic_auth_userpass = <set>"),
        "{}",
        text.out()
    );
    no_password(&text);
    // Nothing is nothing, as for rqbit.
    let empty = World::new().set("RQBIT_HTTP_BASIC_AUTH_USERPASS", "");
    let shown = empty.run(&["config", "show", "--json"]).json();
    assert!(shown["cloud"].as_object().unwrap().is_empty(), "{shown}");
    let broken = World::new().set("RQBIT_HTTP_BASIC_AUTH_USERPASS", PASSWORD);
    for args in [
        &["ls", "rqbit://127.0.0.1:1/"][..],
        &["cat", "rqbit://127.0.0.1:1/film/a"],
    ] {
        let outcome = broken.run(args);
        no_password(&outcome);
        outcome.fails(
            2,
            &["RQBIT_HTTP_BASIC_AUTH_USERPASS has no colon", "USER:PASSWORD"],
        );
    }
    // Who has nothing to do with torrents is not kept from anything.
    broken.write("f", "x");
    broken.run(&["cat", "f"]).ok();
}

#[test]
fn nothing_is_written_to_torrents() {
    let world = World::new();
    world.write("f", "x");
    let url = format!("rqbit://user:{PASSWORD}@127.0.0.1:1/film/f");
    for url in [url.as_str(), "rqbits://127.0.0.1:1/"] {
        let outcome = world.run(&["put", "f", url]);
        no_password(&outcome);
        outcome.fails(1, &["cannot be put into a torrent client", "127.0.0.1:1/"]);
    }
    let world = World::new().set("FOREBAY_LOG_STORE", "rqbit://127.0.0.1:1/");
    world
        .run(&["log", "topics"])
        .fails(2, &["FOREBAY_LOG_STORE", "a torrent client cannot be written to"]);
}

/// What everybody on this machine may read of a process.
fn words_of(pid: u64) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

#[test]
fn a_password_in_a_url_is_not_among_the_words_of_the_daemon() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    lab.objects().put("box", "k", "content");
    let world = World::new();
    let at = At::new(&world);
    let url = format!("http://user:{PASSWORD}@{}/box/k?sig={PASSWORD}", lab.addr());
    let outcome = world.run(&["mount", &url, at.name(), "--json"]);
    no_password(&outcome);
    let answer = outcome.json();
    let words = words_of(answer["pid"].as_u64().unwrap());
    assert!(!words.contains(PASSWORD) && words.contains("/box/k"), "{words}");
    // And it has it all the same.
    assert_eq!(std::fs::read_to_string(at.0.join("k")).unwrap(), "content");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        mounts.contains("/box/k") && !mounts.contains(PASSWORD),
        "{mounts}"
    );
    let status = world.run(&["mount", "--status", "--json", at.name()]);
    status.ok();
    no_password(&status);
    at.unmount(&world);
}

#[test]
fn a_url_without_secrets_is_handed_over_as_it_was_typed() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    lab.objects().put("box", "a b", "content");
    let world = World::new();
    let at = At::new(&world);
    let url = format!("http://{}/box/a%20b", lab.addr());
    let answer = world.run(&["mount", &url, at.name(), "--json"]).json();
    let words = words_of(answer["pid"].as_u64().unwrap());
    assert!(words.contains(&url), "{words}");
    at.unmount(&world);
}

/// A server that answers each request alike, until the test ends.
fn answering(answer: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || reply_to_all(&mut stream, answer));
        }
    });
    addr
}

fn reply_to_all(stream: &mut TcpStream, answer: &str) {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(len) = stream.read(&mut piece) {
        if len == 0 {
            return;
        }
        seen.extend_from_slice(&piece[..len]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Commands that ask a client, with what they say in any case.
const ASKING: [&[&str]; 4] = [&["ls"], &["cat"], &["stat"], &["warm"]];

#[test]
fn a_client_that_is_not_there_is_asked_after() {
    // It may be on its way back, and is waited for.
    let world = World::new().set("FOREBAY_RQBIT_READ_TIMEOUT", "500ms");
    // Bound and let go: nobody listens there.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for command in ASKING {
        let url = format!("rqbit://user:{PASSWORD}@{addr}/film/a.mkv");
        let outcome = world.run(&[command, &[&url]].concat());
        no_password(&outcome);
        outcome.fails(1, &[&format!("is rqbit running, with its HTTP API on {addr}?")]);
    }
}

#[test]
fn a_client_that_wants_a_password_is_told_how() {
    let addr = answering(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"API\"\r\nContent-Length: 0\r\n\r\n",
    );
    let world = World::new();
    for command in ASKING {
        let url = format!("rqbit://user:{PASSWORD}@{addr}/film/a.mkv");
        let outcome = world.run(&[command, &[&url]].concat());
        no_password(&outcome);
        outcome.fails(
            4,
            &[
                &format!("write rqbit://USER:PASSWORD@{addr}/"),
                "set RQBIT_HTTP_BASIC_AUTH_USERPASS=USER:PASSWORD",
            ],
        );
    }
}

#[test]
fn a_torrent_that_is_not_there_is_not_found() {
    let addr = answering(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"torrents\":[]}",
    );
    let world = World::new();
    for path in ["film", "film/", "film/a.mkv"] {
        for command in ["ls", "get"] {
            let outcome = world.run(&[command, &format!("rqbit://{addr}/{path}")]);
            outcome.fails(3, &["film"]);
        }
    }
    assert_eq!(world.run(&["ls", &format!("rqbit://{addr}/")]).ok(), "");
}
