use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::topic::TopicName;

fn at() -> TopicPartition {
    TopicPartition::new(TopicName::new("t").expect("a good name"), 3)
}

fn found(compacted: bool, epoch: u64, base_offset: u64, next_offset: u64) -> Found {
    Found {
        info: SegmentInfo {
            at: at(),
            base_offset,
            next_offset,
            object: Ulid::from_parts(epoch, (u128::from(base_offset) << 64) | u128::from(next_offset)),
            key: "key".into(),
            object_size: 1000,
            etag: "etag".into(),
            position: 0,
            length: 100,
            records: next_offset - base_offset,
            max_timestamp: 0,
            epoch,
            index: bytes::Bytes::new(),
        },
        compacted,
    }
}

/// A flush of `epoch` with the offsets `base..next`.
fn flush((epoch, base, next): (u64, u64, u64)) -> Found {
    found(false, epoch, base, next)
}

fn compacted((epoch, base, next): (u64, u64, u64)) -> Found {
    found(true, epoch, base, next)
}

/// Log start, high watermark and epoch of a snapshot.
fn noted(log_start: u64, high_watermark: u64, epoch: u64) -> Option<Noted> {
    let text = format!(
        r#"{{"topic":"t","partition":3,"log_start":{log_start},"high_watermark":{high_watermark},"epoch":{epoch}}}"#
    );
    Some(serde_json::from_str(&text).expect("a good note"))
}

struct Chosen {
    /// (epoch, base, next)
    segments: Vec<(u64, u64, u64)>,
    ends: (u64, u64),
    epoch: u64,
    left_out: u64,
    problems: Vec<String>,
}

fn choose_of(sections: Vec<Found>, fences: &[(u64, u64)], noted: Option<Noted>) -> Chosen {
    let mut recovered = Recovered::default();
    let evidence = Evidence {
        sections,
        fences: fences.to_vec(),
        start_is_known: noted.is_some(),
        noted,
    };
    let part = choose(&at(), evidence, &mut recovered);
    let segments = part.segments.iter();
    Chosen {
        segments: segments
            .map(|info| (info.epoch, info.base_offset, info.next_offset))
            .collect(),
        ends: (part.log_start, part.high_watermark),
        epoch: part.epoch,
        left_out: recovered.left_out,
        problems: recovered.problems,
    }
}

#[test]
fn what_follows_each_other_is_all_there() {
    let all = [(1, 0, 5), (1, 5, 9), (3, 9, 10)];
    let chosen = choose_of(all.map(flush).to_vec(), &[], None);
    assert_eq!(chosen.segments, all);
    assert_eq!((chosen.ends, chosen.epoch, chosen.left_out), ((0, 10), 3, 0));
    assert_eq!(chosen.problems, Vec::<String>::new());
    let nothing = choose_of(Vec::new(), &[], None);
    assert_eq!(
        (nothing.ends, nothing.epoch, nothing.problems.len()),
        ((0, 0), 0, 0)
    );
}

#[test]
fn what_begins_where_a_later_epoch_began_is_dead() {
    // Told by the later one's own flush.
    let chosen = choose_of([(1, 0, 5), (1, 5, 20), (2, 5, 7)].map(flush).to_vec(), &[], None);
    assert_eq!(chosen.segments, [(1, 0, 5), (2, 5, 7)]);
    assert_eq!((chosen.left_out, chosen.problems.len()), (1, 0));
    // By its fence alone; that of an epoch in between counts as well, and so does the epoch.
    let sections = [(1, 0, 5), (1, 5, 20), (1, 20, 30)].map(flush).to_vec();
    let chosen = choose_of(sections, &[(2, 5), (9, 5)], None);
    assert_eq!((chosen.segments, chosen.epoch), (vec![(1, 0, 5)], 9));
    assert_eq!(chosen.ends, (0, 5));
    // A fence of its own epoch, or of one before, says nothing against it.
    let chosen = choose_of([(2, 5, 20)].map(flush).to_vec(), &[(2, 5), (1, 0)], None);
    assert_eq!(chosen.segments, [(2, 5, 20)]);
}

#[test]
fn what_was_compacted_counts_once() {
    let mut sections = [(1, 0, 5), (1, 5, 9), (2, 9, 12)].map(flush).to_vec();
    sections.push(compacted((1, 0, 9)));
    let chosen = choose_of(sections, &[], None);
    assert_eq!(chosen.segments, [(1, 0, 9), (2, 9, 12)]);
    assert_eq!((chosen.left_out, chosen.problems.len()), (2, 0));
    // Compacted again, and the sweeper was at it.
    let mut sections = vec![compacted((1, 0, 9)), compacted((2, 0, 12))];
    sections.push(flush((2, 9, 12)));
    assert_eq!(choose_of(sections, &[], None).segments, [(2, 0, 12)]);
    // A compacted segment is never dead, though its flushes would seem to be, and one that was never committed does not
    // take its place, however long it is.
    let sections = vec![compacted((1, 5, 9)), flush((3, 5, 50)), flush((1, 0, 5))];
    let chosen = choose_of(sections, &[(4, 9)], None);
    assert_eq!(chosen.segments, [(1, 0, 5), (1, 5, 9)]);
}

#[test]
fn after_a_gap_counts_what_was_committed() {
    let sections = || [(1, 0, 5), (1, 7, 9), (1, 9, 12)].map(flush).to_vec();
    // Nothing shows it. Its offsets are not given again.
    let chosen = choose_of(sections(), &[], None);
    assert_eq!(
        (chosen.segments, chosen.ends, chosen.left_out),
        (vec![(1, 0, 5)], (0, 12), 2)
    );
    assert_eq!(chosen.problems.len(), 1);
    assert!(
        chosen.problems[0].starts_with("t/3: of 5..12 something is missing"),
        "{:?}",
        chosen.problems
    );
    // The snapshot knew the first of them: the second follows.
    let chosen = choose_of(sections(), &[], noted(0, 9, 1));
    assert_eq!(chosen.segments, [(1, 0, 5), (1, 7, 9), (1, 9, 12)]);
    assert_eq!(chosen.problems, ["t/3: offsets 5..7 are lost"]);
    // A later epoch went on behind it.
    assert_eq!(
        choose_of(sections(), &[(2, 9)], None).segments,
        [(1, 0, 5), (1, 7, 9)]
    );
    // It was compacted.
    let sections = vec![flush((1, 0, 5)), compacted((1, 7, 12))];
    let chosen = choose_of(sections, &[], None);
    assert_eq!(chosen.segments, [(1, 0, 5), (1, 7, 12)]);
}

#[test]
fn the_snapshot_knows_where_it_begins_and_ends() {
    // Retained, all of it: the end stays.
    let chosen = choose_of(Vec::new(), &[], noted(12, 12, 4));
    assert_eq!(
        (chosen.ends, chosen.epoch, chosen.problems.len()),
        ((12, 12), 4, 0)
    );
    // What lies below the start is over; one that the start lies in is not.
    let sections = || [(1, 0, 5), (1, 5, 9), (1, 9, 12)].map(flush).to_vec();
    let chosen = choose_of(sections(), &[], noted(6, 12, 1));
    assert_eq!(
        (chosen.segments, chosen.ends),
        (vec![(1, 5, 9), (1, 9, 12)], (6, 12))
    );
    assert_eq!((chosen.left_out, chosen.problems.len()), (1, 0));
    // The beginning, the end, everything is not there.
    let chosen = choose_of([(1, 9, 12)].map(flush).to_vec(), &[], noted(6, 12, 1));
    assert_eq!(chosen.ends, (9, 12));
    assert_eq!(chosen.problems, ["t/3: offsets 6..9 are lost"]);
    // Without a snapshot it is not known where it began; with one, what is there may be without its predecessor.
    let late = || [(1, 9, 12)].map(flush).to_vec();
    let chosen = choose_of(late(), &[], None);
    assert_eq!((chosen.segments, chosen.ends), (vec![(1, 9, 12)], (9, 12)));
    assert_eq!(
        chosen.problems,
        ["t/3: offsets 0..9 are not there: retained no longer, or lost"]
    );
    let chosen = choose_of(late(), &[], noted(0, 0, 0));
    assert_eq!((chosen.segments, chosen.ends), (vec![], (12, 12)));
    assert_eq!(chosen.problems.len(), 1);
    let chosen = choose_of(sections(), &[], noted(0, 15, 1));
    assert_eq!(
        (chosen.ends, chosen.problems),
        ((0, 15), vec!["t/3: offsets 12..15 are lost".to_owned()])
    );
    let chosen = choose_of(Vec::new(), &[], noted(6, 15, 1));
    assert_eq!(
        (chosen.ends, chosen.problems),
        ((15, 15), vec!["t/3: offsets 6..15 are lost".to_owned()])
    );
}

/// What a writer did, and how it ended: (records of its flushes, how many of those were committed, how many after that
/// were uploaded in vain, whether the first of them is not there).
type Epoch = (Vec<u64>, usize, bool);

proptest! {
    /// Any history of writers, each ended in the middle of pipelined uploads: what was committed is chosen, and what was not is
    /// not, but for the very end.
    #[test]
    fn committed_flushes_are_chosen_and_others_are_not(
        history in prop::collection::vec((prop::collection::vec(1..10_u64, 0..6), 0..7_usize, any::<bool>()), 1..6),
        joined in prop::collection::vec(any::<bool>(), 40),
        snapshot in any::<prop::sample::Index>(),
        shuffle in any::<u64>(),
    ) {
        let (mut sections, mut fences) = (Vec::new(), Vec::new());
        let (mut committed, mut in_vain) = (Vec::new(), Vec::new());
        let mut end = 0;
        let last = history.len() as u64;
        for (epoch, (records, commits, first_missing)) in (1..).zip::<Vec<Epoch>>(history) {
            // No writer before it gave its lease back.
            fences.push((epoch, end));
            let mut base = end;
            for (n, records) in records.into_iter().enumerate() {
                let section = (epoch, base, base + records);
                base += records;
                if n < commits {
                    committed.push(section);
                    end = base;
                } else if !(first_missing && n == commits) {
                    in_vain.push(section);
                }
            }
        }
        let snapshot = snapshot.index(committed.len() + 1).checked_sub(1).map(|n| committed[n]);
        // Some committed flushes that follow each other are compacted, and swept then.
        let mut expected: Vec<(u64, u64, u64)> = Vec::new();
        for (n, section) in committed.iter().enumerate() {
            match expected.last_mut() {
                Some(before) if joined[n] => *before = (section.0, before.1, section.2),
                _ => expected.push(*section),
            }
        }
        for section in &expected {
            let whole = committed.contains(section);
            sections.push(if whole { flush(*section) } else { compacted(*section) });
        }
        sections.extend(in_vain.iter().map(|section| flush(*section)));
        fastrand::Rng::with_seed(shuffle).shuffle(&mut sections);
        let (epoch, _, next) = snapshot.unwrap_or_default();
        let noted = noted(0, next, epoch);
        let chosen = choose_of(sections, &fences, noted);
        prop_assert_eq!(&chosen.segments[..expected.len()], &expected[..]);
        // The last writer may have been about to commit what follows directly.
        let mut follows = end;
        for section in &chosen.segments[expected.len()..] {
            prop_assert!(section.0 == last && section.1 == follows, "{section:?}");
            follows = section.2;
        }
        prop_assert!(chosen.ends.1 >= end);
        prop_assert_eq!(chosen.epoch, last);
    }
}
