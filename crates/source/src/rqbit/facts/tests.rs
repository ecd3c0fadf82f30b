use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::rqbit::catalog::script::{Script, file, hash};
use crate::rqbit::{Details, Stats, TorrentFile};

fn haves(bits: &[bool]) -> Haves {
    let mut bytes = vec![0_u8; bits.len().div_ceil(8)];
    for (n, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
        bytes[n / 8] |= 0x80 >> (n % 8);
    }
    Haves {
        pieces: bits.len() as u32,
        bits: Bytes::from(bytes),
    }
}

/// Of a file by its index. Padding counts, for it is there to take room.
fn span_of(details: &Details, file: usize) -> Option<Span> {
    let sum = |files: &[TorrentFile]| files.iter().map(|file| file.length).sum();
    Some(Span {
        before: sum(details.files.get(..file)?),
        length: details.files.get(file)?.length,
        total: sum(&details.files),
    })
}

fn ranges(pairs: &[(u64, u64)]) -> Vec<ByteRange> {
    pairs.iter().map(|(a, b)| ByteRange::new(*a, *b)).collect()
}

#[test]
fn a_length_of_pieces_is_derived_if_there_is_one() {
    for (total, pieces, expected) in [
        (314_572_800, 150, Some(2 << 20)),
        (100, 1, Some(100)),
        (100, 2, Some(64)),
        (128, 2, Some(64)),
        (129, 3, Some(64)),
        (5, 5, Some(1)),
        // Cut into pieces of 30 or of 20 bytes each.
        (1000, 34, None),
        (1000, 50, None),
        (0, 0, None),
        (0, 1, None),
        (100, 0, None),
        (3, 5, None),
        (u64::MAX, 1, Some(u64::MAX)),
        (u64::MAX, 2, Some(1 << 63)),
        (u64::MAX, 3, None),
    ] {
        assert_eq!(piece_length(total, pieces), expected, "{total} in {pieces}");
    }
}

#[test]
fn pieces_become_ranges_of_the_file() {
    let t = true;
    let haves = haves(&[t, false, t, t, false]);
    let of = |before, length| {
        let span = Span {
            before,
            length,
            total: 300,
        };
        present(&haves, span, 0)
    };
    assert_eq!(of(0, 300), ranges(&[(0, 64), (128, 256)]));
    assert_eq!(of(10, 60), ranges(&[(0, 54)]));
    assert_eq!(of(64, 64), []);
    assert_eq!(of(100, 100), ranges(&[(28, 100)]));
    assert_eq!(of(250, 50), ranges(&[(0, 6)]));
    assert_eq!(of(63, 1), ranges(&[(0, 1)]));
    assert_eq!(of(299, 1), []);
    assert_eq!(of(10, 0), []);
    let whole = Span {
        before: 0,
        length: 300,
        total: 300,
    };
    // More bytes were here before than lie in these pieces: they are of another length than it seems.
    assert_eq!(present(&haves, whole, 192), ranges(&[(0, 64), (128, 256)]));
    assert_eq!(present(&haves, whole, 193), []);
}

proptest! {
    #[test]
    fn each_byte_is_told_by_its_piece(
        power in 0_u32..5,
        bits in proptest::collection::vec(any::<bool>(), 2..40),
        tail in 0_u64..16,
        cuts in proptest::collection::vec(0_u64..700, 2),
    ) {
        let piece = 1_u64 << power;
        let total = (bits.len() as u64 - 1) * piece + 1 + tail % piece;
        prop_assert_eq!(piece_length(total, bits.len() as u32), Some(piece));
        let (from, to) = (cuts[0].min(cuts[1]).min(total), cuts[0].max(cuts[1]).min(total));
        let span = Span { before: from, length: to - from, total };
        let got = present(&haves(&bits), span, 0);
        for byte in 0..span.length {
            let here = bits[((from + byte) / piece) as usize];
            prop_assert_eq!(got.iter().any(|range| range.start() <= byte && byte < range.end()), here);
        }
        for pair in got.windows(2) {
            prop_assert!(pair[0].end() < pair[1].start());
        }
    }
}

#[tokio::test]
async fn facts_are_put_together() {
    let script = Script::new(Vec::new());
    let details = Details {
        name: None,
        files: [40_u64, 0, 200, 60]
            .map(|length| TorrentFile { length, ..file("x") })
            .into(),
    };
    let ask = |n| {
        let (script, span) = (script.clone(), span_of(&details, n).unwrap());
        async move { facts(&*script, span, hash(1), n).await }
    };
    assert_eq!(span_of(&details, 4), None);
    assert!(matches!(
        ask(0).await,
        Err(Failure::Torrent(TorrentFault::Gone { .. }))
    ));

    let stats = Stats {
        state: State::Live,
        error: None,
        file_progress: vec![40, 0, 88, 44],
        total: 300,
        peers: Some(Peers::default()),
        download_bps: Some(7),
    };
    *script.stats.lock().unwrap() = Some(stats.clone());
    *script.haves.lock().unwrap() = Some(haves(&[true, true, false, false, true]));
    let got = ask(2).await.unwrap();
    assert_eq!((got.here, got.length), (88, 200));
    assert_eq!(got.present, ranges(&[(0, 88)]));
    assert_eq!((got.peers, got.download_bps), (Some(Peers::default()), Some(7)));
    assert_eq!(ask(3).await.unwrap().present, ranges(&[(16, 60)]));
    assert_eq!(ask(0).await.unwrap().present, ranges(&[(0, 40)]));
    assert_eq!(ask(1).await.unwrap().present, []);

    // The client cannot tell of its pieces: a file that is all here is all here, of others it is not known.
    *script.haves.lock().unwrap() = None;
    assert_eq!(ask(0).await.unwrap().present, ranges(&[(0, 40)]));
    assert_eq!(ask(2).await.unwrap().present, []);

    *script.stats.lock().unwrap() = Some(Stats {
        state: State::Failed,
        error: Some("no space".to_owned()),
        file_progress: Vec::new(),
        peers: None,
        download_bps: None,
        ..stats
    });
    let got = ask(2).await.unwrap();
    assert_eq!((got.state, got.here, got.present), (State::Failed, 0, Vec::new()));
    assert_eq!(got.error.as_deref(), Some("no space"));
}
