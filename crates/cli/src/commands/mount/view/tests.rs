use forebay_mount::TorrentStatus;

use super::super::snapshot::{Requests, Streams, Torrent, Window};
use super::*;

const MIB: u64 = 1 << 20;

fn file(id: u64, path: &str, served: u64) -> File {
    File {
        id,
        path: path.to_owned(),
        mode: "pages".to_owned(),
        served,
        ..File::default()
    }
}

fn snapshot(uptime_s: f64, files: Vec<File>) -> Snapshot {
    Snapshot {
        url: "s3://b/".to_owned(),
        dir: "/mnt/b".to_owned(),
        pid: 7,
        uptime_s,
        open_files: files.len() as u64,
        files,
        ..Snapshot::default()
    }
}

fn room(columns: usize, rows: usize) -> Room {
    Room { columns, rows }
}

#[test]
fn rates_are_of_the_time_between() {
    let mut before = snapshot(10.0, vec![file(1, "a", 3 * MIB), file(2, "b", 0)]);
    before.mount.reads = 100;
    before.mount.bytes = 10 * MIB;
    let mut now = snapshot(12.0, vec![file(1, "a", 7 * MIB), file(3, "c", MIB)]);
    now.mount.reads = 150;
    now.mount.bytes = 30 * MIB;
    let since = Since::of(&before, &now).unwrap();
    assert_eq!(since.rate(|s| s.mount.reads), 25.0);
    assert_eq!(since.rate(|s| s.mount.bytes), 10.0 * MIB as f64);
    assert_eq!(since.of_file(&now.files[0]), Some(2.0 * MIB as f64));
    assert_eq!(
        since.of_file(&now.files[1]),
        Some(0.5 * MIB as f64),
        "opened since"
    );
    let text = lines(&now, Some(&before), Room::UNBOUNDED).join("\n");
    assert!(
        text.contains("150 (25/s)") && text.contains("30MiB answered (10MiB/s)"),
        "{text}"
    );
    assert!(text.contains("2MiB/s") && text.contains("512KiB/s"), "{text}");
}

#[test]
fn other_mounts_and_no_time_have_no_rates() {
    let before = snapshot(10.0, Vec::new());
    assert!(Since::of(&before, &snapshot(10.0, Vec::new())).is_none());
    assert!(
        Since::of(&before, &snapshot(3.0, Vec::new())).is_none(),
        "mounted anew"
    );
    let other = Snapshot {
        pid: 8,
        ..snapshot(12.0, Vec::new())
    };
    assert!(Since::of(&before, &other).is_none());
    let text = lines(&before, None, Room::UNBOUNDED).join("\n");
    assert!(!text.contains("/s)"), "{text}");
}

#[test]
fn the_busiest_are_shown_and_the_rest_is_counted() {
    let before = snapshot(1.0, (0..50).map(|id| file(id, &format!("f{id}"), 100)).collect());
    let mut now = snapshot(2.0, before.files.clone());
    now.files[33].served += 9 * MIB;
    now.files[44].served += 5 * MIB;
    for rows in [12, 16, 24, 40] {
        let text = lines(&now, Some(&before), room(80, rows));
        assert_eq!(text.len(), rows);
        let paths: Vec<&str> = text[10..rows - 1]
            .iter()
            .map(|line| line.rsplit(' ').next().unwrap())
            .collect();
        let first: Vec<&str> = ["f33", "f44", "f0", "f1"].into_iter().take(paths.len()).collect();
        assert_eq!(paths[..first.len()], first, "{text:#?}");
        let more = format!("… and {} more open", 50 - paths.len());
        assert_eq!(text[rows - 1], more);
    }
    let all = lines(&now, Some(&before), room(80, 60));
    assert_eq!(all.len(), 60, "no line of them is lost");
    assert!(!all[59].contains("more"), "{all:#?}");
}

#[test]
fn a_mount_that_lists_only_some_says_how_many_there_are() {
    let mut now = snapshot(1.0, vec![file(1, "a", 1)]);
    now.open_files = 5000;
    let text = lines(&now, None, Room::UNBOUNDED);
    assert_eq!(text.last().unwrap(), "… and 4999 more open");
}

#[test]
fn lines_fit_into_any_terminal() {
    let long = "directory/".repeat(20) + "model-00001.safetensors";
    let mut one = file(1, &long, 12_345_678_901);
    one.windows = vec![
        Window {
            at: 3 * MIB,
            ahead: 8 * MIB,
        },
        Window::default(),
    ];
    one.hit_rate = Some(0.987_65);
    let mut now = snapshot(98_765.0, vec![one, file(2, "short", 1)]);
    now.url = "s3://".to_owned() + &"b".repeat(300) + "/";
    now.mount = Requests {
        reads: u64::MAX,
        bytes: u64::MAX,
        ..Requests::default()
    };
    for columns in [1, 2, 10, 24, 25, 40, 80, 100, 132, 200, 1000] {
        for rows in [1, 2, 8, 9, 10, 11, 12, 13, 14, 30] {
            let text = lines(&now, None, room(columns, rows));
            assert!(text.len() <= rows, "{rows} rows: {text:#?}");
            for line in &text {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
        }
    }
    let wide = lines(&now, None, Room::UNBOUNDED).join("\n");
    assert!(
        wide.contains(&long) && wide.contains("3MiB+8MiB ×2") && wide.contains("98.8%"),
        "{wide}"
    );
    let narrow = lines(&now, None, room(40, 30));
    let line = narrow.iter().find(|line| line.contains("11.5GiB")).unwrap();
    assert!(
        line.ends_with("-00001.safetensors") && line.contains('…'),
        "{line}"
    );
}

#[test]
fn columns_stand_under_their_heads() {
    let now = snapshot(
        1.0,
        vec![file(1, "PATH-of-a", 5), file(2, "PATH-of-b", 5_000_000)],
    );
    let text = lines(&now, None, room(120, 30));
    let table = &text[text.len() - 3..];
    let at = |line: &str| line.find("PATH").unwrap();
    assert!(table.iter().all(|line| at(line) == at(&table[0])), "{table:#?}");
}

#[test]
fn names_cannot_drive_a_terminal() {
    let mut now = snapshot(1.0, vec![file(1, "a\x1b[2J\u{202e}b", 1)]);
    now.url = "s3://\x1b[31m/".to_owned();
    now.dir = "/mnt/\n".to_owned();
    now.files[0].mode = "\r".to_owned();
    for line in lines(&now, None, Room::UNBOUNDED) {
        assert_eq!(printable(&line), line);
    }
}

#[test]
fn times_have_two_units() {
    for (seconds, text) in [
        (0.9, "0s"),
        (59.9, "59s"),
        (60.0, "1m00s"),
        (3599.0, "59m59s"),
        (3600.0, "1h00m"),
        (90_061.0, "1d01h"),
    ] {
        assert_eq!(time(seconds), text);
    }
}

fn torrent(state: &str, present: u64, peers: Option<u32>) -> Torrent {
    Torrent {
        state: state.to_owned(),
        present,
        peers,
        download_bps: peers.map(|_| 3 * MIB),
        ranges: vec![(0, present)],
    }
}

#[test]
fn of_torrents_what_is_there_and_who_gives_more_is_shown() {
    let mut files = [
        file(1, "film.mkv", 3),
        file(2, "paused.mkv", 2),
        file(3, "other", 1),
    ];
    for file in &mut files {
        file.size = 100 * MIB;
    }
    files[0].torrent = Some(torrent("live", 40 * MIB, Some(3)));
    files[1].torrent = Some(torrent("paused", 100 * MIB, None));
    let text = lines(&snapshot(1.0, files.to_vec()), None, Room::UNBOUNDED);
    let row = |name: &str| text.iter().find(|line| line.ends_with(name)).unwrap();
    let live = "█".repeat(8) + &"░".repeat(12) + "  40.0%";
    assert!(row("film.mkv").contains(&live), "{text:#?}");
    assert!(row("film.mkv").ends_with("3MiB/s       3  film.mkv"), "{text:#?}");
    assert!(
        row("paused.mkv").ends_with("100.0%       -  paused  paused.mkv"),
        "{text:#?}"
    );
    let words: Vec<&str> = row("other").split_whitespace().rev().take(4).collect();
    assert_eq!(words, ["other", "-", "-", "-"], "{text:#?}");
    let with_streams = Snapshot {
        streams: Some(Streams {
            open: 3,
            parked: 1,
            opened: 5,
            reused: 40,
            revoked: 2,
        }),
        ..snapshot(1.0, files.to_vec())
    };
    let text = lines(&with_streams, None, Room::UNBOUNDED);
    let line = "streams   3 open, 1 of them idle, 5 opened, 40 times gone on in, 2 taken away";
    assert!(text.iter().any(|text| text == line), "{text:#?}");
    // It stays where there is little room, and no column is there for nothing.
    let narrow = lines(&snapshot(1.0, files.to_vec()), None, room(80, 30));
    assert!(narrow.iter().any(|line| line.contains(&live)), "{narrow:#?}");
    let without = lines(&snapshot(1.0, files[2..].to_vec()), None, Room::UNBOUNDED);
    assert!(!without.iter().any(|line| line.contains("PEERS")), "{without:#?}");
}

#[test]
fn what_a_mount_says_of_a_torrent_is_understood() {
    let status = TorrentStatus {
        state: "live".to_owned(),
        error: None,
        present: 500,
        peers: Some(3),
        download_bps: Some(1_000_000),
        ranges: vec![(0, 100), (500, 900)],
    };
    let json = serde_json::to_value(&status).unwrap();
    let expected = serde_json::json!({
        "state": "live",
        "error": null,
        "present": 500,
        "peers": 3,
        "download_bps": 1_000_000,
        "ranges": [[0, 100], [500, 900]],
    });
    assert_eq!(json, expected);
    let understood: Torrent = serde_json::from_value(json).unwrap();
    let expected = Torrent {
        state: "live".to_owned(),
        present: 500,
        peers: Some(3),
        download_bps: Some(1_000_000),
        ranges: vec![(0, 100), (500, 900)],
    };
    assert_eq!(understood, expected);
    // Of other files, and by a process of an older version, nothing is said.
    for file in ["{}", r#"{"torrent":null}"#] {
        let file: File = serde_json::from_str(file).unwrap();
        assert!(file.torrent.is_none());
    }
}
