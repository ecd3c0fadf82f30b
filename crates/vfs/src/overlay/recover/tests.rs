use super::*;
use crate::overlay::layout::{data_name, map_name};
use crate::overlay::tests::{BASE, Rig, attrs, clock, dump, new, origin};
use crate::overlay::{Rename, Upper, UpperEntry};

/// An overlay with some records, and where each of them ends.
fn some() -> (Rig, Vec<u64>) {
    let rig = Rig::new();
    let upper = rig.open();
    let len = || std::fs::metadata(rig.names()).unwrap().len();
    let mut ends = vec![len()];
    for n in 0..6 {
        upper
            .mkdir(upper.root(), format!("dir {n}").as_bytes(), new(0o700))
            .unwrap();
        ends.push(len());
    }
    drop(upper);
    (rig, ends)
}

#[test]
fn a_new_overlay_has_a_root_over_the_lower_one() {
    let rig = Rig::new();
    for _ in 0..2 {
        let upper = rig.open();
        assert_eq!(upper.entries(upper.root()).unwrap(), []);
        assert_eq!(upper.dir_origin(upper.root()).unwrap().as_deref(), Some(""));
        assert_eq!(upper.parent(upper.root()).unwrap(), upper.root());
        assert_eq!(upper.attrs(upper.root()).unwrap().attrs.mode, 0o755);
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused() {
    let (rig, ends) = some();
    let names = std::fs::read(rig.names()).unwrap();
    // All bytes of the third record: length, checksum and payload.
    for at in ends[2]..ends[3] {
        for bit in [0, 3, 7] {
            let mut bad = names.clone();
            bad[at as usize] ^= 1 << bit;
            std::fs::write(rig.names(), &bad).unwrap();
            let error = rig.try_open().unwrap_err();
            assert!(
                matches!(error, OverlayError::Damaged { at, behind, .. } if at == ends[2] && behind == ends[3]),
                "{error}"
            );
            assert_eq!(
                std::fs::read(rig.names()).unwrap(),
                bad,
                "nothing is touched then"
            );
        }
    }
    std::fs::write(rig.names(), &names).unwrap();
    assert_eq!(dump(&rig.open()).len(), 6);
}

#[test]
fn a_flipped_bit_at_the_end_is_a_change_that_was_not_written_whole() {
    let (rig, ends) = some();
    let names = std::fs::read(rig.names()).unwrap();
    for at in ends[5]..ends[6] {
        let mut bad = names[..ends[6] as usize].to_vec();
        bad[at as usize] ^= 4;
        std::fs::write(rig.names(), &bad).unwrap();
        assert_eq!(dump(&rig.open()).len(), 5);
    }
}

#[test]
fn a_journal_of_another_version_or_of_nothing_is_refused() {
    let (rig, _) = some();
    let names = std::fs::read(rig.names()).unwrap();
    for bad in [&b""[..], b"forebay nam", b"forebay names 3\n", &names[1..]] {
        std::fs::write(rig.names(), bad).unwrap();
        let error = rig.try_open().unwrap_err();
        assert!(matches!(error, OverlayError::Nonsense { at: 0, .. }), "{error}");
    }
    // Whole records that lead nowhere.
    std::fs::write(rig.names(), &names[..HEAD.len()]).unwrap();
    assert!(matches!(rig.try_open(), Err(OverlayError::Nonsense { .. })));
    let twice = [&names[..], &names[HEAD.len()..]].concat();
    std::fs::write(rig.names(), twice).unwrap();
    let error = rig.try_open().unwrap_err();
    assert!(
        matches!(error, OverlayError::Nonsense { at, .. } if at == names.len() as u64),
        "{error}"
    );
}

#[test]
fn a_lost_journal_is_no_empty_one() {
    let rig = Rig::new();
    let upper = rig.open();
    upper.create(upper.root(), b"f", new(0o600)).unwrap();
    drop(upper);
    std::fs::remove_file(rig.names()).unwrap();
    assert!(matches!(rig.try_open(), Err(OverlayError::Io { .. })));
}

#[test]
fn files_without_a_node_go_and_nodes_without_a_file_are_said() {
    let rig = Rig::new();
    let upper = rig.open();
    let dir = upper.mkdir(upper.root(), b"some", new(0o700)).unwrap();
    let (id, _) = upper.create(dir, b"f\n", new(0o600)).unwrap();
    let lower = upper
        .adopt_file(upper.root(), b"l", &origin("l", 100_000), attrs(0o600))
        .unwrap();
    upper.data(lower).unwrap();
    drop(upper);
    let data = rig.path().join("data");
    let stray = data.join(data_name(NodeId(id.0 + 0x100)));
    std::fs::write(&stray, "x").unwrap();
    std::fs::write(data.join(map_name(id)), "x").unwrap();
    let mine = stray.with_file_name("notes.txt");
    std::fs::write(&mine, "x").unwrap();
    let upper = rig.open();
    assert!(!stray.exists() && !data.join(map_name(id)).exists());
    assert!(mine.exists(), "what is none of ours stays");
    // The number of the stray is not given away again.
    let (next, _) = upper.create(upper.root(), b"g", new(0o600)).unwrap();
    assert!(next.0 > id.0 + 0x100);
    drop(upper);
    for (name, path) in [(map_name(lower), "/l"), (data_name(id), "/some/f\\u{a}")] {
        let copy = rig.killed();
        std::fs::remove_file(copy.path().join("data").join(&name)).unwrap();
        let error = copy.try_open().unwrap_err();
        assert!(matches!(error, OverlayError::Lost { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(path) && text.contains(&name), "{text}");
    }
}

#[test]
fn a_damaged_map_is_an_error_of_its_file() {
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper
        .adopt_file(upper.root(), b"l", &origin("l", 100_000), attrs(0o600))
        .unwrap();
    upper.data(id).unwrap();
    drop(upper);
    std::fs::write(rig.path().join("data").join(map_name(id)), "x").unwrap();
    let upper = rig.open();
    assert_eq!(upper.data(id).unwrap_err().errno(), Errno::IO);
    // The rest goes on, and it can be removed.
    upper.unlink(upper.root(), b"l", true).unwrap();
    assert_eq!(upper.data(id).unwrap_err().errno(), Errno::STALE);
}

#[test]
fn a_long_journal_is_written_anew() {
    let rig = Rig::new();
    let upper = rig.open();
    upper
        .mkdir(upper.root(), b"a name that is moved to and fro", new(0o700))
        .unwrap();
    let names: [&[u8]; 2] = [b"a name that is moved to and fro", b"and its other name"];
    let mut longest = 0;
    for n in 0..30_000usize {
        let (from, to) = (names[n % 2], names[(n + 1) % 2]);
        upper
            .rename((upper.root(), from), (upper.root(), to), Rename::Replace, true)
            .unwrap();
        longest = longest.max(upper.stats().journal);
    }
    assert!((1 << 19..(1 << 20) + 1000).contains(&longest), "{longest}");
    let now = upper.stats().journal;
    assert!(now < 1 << 20, "{now}");
    let expected = dump(&upper);
    assert_eq!(dump(&rig.killed().open()), expected);
    drop(upper);
    assert_eq!(dump(&rig.open()), expected);
}

#[test]
fn numbers_are_not_used_again_after_a_rewrite() {
    let rig = Rig::new();
    let upper = rig.open();
    let gone = upper.mkdir(upper.root(), b"a", new(0o700)).unwrap();
    upper.rmdir(upper.root(), b"a", false).unwrap();
    upper.shared.rewrite().unwrap();
    drop(upper);
    let upper = rig.open();
    let next = upper.mkdir(upper.root(), b"a", new(0o700)).unwrap();
    assert!(next > gone);
}

#[test]
fn a_rewrite_that_was_interrupted_is_nothing() {
    let (rig, _) = some();
    let names = std::fs::read(rig.names()).unwrap();
    std::fs::write(rig.path().join("names.new"), &names[..50]).unwrap();
    let upper = rig.open();
    assert_eq!(dump(&upper).len(), 6);
    upper.shared.rewrite().unwrap();
    assert_eq!(dump(&upper).len(), 6);
    drop(upper);
    assert!(matches!(
        Upper::open(&rig.path(), BASE, clock())
            .unwrap()
            .entry(NodeId::ROOT, b"dir 3"),
        Ok(Some(UpperEntry::Node { .. }))
    ));
}

#[test]
fn every_byte_of_the_journal_may_be_its_last() {
    let (rig, ends) = some();
    let names = std::fs::read(rig.names()).unwrap();
    for cut in ends[0]..=names.len() as u64 {
        std::fs::write(rig.names(), &names[..cut as usize]).unwrap();
        let whole = ends[1..].iter().filter(|end| **end <= cut).count();
        assert_eq!(dump(&rig.open()).len(), whole, "cut at {cut}");
    }
    // Cut in the first record, it has no root.
    for cut in 0..ends[0] - 30 {
        std::fs::write(rig.names(), &names[..cut as usize]).unwrap();
        assert!(
            matches!(rig.try_open(), Err(OverlayError::Nonsense { .. })),
            "cut at {cut}"
        );
    }
}

#[test]
fn after_a_sync_that_failed_the_journal_is_written_anew() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::new();
    let upper = rig.open();
    upper.mkdir(upper.root(), b"a", new(0o700)).unwrap();
    let file = || std::fs::metadata(rig.names()).unwrap().ino();
    let before = file();
    upper.sync().unwrap();
    assert_eq!(file(), before);
    upper.shared.write().journal.doubtful = true;
    upper.mkdir(upper.root(), b"b", new(0o700)).unwrap();
    upper.sync().unwrap();
    assert_ne!(file(), before);
    let after = file();
    upper.mkdir(upper.root(), b"c", new(0o700)).unwrap();
    upper.sync().unwrap();
    assert_eq!(file(), after);
    drop(upper);
    assert_eq!(dump(&rig.open()).len(), 3);
}

#[test]
fn a_sync_without_news_writes_nothing() {
    let rig = Rig::new();
    let upper = rig.open();
    let (_, file) = upper.create(upper.root(), b"a", new(0o600)).unwrap();
    file.sync(true).unwrap();
    let before = upper.stats().journal;
    file.sync(true).unwrap();
    upper.sync().unwrap();
    assert_eq!(upper.stats().journal, before);
}
