//! Random readers must cause no read-ahead at all.

use forebay_readahead::{Pattern, Read, ReadAhead};
use forebay_types::ByteRange;

use crate::sim::*;

/// Read-ahead bytes of `count` reads that `next` makes up, none of which is ever here.
fn asked(size: u64, count: u64, mut next: impl FnMut() -> ByteRange) -> u64 {
    let mut ahead = ReadAhead::new(doubling(), size);
    let mut random = 0;
    for _ in 0..count {
        let plan = ahead.observe(Read {
            range: next(),
            starved: true,
            spare: u64::MAX,
        });
        random += u64::from(plan.pattern == Pattern::Random);
    }
    assert!(
        random * 10 > count * 9 || ahead.report().asked_ahead > 0,
        "{random} of {count}"
    );
    ahead.close().asked_ahead
}

#[test]
fn uniform_reads_ask_for_nothing() {
    for (size, len) in [
        (MIB, 4 * KIB),
        (2 * MIB, 4 * KIB),
        (4 * MIB, 4 * KIB),
        (4 * MIB, 64 * KIB),
        (10 * MIB, 64 * KIB),
        (16 * MIB, 128 * KIB),
        (64 * MIB, 4 * KIB),
        (64 * MIB, 256 * KIB),
        (64 * MIB, MIB),
        (GIB, 4 * KIB),
        (GIB, 256 * KIB),
        (GIB, 4 * MIB),
        (1024 * GIB, 128 * KIB),
    ] {
        for seed in 0..3 {
            let mut dice = Dice::new(seed);
            let aligned = asked(size, 10_000, || at(dice.below(size / len) * len, len));
            let anywhere = asked(size, 10_000, || at(dice.below(size - len), len));
            let lengths = asked(size, 10_000, || {
                let len = 1 + dice.below(len);
                at(dice.below(size - len), len)
            });
            assert_eq!([aligned, anywhere, lengths], [0; 3], "{size} {len} seed {seed}");
        }
    }
}

#[test]
fn accidents_at_the_start_are_as_rare_as_two_reads_that_follow_each_other() {
    // The second read of a handle may follow the first by chance, and that is all a reader in order can show by then.
    for (size, len, allowed) in [
        (MIB, 4 * KIB, 30),
        (2 * MIB, 4 * KIB, 20),
        (4 * MIB, 64 * KIB, 10),
        (64 * MIB, 4 * KIB, 5),
        (64 * MIB, 128 * KIB, 15),
        (GIB, 128 * KIB, 5),
    ] {
        let mut fooled = 0;
        for seed in 1000..2000 {
            let mut dice = Dice::new(seed);
            fooled += u64::from(asked(size, 100, || at(dice.below(size / len) * len, len)) > 0);
        }
        println!("{fooled} of 1000 handles fooled: {size} by {len}");
        assert!(fooled <= allowed, "{fooled} of 1000: {size} by {len}");
    }
}

#[test]
fn favourite_places_ask_for_nothing() {
    // Roughly Zipf: the k-th place is read in proportion to 1/k.
    for (size, len) in [(64 * MIB, 16 * KIB), (GIB, 4 * KIB), (GIB, 64 * KIB)] {
        for seed in 0..3 {
            let mut dice = Dice::new(seed);
            let places = size / len;
            let mut spread = Dice::new(99);
            let order: Vec<u64> = (0..places).map(|_| spread.below(places)).collect();
            let next = || {
                let exponent = dice.below(1 << 20) as f64 / (1 << 20) as f64;
                let rank = (places as f64).powf(exponent) as u64 - 1;
                at(order[rank as usize] * len, len)
            };
            assert_eq!(asked(size, 10_000, next), 0);
        }
    }
}

#[test]
fn scattered_reads_upwards_ask_for_nothing() {
    // A sorted list of records, one in about thirty: within reach of each other, but not in order.
    let mut dice = Dice::new(5);
    let mut place = 0;
    let mut sim = Sim::new(doubling(), 16 * GIB, 4);
    for _ in 0..10_000 {
        place += 4 * KIB * (2 + dice.below(60));
        sim.read(at(place, 4 * KIB));
    }
    // What looks like a stride by chance, once or twice.
    assert!(sim.close("scattered upwards").asked_ahead <= MIB);
}

#[test]
fn short_bursts_at_random_places_waste_no_more_than_they_read() {
    // 1 MiB at a time, as the kernel cuts it: for all that can be known each may be the start of a long run.
    for delay in [1, 4, 100] {
        let mut dice = Dice::new(11);
        let mut sim = Sim::new(doubling(), 64 * GIB, delay);
        for _ in 0..500 {
            let start = dice.below(64 * GIB / MIB) * MIB;
            sim.run(in_order(start, start + MIB, 128 * KIB));
        }
        let report = sim.close(&format!("bursts of 1 MiB, delay {delay}"));
        assert!(report.wasted <= report.served, "{report:?}");
        assert!(report.used_ahead * 2 >= report.served, "{report:?}");
    }
}

#[test]
fn one_read_asks_for_nothing() {
    for range in [at(0, 1), at(0, GIB), at(GIB - 1, 1), at(GIB / 2, 128 * KIB)] {
        let mut sim = Sim::new(doubling(), GIB, 1);
        assert_eq!(sim.read(range).ahead, [], "{range}");
    }
}

#[test]
fn after_random_reads_a_reader_in_order_is_still_found() {
    for (size, len, within) in [
        (GIB, 128 * KIB, 5),
        (100 * GIB, 128 * KIB, 4),
        (64 * MIB, 4 * KIB, 6),
    ] {
        let mut dice = Dice::new(1);
        let mut sim = Sim::new(doubling(), size, 4);
        for _ in 0..1000 {
            sim.read(at(dice.below(size / len) * len, len));
        }
        assert_eq!(sim.report().asked_ahead, 0);
        sim.run(in_order(size / 2, size / 2 + within * len, len));
        assert!(sim.report().asked_ahead > 0, "{size} {len}");
        sim.run(in_order(size / 2 + within * len, size / 2 + 20 * MIB, len));
        let report = sim.close("in order after random");
        assert!(report.used_ahead >= 18 * MIB, "{report:?}");
    }
}
