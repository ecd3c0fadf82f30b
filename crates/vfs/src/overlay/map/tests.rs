use proptest::prelude::*;

use super::*;

fn file() -> OwnedFd {
    tempfile::tempfile().unwrap().into()
}

fn again(map: &Map, size: u64) -> Option<Map> {
    Map::open(map.fd.try_clone().unwrap(), size).unwrap()
}

proptest! {
    #[test]
    fn a_map_says_what_was_set(
        blocks in 1u64..40,
        sets in prop::collection::vec((0u64..40, 1u64..20, 0u8..3, 0u8..3), 0..20),
    ) {
        let size = blocks * BLOCK - 5;
        let mut map = Map::create(file(), size).unwrap();
        let mut model = vec![Block::Absent; blocks as usize];
        for (at, len, from, to) in sets {
            let (from, to) = (Block::of(from), Block::of(to));
            map.set(BlockRange::new(at, at + len), |block| block == from, to).unwrap();
            for block in model.iter_mut().skip(at as usize).take(len as usize) {
                if *block == from {
                    *block = to;
                }
            }
            for map in [&map, &again(&map, size).unwrap()] {
                let got: Vec<_> = (0..blocks).map(|block| map.get(block)).collect();
                prop_assert_eq!(&got, &model);
            }
        }
        for limit in [0, 1, size / 2, size] {
            let all = BlockRange::of_size(limit);
            let complete = model[..all.end() as usize].iter().all(|block| *block != Block::Absent);
            prop_assert_eq!(map.is_complete(limit), complete);
        }
        let dirty = map.ranges(size, |block| block == Block::Dirty);
        let total: u64 = dirty.iter().map(|range| range.len()).sum();
        let expected: u64 = (0..blocks)
            .filter(|block| model[*block as usize] == Block::Dirty)
            .map(|block| BlockRange::new(block, block + 1).bytes(size).len())
            .sum();
        prop_assert_eq!(total, expected);
    }
}

#[test]
fn another_file_is_no_map() {
    let map = Map::create(file(), 5 * BLOCK).unwrap();
    assert!(again(&map, 5 * BLOCK).is_some());
    assert!(again(&map, 5 * BLOCK + 1).is_none());
    write_at(&map.fd, b"x", 3).unwrap();
    assert!(again(&map, 5 * BLOCK).is_none());
    assert!(Map::open(file(), 0).unwrap().is_none());
    let short = Map::create(file(), 5 * BLOCK).unwrap();
    fs::ftruncate(&short.fd, 5000).unwrap();
    assert!(again(&short, 5 * BLOCK).is_none());
}

#[test]
fn what_is_not_safe_is_known_after_a_restart_too() {
    let size = 100 * BLOCK;
    let mut map = Map::create(file(), size).unwrap();
    assert!(map.take_unsafe().is_none());
    map.set(BlockRange::new(17, 50), |_| true, Block::Dirty).unwrap();
    let other = again(&map, size).unwrap();
    assert_eq!((&other.unsafe_bytes, &map.unsafe_bytes), (&(4..13), &(4..13)));
    let part = map.take_unsafe().unwrap();
    map.write_safe(&part, size).unwrap();
    assert!(!again(&map, size).unwrap().has_unsafe());
    map.put_back(&part);
    assert!(map.has_unsafe());
}

#[test]
fn after_a_power_loss_only_what_is_certain_counts() {
    let size = 6 * BLOCK;
    let data = file();
    fs::ftruncate(&data, size).unwrap();
    let mut map = Map::create(file(), size).unwrap();
    let set = |map: &mut Map, block: u64, to| {
        map.set(BlockRange::new(block, block + 1), |_| true, to).unwrap();
    };
    // 0: synced. 1: not, but its data is there. 2: not, and half of it is. 3: not, and nothing is. 4: never here, though
    // something was written.
    set(&mut map, 0, Block::Clean);
    let part = map.take_unsafe().unwrap();
    map.write_safe(&part, size).unwrap();
    for block in [1, 2, 3] {
        set(&mut map, block, Block::Dirty);
    }
    write_at(&data, &vec![1; BLOCK as usize], BLOCK).unwrap();
    write_at(&data, &vec![1; BLOCK as usize / 2], 2 * BLOCK).unwrap();
    write_at(&data, &vec![1; BLOCK as usize], 4 * BLOCK).unwrap();
    after_power_loss(&data, &mut map, size).unwrap();
    let expected = [
        Block::Dirty,
        Block::Dirty,
        Block::Absent,
        Block::Absent,
        Block::Absent,
        Block::Absent,
    ];
    for map in [&map, &again(&map, size).unwrap()] {
        let got: Vec<_> = (0..6).map(|block| map.get(block)).collect();
        assert_eq!(got, expected);
    }
}
