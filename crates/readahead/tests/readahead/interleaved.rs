//! Several readers in one handle.

use forebay_readahead::{Pattern, ReadAheadConfig};

use crate::sim::*;

fn readers(count: u64, apart: u64, each: u64, len: u64) -> Vec<ByteRanges> {
    (0..count)
        .map(|n| in_order(n * apart, n * apart + each, len).collect())
        .collect()
}

type ByteRanges = Vec<forebay_types::ByteRange>;

#[test]
fn up_to_four_readers_each_get_a_window() {
    for (count, apart, len) in [
        (2, 100 * MIB, 128 * KIB),
        (3, 100 * MIB, 128 * KIB),
        (4, 100 * MIB, 128 * KIB),
        (4, 100 * MIB, MIB),
        // Closer together than a jump of one reader may be.
        (2, 10 * MIB, 128 * KIB),
        (4, 8 * MIB, 128 * KIB),
        (4, 2 * MIB, 64 * KIB),
    ] {
        let each = apart.min(50 * MIB);
        let mut sim = Sim::new(doubling(), GIB, 16);
        sim.run(in_turn(&readers(count, apart, each, len)));
        let report = sim.close(&format!("{count} readers {} MiB apart", apart / MIB));
        let served = count * each;
        assert!(report.unasked <= 4 * count, "{report:?}");
        assert!(report.used_ahead >= served - 4 * count * len, "{report:?}");
        // Windows reach past what each reads here; besides, a step is tried before the second reads tell them apart.
        let ends = count * 34 * MIB;
        assert!(report.wasted <= ends.min(served), "{report:?}");
        assert!(report.starved <= 30 * count, "{report:?}");
    }
}

#[test]
fn of_five_readers_four_are_served_ahead_and_none_in_vain() {
    for count in [5, 6, 8] {
        let mut sim = Sim::new(doubling(), GIB, 16);
        sim.run(in_turn(&readers(count, 100 * MIB, 50 * MIB, 128 * KIB)));
        let report = sim.close(&format!("{count} readers"));
        let served = count * 50 * MIB;
        assert!(report.used_ahead >= 190 * MIB, "{report:?}");
        // At the end of the last reads the windows are full.
        assert!(report.asked_ahead <= served + 4 * 32 * MIB, "{report:?}");
        assert_eq!(sim.ahead.window().count(), 0);
    }
}

#[test]
fn many_readers_with_no_window_cost_nothing() {
    // Twelve are more than are watched.
    let mut sim = Sim::new(doubling(), 4 * GIB, 16);
    sim.run(in_turn(&readers(12, 300 * MIB, 20 * MIB, 128 * KIB)));
    let report = sim.close("12 readers");
    assert!(report.wasted * 4 <= report.served, "{report:?}");
}

#[test]
fn all_runs_together_stay_below_max() {
    let config = ReadAheadConfig {
        max: 40 * MIB,
        ..doubling()
    };
    let mut sim = Sim::new(config, GIB, 1000);
    let turns = in_turn(&readers(4, 100 * MIB, 90 * MIB, 128 * KIB));
    sim.run(turns);
    assert!(sim.peak > 30 * MIB && sim.peak <= 40 * MIB, "{}", sim.peak);
    // Shared evenly.
    for window in sim.ahead.window() {
        assert!(window.ahead <= 18 * MIB, "{window:?}");
    }
    sim.close("4 readers, max 40 MiB");
}

#[test]
fn a_new_reader_takes_the_place_of_an_idle_one() {
    let mut sim = Sim::new(doubling(), 4 * GIB, 4);
    for n in 0..20 {
        let start = n * 60 * MIB + n * n * 2 * MIB;
        sim.run(in_order(start, start + 10 * MIB, 128 * KIB));
        assert_eq!(sim.patterns.last(), Some(&Pattern::Sequential));
        assert!(sim.ahead.window().count() <= 4);
    }
    let report = sim.close("20 places");
    assert!(report.unasked <= 60, "{report:?}");
    assert_eq!(report.runs_seen, 20);
}

#[test]
fn a_reader_behind_another_asks_for_nothing_twice() {
    // The second reads what the first has read ahead, 4 MiB behind it.
    let first: Vec<_> = in_order(0, 100 * MIB, 128 * KIB).collect();
    let mut sim = Sim::new(doubling(), 100 * MIB, 16);
    sim.run(first[..32].iter().copied());
    sim.run(in_turn(&[first[32..].to_vec(), first.clone()]));
    let report = sim.close("one 4 MiB behind the other");
    assert!(report.asked_ahead <= 200 * MIB, "{report:?}");
    assert!(report.starved <= 60, "{report:?}");
}

#[test]
fn random_reads_in_between_do_not_disturb_a_reader_in_order() {
    let mut dice = Dice::new(7);
    let mut sim = Sim::new(doubling(), GIB, 8);
    for range in in_order(0, 200 * MIB, 128 * KIB) {
        sim.read(range);
        for _ in 0..3 {
            sim.read(at(dice.below(GIB), 4 * KIB));
        }
    }
    let report = sim.close("in order among random");
    assert!(report.used_ahead >= 198 * MIB, "{report:?}");
    assert!(report.wasted <= 40 * MIB, "{report:?}");
}
