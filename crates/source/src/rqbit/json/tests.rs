use super::*;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn hash() -> InfoHash {
    HASH.parse().unwrap()
}

fn why<T: std::fmt::Debug>(answer: Result<T, Failure>) -> String {
    match answer {
        Err(Failure::Malformed { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn file(components: &str, length: &str) -> String {
    format!(
        r#"{{"name":"x","components":{components},"length":{length},"included":true,
            "attributes":{{"symlink":false,"hidden":false,"padding":true,"executable":false}}}}"#
    )
}

fn description(files: &str) -> String {
    format!(
        r#"{{"id":0,"info_hash":"{HASH}","name":"a","output_folder":"/o","total_pieces":150,"files":[{files}]}}"#
    )
}

#[test]
fn torrents_come_in_the_order_of_their_numbers() {
    let entry = |id, digit: &str, name: &str| {
        let hash = digit.repeat(40);
        format!(r#"{{"id":{id},"info_hash":"{hash}","name":{name},"output_folder":"/","total_pieces":1}}"#)
    };
    let body = format!(
        r#"{{"torrents":[{},{},{}]}}"#,
        entry(10, "a", r#""ten""#),
        entry(2, "B", "null"),
        entry(3, "c", r#""thr\u0000ee""#)
    );
    let listed = list(body.as_bytes()).unwrap();
    let names: Vec<_> = listed.iter().map(|torrent| torrent.name.as_deref()).collect();
    assert_eq!(names, [None, Some("thr\0ee"), Some("ten")]);
    assert_eq!(listed[0].hash.to_string(), "b".repeat(40));
    assert_eq!(list(br#"{"torrents":[]}"#).unwrap(), []);
}

#[test]
fn a_description_is_read() {
    let body = description(&file(r#"["sub","tex.exr"]"#, "30000000"));
    let details = details(hash(), body.as_bytes()).unwrap();
    assert_eq!(details.name.as_deref(), Some("a"));
    assert_eq!(
        details.files,
        [TorrentFile {
            components: vec!["sub".to_owned(), "tex.exr".to_owned()],
            length: 30_000_000,
            padding: true,
            symlink: false,
            executable: false,
        }]
    );
}

#[test]
fn how_it_does_is_read() {
    let live = r#"{"state":"live","file_progress":[18874368],"error":null,"progress_bytes":18874368,"uploaded_bytes":0,
        "total_bytes":314572800,"finished":false,"live":{"snapshot":{"downloaded_and_checked_bytes":18874368,
        "peer_stats":{"queued":0,"connecting":0,"live":3,"live_tcp":1,"live_seeders":1,"seen":5,"dead":0,"steals":0}},
        "average_piece_download_time":{"secs":0,"nanos":105222222},
        "download_speed":{"mbps":9.5,"human_readable":"9.50 MiB/s"},"upload_speed":{"mbps":0.0,"human_readable":""},
        "time_remaining":null}}"#;
    let got = stats(live.as_bytes()).unwrap();
    assert_eq!(got.state, State::Live);
    assert_eq!(got.file_progress, [18_874_368]);
    assert_eq!(got.total, 314_572_800);
    assert_eq!(got.download_bps, Some(9_961_472));
    let peers = Peers {
        live: 3,
        seeders: 1,
        seen: 5,
    };
    assert_eq!(got.peers, Some(peers));

    for (state, expected) in [
        ("initializing", State::Initializing),
        ("paused", State::Paused),
        ("error", State::Failed),
    ] {
        let body = format!(
            r#"{{"state":"{state}","initializing_paused":true,"file_progress":[],"error":"no space\u001b[2J","progress_bytes":0,
               "uploaded_bytes":0,"total_bytes":5,"finished":false,"live":null}}"#
        );
        let got = stats(body.as_bytes()).unwrap();
        assert_eq!((got.state, got.peers, got.download_bps), (expected, None, None));
        assert_eq!(got.error.unwrap(), "no space\\u{1b}[2J");
    }
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let body = description(&file(r#"["a"]"#, "5"));
    for (from, to, said) in [
        (r#""files""#, r#""fails""#, "missing field `files`"),
        (r#""components""#, r#""c""#, "missing field `components`"),
        (r#""length""#, r#""l""#, "missing field `length`"),
        (r#""padding""#, r#""p""#, "missing field `padding`"),
        (r#""info_hash""#, r#""i""#, "missing field `info_hash`"),
        ("\"length\":5", "\"length\":-5", "invalid value: integer `-5`"),
        ("\"length\":5", "\"length\":18446744073709551616", "invalid"),
        ("\"length\":5", "\"length\":5.5", "invalid type"),
        (r#"["a"]"#, r#"[7]"#, "invalid type: integer `7`"),
        (r#"["a"]"#, r#""a""#, "invalid type: string"),
        (
            "0123456789abcdef",
            "xyz\\u001b",
            "is not of 40 hexadecimal digits",
        ),
        ("01234567", "11234567", "it is about 1123"),
    ] {
        let broken = body.replacen(from, to, 1);
        assert_ne!(broken, body);
        let why = why(details(hash(), broken.as_bytes()));
        assert!(why.contains(said), "{to}: {why}");
        assert!(!why.contains('\u{1b}'), "{why}");
    }
    let huge = [file(r#"["a"]"#, "18446744073709551615"), file(r#"["b"]"#, "1")].join(",");
    let why_huge = why(details(hash(), description(&huge).as_bytes()));
    assert!(why_huge.contains("bytes together"), "{why_huge}");

    for (body, said) in [
        ("", "EOF"),
        ("<html>", "expected value"),
        (r#"{"torrents":[{"id":0,"#, "EOF"),
        (r#"{"torrents":{}}"#, "expected a sequence"),
        (r#"{"list":[]}"#, "missing field `torrents`"),
        (
            r#"{"torrents":[{"id":0,"name":"a"}]}"#,
            "missing field `info_hash`",
        ),
        ("7", "expected struct ListDoc"),
        (r#"{"torrents":[]} x"#, "trailing characters"),
    ] {
        let why = why(list(body.as_bytes()));
        assert!(why.contains(said), "{body}: {why}");
    }
    let unknown = r#"{"state":"merry","file_progress":[],"error":null,"total_bytes":0,"live":null}"#;
    assert!(why(stats(unknown.as_bytes())).contains("unknown variant `merry`"));
    let bare =
        r#"{"state":"live","file_progress":[],"total_bytes":0,"live":{"download_speed":{"mbps":1.0}}}"#;
    assert!(why(stats(bare.as_bytes())).contains("missing field `snapshot`"));
}

#[test]
fn deep_and_endless_answers_are_refused() {
    let deep = format!(r#"{{"torrents":{}"#, "[".repeat(1_000_000));
    assert!(list(deep.as_bytes()).is_err());
    let unknown = format!(
        r#"{{"x":{}{},"torrents":[]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    // Passed over or refused, but no overflow.
    let _ = list(unknown.as_bytes());
    let name = "n".repeat(100_000);
    let long = format!(r#"{{"torrents":[{{"id":"{name}"}}]}}"#);
    assert!(why(list(long.as_bytes())).len() <= 300);
}

#[test]
fn refusals_are_read() {
    let body = br#"{"error_kind":"torrent_not_found","human_readable":"torrent not found 99\u0007","status":404,"status_text":"404 Not Found","id":99}"#;
    assert_eq!(refusal(body).unwrap(), "torrent not found 99\\u{7}");
    assert_eq!(refusal(b"<html>"), None);
    assert_eq!(refusal(br#"{"human_readable":""}"#), None);
}
