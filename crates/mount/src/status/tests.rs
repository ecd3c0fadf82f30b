use forebay_source::{InfoHash, Peers, State};
use forebay_types::ByteRange;

use super::*;

fn facts(present: Vec<ByteRange>) -> FileFacts {
    FileFacts {
        hash: InfoHash([7; 20]),
        state: State::Live,
        error: None,
        here: present.iter().map(|range| range.len()).sum(),
        length: 10_000,
        peers: Some(Peers {
            live: 3,
            seeders: 1,
            seen: 9,
        }),
        download_bps: Some(1_000_000),
        present,
    }
}

#[test]
fn what_the_client_says_has_this_shape() {
    let status = TorrentStatus::of(&facts(vec![ByteRange::new(0, 100), ByteRange::new(500, 900)]));
    assert_eq!(
        status,
        TorrentStatus {
            state: "live".to_owned(),
            error: None,
            present: 500,
            peers: Some(3),
            download_bps: Some(1_000_000),
            ranges: vec![(0, 100), (500, 900)],
        }
    );
    let stopped = TorrentStatus::of(&FileFacts {
        state: State::Failed,
        error: Some("disk full".to_owned()),
        peers: None,
        download_bps: None,
        ..facts(Vec::new())
    });
    assert_eq!(
        (stopped.state.as_str(), stopped.error.as_deref()),
        ("error", Some("disk full"))
    );
    assert_eq!((stopped.peers, stopped.download_bps), (None, None));
}

#[test]
fn of_many_ranges_the_longest_are_told_in_order() {
    // Each tenth is longer than the others.
    let ranges = (0..1000).map(|n| ByteRange::new(n * 10, n * 10 + if n % 10 == 0 { 9 } else { 1 }));
    let facts = facts(ranges.collect());
    let status = TorrentStatus::of(&facts);
    assert_eq!((status.ranges.len(), status.present), (RANGES, facts.here));
    assert!(status.ranges.is_sorted());
    assert!(
        status
            .ranges
            .iter()
            .all(|(start, end)| start % 100 == 0 && end - start == 9)
    );
}
