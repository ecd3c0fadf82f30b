//! `ls`, `stat`, `cat`, `get` and `warm` of what a client has.

use forebay_testkit::rqbit::{Entry, Rqbit, bare_torrent};
use serde_json::Value;

use super::lab::{MIB, Seeder, album, bytes};
use crate::harness::{World, names_in};

/// Names and sizes of a listing.
fn entries(answer: &Value) -> Vec<String> {
    let entries = answer["entries"].as_array().unwrap();
    let line = |entry: &Value| format!("{} {}", entry["name"].as_str().unwrap(), entry["size"]);
    entries.iter().map(line).collect()
}

/// The last column of each line.
fn names(out: &str) -> Vec<String> {
    let name = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
    out.lines().map(name).collect()
}

#[test]
fn torrents_are_listed_as_they_are_read() {
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, MIB + 123);
    let torrent = seeder.directory("album", &album());
    let world = World::new();
    assert_eq!(
        names(world.run(&["ls", &seeder.url("")]).ok()),
        ["album/", "film.mkv"]
    );
    // Nobody knows of what time a file of a torrent is.
    let line = world.run(&["ls", &seeder.url("film.mkv")]);
    assert!(
        line.ok().trim_start().starts_with("1048699 ") && !line.out().contains("1970"),
        "{}",
        line.out()
    );
    let below = [
        "sub d\u{ef}r/".to_owned(),
        "01 one.flac".to_owned(),
        "empty".to_owned(),
        "z".to_owned(),
    ];
    for path in ["album", "album/", torrent.hash(), &format!("{}/", torrent.hash())] {
        assert_eq!(names(world.run(&["ls", &seeder.url(path)]).ok()), below, "{path}");
    }
    let all = world.run(&["ls", "-r", "--json", &seeder.url("")]).json();
    assert_eq!(
        entries(&all),
        [
            "album/01 one.flac 1048576",
            "album/empty 0",
            "album/sub d\u{ef}r/02.flac 3145729",
            "album/sub d\u{ef}r/deep/\u{65e5}\u{672c} \u{1f3b5}.txt 7",
            "album/z 1",
            "film.mkv 1048699",
        ]
    );
    assert_eq!(all["skipped"], 0);
    let tag = all["entries"][5]["etag"].as_str().unwrap();
    assert!(tag.contains(film.torrent.hash()), "{tag}");
    let deep = world.run(&["ls", "-r", "--json", &seeder.url("album/sub d\u{ef}r/")]);
    assert_eq!(entries(&deep.json()).len(), 2);
    for path in ["films", "album/none/", "film.mkv/"] {
        world
            .run(&["ls", &seeder.url(path)])
            .fails(3, &["nothing of that name"]);
    }

    let stat = world.run(&["stat", "--json", &seeder.url("album/z")]).json();
    assert_eq!((&stat["size"], &stat["key"]), (&1.into(), &"album/z".into()));
    assert!(
        stat["version"].as_str().unwrap().contains(torrent.hash()),
        "{stat}"
    );
    assert_eq!(stat["modified"], Value::Null);
    let text = world.run(&["stat", &seeder.url("film.mkv")]);
    assert!(text.ok().contains("1048699 "), "{}", text.out());
    let by_hash = seeder.url(film.torrent.hash());
    assert_eq!(world.run(&["stat", "--json", &by_hash]).json()["size"], 1_048_699);
    world
        .run(&["stat", &seeder.url("album/")])
        .fails(2, &["names a prefix"]);
    world
        .run(&["stat", &seeder.url("album/none")])
        .fails(3, &["none"]);
}

#[test]
fn files_are_read_in_whole_and_in_part() {
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 9 * MIB + 123);
    let torrent = seeder.directory("album", &album());
    let world = World::new().set("FOREBAY_CACHE_ENABLED", "false");
    let (url, whole) = (seeder.url("film.mkv"), &film.bytes);
    let last = whole.len();
    // In part first: what was read once need not be asked for.
    for (range, expected) in [
        ("0-0", 0..1),
        ("300000-8999999", 300_000..9_000_000),
        ("9000000-", 9_000_000..last),
        ("-7", last - 7..last),
        ("9437300-99999999", 9_437_300..last),
    ] {
        let outcome = world.run(&["cat", &url, "--range", range]);
        assert_eq!(outcome.code, Some(0), "{range}: {}", outcome.stderr);
        assert!(outcome.stdout == whole[expected], "{range}");
    }
    world
        .run(&["cat", &url, "--range", "99999999-"])
        .fails(2, &["film.mkv", "9437307"]);
    assert!(world.run(&["cat", &url]).stdout == *whole);
    for (name, bytes) in album() {
        let path = format!("{}/{name}", torrent.hash());
        let outcome = world.run(&["cat", &seeder.url(&path)]);
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
        assert!(outcome.stdout == bytes, "{name}");
    }
    world
        .run(&["cat", &seeder.url("album")])
        .fails(3, &["it is a directory", "a '/' at the end"]);
    world.run(&["cat", &seeder.url("album/none")]).fails(3, &["none"]);

    world.run(&["get", &url]).ok();
    assert!(std::fs::read(world.path("film.mkv")).unwrap() == *whole);
    let got = world
        .run(&["get", &seeder.url("album/"), "there", "--json"])
        .json();
    assert_eq!(got["objects"], 5, "{got}");
    for (name, bytes) in album() {
        assert!(
            std::fs::read(world.path("there").join(name)).unwrap() == bytes,
            "{name}"
        );
    }
    world
        .run(&["get", &seeder.url("album/sub d\u{ef}r/"), "sub"])
        .ok();
    assert_eq!(names_in(&world.path("sub")), ["02.flac", "deep"]);
}

#[test]
fn what_is_warm_needs_no_client() {
    let seeder = Seeder::new();
    let film = seeder.film("film.mkv", 1, 5 * MIB + 7);
    seeder.directory("album", &album());
    let world = World::new()
        .set("FOREBAY_CACHE_REVALIDATE", "never")
        .set("FOREBAY_RQBIT_READ_TIMEOUT", "1s");
    let warmed = world
        .run(&["warm", "--json", &seeder.url("film.mkv"), &seeder.url("album/")])
        .json();
    let all: usize = album().iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(
        (&warmed["objects"], &warmed["cached"]),
        (&6.into(), &(film.bytes.len() + all).into()),
        "{warmed}"
    );
    let (url, gone) = (seeder.url("film.mkv"), seeder.url("album/none"));
    let flac = seeder.url("album/sub d\u{ef}r/02.flac");
    // Asked for again, nothing is fetched.
    let again = world.run(&["warm", "--json", &url]).json();
    assert_eq!(again["fetched"], 0, "{again}");
    drop(seeder);
    for (url, expected) in [(&url, &film.bytes), (&flac, &bytes(3, 3 * MIB + 1))] {
        let outcome = world.run(&["cat", url]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(outcome.stdout == *expected);
    }
    world.run(&["cat", &gone]).fails(1, &["is rqbit running"]);
}

#[test]
fn torrents_of_one_name_are_told_apart_by_their_hashes() {
    let seeder = Seeder::new();
    let first = seeder.film("film.mkv", 1, 1000);
    let second = seeder.film("film.mkv", 2, 2000);
    let album: Vec<_> = (0..2)
        .map(|seed| seeder.directory("album", &[("a", bytes(seed, 10)), ("b", vec![7])]))
        .collect();
    let world = World::new();
    let mark = |hash: &str| format!(" [{}]", &hash[..8]);
    let film = format!("film{}.mkv", mark(second.torrent.hash()));
    let other = format!("album{}", mark(album[1].hash()));
    let mut expected = [
        "album/a 10".to_owned(),
        "album/b 1".to_owned(),
        format!("{other}/a 10"),
        format!("{other}/b 1"),
        "film.mkv 1000".to_owned(),
        format!("{film} 2000"),
    ];
    expected.sort();
    let mut listed = entries(&world.run(&["ls", "-r", "--json", &seeder.url("")]).json());
    listed.sort();
    assert_eq!(listed, expected);
    assert!(world.run(&["cat", &seeder.url("film.mkv")]).stdout == first.bytes);
    assert!(world.run(&["cat", &seeder.url(&film)]).stdout == second.bytes);
    assert!(world.run(&["cat", &seeder.url(&format!("{other}/a"))]).stdout == bytes(1, 10));
    let by_hash = seeder.url(second.torrent.hash());
    assert!(world.run(&["cat", &by_hash]).stdout == second.bytes);
}

/// A client with a torrent that nobody would make who means well, and what it is to be shown as.
pub(super) fn hostile() -> (Rqbit, Vec<(String, u64)>) {
    let long = "l".repeat(300);
    let files = [
        ("gpj.\u{202e}exe", 1),
        ("a\u{1}", 2),
        ("a\u{2}", 3),
        ("esc\u{1b}[2J/x", 4),
        (".", 5),
        (&long, 6),
        ("line\nbreak", 7),
        ("con:", 8),
        ("-rf", 10),
        ("%2e%2e", 11),
        ("~", 12),
    ];
    let mut entries: Vec<Entry> = files.map(|(name, len)| Entry::named(name, len)).to_vec();
    entries.push(Entry {
        attributes: b"p".to_vec(),
        ..Entry::named(".pad/5", 13)
    });
    entries.push(Entry {
        attributes: b"l".to_vec(),
        target: Some(vec![b"etc".to_vec(), b"passwd".to_vec()]),
        ..Entry::named("link", 0)
    });
    entries.push(Entry {
        attributes: b"x".to_vec(),
        ..Entry::named("run", 14)
    });
    let torrent = bare_torrent(b"bad\x1b]0;title\x07", 16 << 10, &entries);
    let rqbit = Rqbit::builder().start().unwrap();
    rqbit.add_without_data(&torrent).unwrap();
    let shown = [
        ("gpj._exe", 1),
        ("a_", 2),
        ("a_ (2)", 3),
        ("esc_[2J/x", 4),
        ("_", 5),
        ("line_break", 7),
        ("con:", 8),
        ("-rf", 10),
        ("%2e%2e", 11),
        ("~", 12),
        ("run", 14),
    ];
    let top = "bad_]0;title_";
    let mut shown: Vec<(String, u64)> = shown.map(|(name, len)| (format!("{top}/{name}"), len)).to_vec();
    let (stem, digest) = ("l".repeat(246), "~");
    shown.push((format!("{top}/{stem}{digest}"), 6));
    (rqbit, shown)
}

#[test]
fn names_that_mean_harm_are_changed_for_all_to_see() {
    let (rqbit, shown) = hostile();
    let world = World::new();
    let url = rqbit.rqbit_url();
    let answer = world.run(&["ls", "-r", "--json", &url]).json();
    let listed = answer["entries"].as_array().unwrap();
    assert_eq!(listed.len(), shown.len(), "{answer}");
    // Padding and a link.
    assert_eq!(answer["skipped"], 2, "{answer}");
    for (name, len) in &shown {
        let found = listed.iter().find(|entry| {
            let shown = entry["name"].as_str().unwrap();
            // What is too long ends in a digest of it.
            shown == name || (name.ends_with('~') && shown.starts_with(name))
        });
        let found = found.unwrap_or_else(|| panic!("no {name} in {answer}"));
        assert_eq!(found["size"], *len, "{found}");
        let last = found["name"].as_str().unwrap().rsplit('/').next().unwrap();
        assert!(last.len() <= 255, "{found}");
    }
    for args in [
        &["ls", &url][..],
        &["ls", "-r", &url],
        &["ls", "-r", "-vvv", &url],
    ] {
        let outcome = world.run(args);
        let said = format!("{}{}", outcome.ok(), outcome.stderr);
        let raw = said
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(raw, None, "{args:?}: {said:?}");
    }
}
