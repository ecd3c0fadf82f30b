//! Many at once.

use std::sync::atomic::{AtomicBool, Ordering};

use forebay_types::BLOCK;

use super::*;

#[test]
fn eight_threads_change_names_and_all_is_as_after_one() {
    let rig = Rig::new();
    let upper = rig.open();
    let shared = upper.mkdir(upper.root(), b"shared", new(0o700)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let upper = &upper;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let own = upper
                    .mkdir(upper.root(), format!("own {thread}").as_bytes(), new(0o700))
                    .unwrap();
                for n in 0..300u64 {
                    let name = format!("f{}", random.u32(0..6));
                    let other = format!("f{}", random.u32(0..6));
                    // In the shared directory any answer is right that the names allow; what it must not be is another.
                    let result = match random.u32(0..9) {
                        0 => upper.create(shared, name.as_bytes(), new(0o600)).map(drop),
                        1 => upper.unlink(shared, name.as_bytes(), false).map(drop),
                        2 => upper
                            .rename(
                                (shared, name.as_bytes()),
                                (own, other.as_bytes()),
                                Rename::Replace,
                                false,
                            )
                            .map(drop),
                        3 => upper
                            .rename(
                                (own, name.as_bytes()),
                                (shared, other.as_bytes()),
                                Rename::NoReplace,
                                false,
                            )
                            .map(drop),
                        4 => upper
                            .rename(
                                (own, name.as_bytes()),
                                (shared, other.as_bytes()),
                                Rename::Exchange,
                                false,
                            )
                            .map(drop),
                        5 => match upper.entry(shared, name.as_bytes()).unwrap() {
                            Some(UpperEntry::Node { id, .. }) => upper.link(id, own, other.as_bytes()),
                            _ => Ok(()),
                        },
                        6 => match upper.entry(shared, name.as_bytes()).unwrap() {
                            Some(UpperEntry::Node { id, .. }) => upper.data(id).and_then(|file| {
                                file.write_at(0, &n.to_le_bytes())?;
                                upper.attrs(id).map(drop)
                            }),
                            _ => Ok(()),
                        },
                        7 => upper.sync(),
                        _ => upper.create(own, name.as_bytes(), new(0o600)).map(drop),
                    };
                    if let Err(error) = result {
                        use UpperError::{Exists, NoEntry, Stale};
                        assert!(
                            matches!(error, Exists { .. } | NoEntry { .. } | Stale { .. }),
                            "{error}"
                        );
                    }
                    if n % 50 == 0 {
                        dump_of(upper, own);
                    }
                }
            });
        }
    });
    let expected = dump(&upper);
    assert_eq!(dump(&rig.killed().open()), expected);
    drop(upper);
    let upper = rig.open();
    assert_eq!(dump(&upper), expected);
    assert_eq!(rig.files().len() as u64, upper.stats().files);
}

fn dump_of(upper: &Upper, dir: NodeId) {
    for (name, _) in upper.entries(dir).unwrap() {
        upper.entry(dir, &name).unwrap();
    }
}

#[test]
fn writes_and_fills_of_one_file_do_not_lose_each_other() {
    const BLOCKS: u64 = 24;
    let rig = Rig::new();
    let upper = rig.open();
    let id = upper
        .adopt_file(upper.root(), b"f", &origin("f", BLOCKS * BLOCK), attrs(0o600))
        .unwrap();
    let lower = vec![1; (BLOCKS * BLOCK) as usize];
    let done = AtomicBool::new(false);
    // Each thread has every eighth KiB to itself, so that all of them share blocks.
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8u64)
            .map(|thread| {
                let (upper, lower) = (&upper, &lower);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread);
                    let file = upper.data(id).unwrap();
                    let mine: Vec<u64> = (0..BLOCKS * BLOCK / 1024)
                        .filter(|kib| kib % 8 == thread)
                        .collect();
                    let bytes = [thread as u8 + 10; 1024];
                    for kib in (0..mine.len()).map(|_| mine[random.usize(0..mine.len())]) {
                        loop {
                            match file.write_at(kib * 1024, &bytes).unwrap() {
                                Changed::Done(n) => break assert_eq!(n, 1024),
                                Changed::Fill(ranges) => {
                                    for range in ranges {
                                        let (start, end) = (range.start() as usize, range.end() as usize);
                                        file.fill(range.start(), &lower[start..end]).unwrap();
                                    }
                                }
                            }
                        }
                        let mut back = [0; 1024];
                        assert_eq!(
                            file.read_at(&mut back, kib * 1024).unwrap(),
                            ReadData::Present(1024)
                        );
                        assert_eq!(back, bytes);
                    }
                })
            })
            .collect();
        let (upper, done) = (&upper, &done);
        scope.spawn(move || {
            let file = upper.data(id).unwrap();
            while !done.load(Ordering::Acquire) {
                file.sync(true).unwrap();
                file.dirty().unwrap();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    let file = upper.data(id).unwrap();
    let mut bytes = vec![0; lower.len()];
    for block in 0..BLOCKS {
        let start = (block * BLOCK) as usize;
        let place = &mut bytes[start..start + BLOCK as usize];
        if file.read_at(place, start as u64).unwrap() != ReadData::Present(BLOCK as usize) {
            place.fill(1);
        }
    }
    for (kib, bytes) in bytes.chunks(1024).enumerate() {
        let mine = kib as u8 % 8 + 10;
        assert!(
            bytes.iter().all(|byte| *byte == mine) || bytes.iter().all(|byte| *byte == 1),
            "KiB {kib} is of two"
        );
    }
}
