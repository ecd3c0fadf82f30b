//! Memory that is refused, evicted, scarce.

use forebay_readahead::ReadAheadConfig;

use crate::sim::*;

/// A reader whose window is at 32 MiB.
fn grown(delay: u64) -> Sim {
    let config = ReadAheadConfig {
        max: 32 * MIB,
        ..doubling()
    };
    let mut sim = Sim::new(config, 4 * GIB, 1000);
    sim.run(in_order(0, 64 * MIB, 128 * KIB));
    sim.delay = delay;
    assert_eq!(sim.windows(), [32 * MIB]);
    sim
}

#[test]
fn refused_memory_halves_the_window_down_to_the_first() {
    let mut sim = grown(1000);
    let before = sim.report();
    let mut sizes = Vec::new();
    let mut asked = 0;
    for range in in_order(64 * MIB, 400 * MIB, 128 * KIB) {
        for ahead in sim.read(range).ahead {
            asked += ahead.len();
            sim.refuse(ahead);
            sizes.push(sim.windows()[0] / MIB);
        }
    }
    assert_eq!(sizes[..6], [16, 8, 4, 2, 1, 1]);
    let report = sim.report();
    assert!(asked > 0);
    assert_eq!(
        report.asked_ahead, before.asked_ahead,
        "what was refused was not asked for"
    );
    assert_eq!(report.windows_halved, 5);
    assert_eq!(report.windows_grown, before.windows_grown);
    // Memory is back: the window grows again once the small one was used up.
    sim.run(in_order(400 * MIB, 500 * MIB, 128 * KIB));
    assert_eq!(sim.windows(), [32 * MIB]);
}

#[test]
fn a_part_may_be_refused_and_is_asked_for_again() {
    let mut sim = grown(2);
    let mut start = 64 * MIB;
    let plan = loop {
        let plan = sim.read(at(start, 128 * KIB));
        start += 128 * KIB;
        if !plan.ahead.is_empty() {
            break plan;
        }
    };
    let asked = plan.ahead[0];
    let rest = forebay_types::ByteRange::new(asked.start() + 3 * MIB, asked.end());
    sim.refuse(rest);
    assert_eq!(sim.windows(), [16 * MIB]);
    sim.run(in_order(start, start + 64 * MIB, 128 * KIB));
    let report = sim.close("the rest of a range refused");
    assert!(report.unasked <= 2, "{report:?}");
}

#[test]
fn a_halved_window_lets_go_of_what_lies_beyond_it() {
    let mut sim = grown(1000);
    let ahead = sim.ahead.outstanding();
    assert!(ahead >= 15 * MIB);
    for _ in 0..2 {
        let window = sim.ahead.window().next().unwrap();
        sim.evict(at(window.end - MIB, MIB));
    }
    let plan = sim.read(at(64 * MIB, 128 * KIB));
    assert!(!plan.cancel.is_empty());
    assert!(
        sim.ahead.outstanding() <= 8 * MIB + 4 * MIB,
        "{}",
        sim.ahead.outstanding()
    );
    assert!(plan.ahead.is_empty());
    sim.close("halved twice");
}

#[test]
fn evicted_unread_bytes_are_wasted_and_halve_the_window() {
    let mut sim = grown(2);
    let window = sim.ahead.window().next().unwrap();
    let before = sim.report();
    sim.evict(at(window.end - MIB, MIB));
    let after = sim.report();
    let left = sim.ahead.outstanding();
    assert_eq!(after.wasted - before.wasted, window.ahead - left);
    assert!(left < window.ahead && left >= 8 * MIB, "{left}");
    assert_eq!(after.windows_halved - before.windows_halved, 1);
    assert_eq!(sim.windows(), [16 * MIB]);
    // What was read, or never asked for, is nobody's loss.
    sim.evict(at(0, MIB));
    sim.evict(at(3 * GIB, MIB));
    assert_eq!(sim.report(), after);
}

#[test]
fn strides_shrink_as_well() {
    let config = ReadAheadConfig {
        max: 32 * MIB,
        ..doubling()
    };
    let mut sim = Sim::new(config, 64 * GIB, 1000);
    sim.run((0..100).map(|n| at(n * 16 * MIB, MIB)));
    let window = sim.ahead.window().next().unwrap();
    assert!(window.size >= 32 * MIB && window.ahead >= 16 * MIB, "{window:?}");
    for _ in 0..4 {
        let window = sim.ahead.window().next().unwrap();
        sim.evict(at(window.end - MIB, MIB));
    }
    let plan = sim.read(at(1600 * MIB, MIB));
    assert!(!plan.cancel.is_empty());
    assert!(sim.ahead.outstanding() <= 4 * MIB, "{}", sim.ahead.outstanding());
    // Refused pieces are asked for again.
    let mut refused = 0;
    for n in 101..200 {
        let plan = sim.read(at(n * 16 * MIB, MIB));
        if n % 16 == 0
            && let Some(last) = plan.ahead.last()
        {
            sim.refuse(*last);
            refused += 1;
        }
    }
    let report = sim.close("strides, refused now and then");
    assert!(refused >= 2 && report.runs_seen == 1);
    assert!(report.unasked <= 3 + 2, "{report:?}");
}

#[test]
fn no_plan_asks_for_more_than_is_spare() {
    for memory in [0, KIB, 300 * KIB, MIB, 5 * MIB, 20 * MIB] {
        let mut sim = Sim::new(doubling(), GIB, 50);
        sim.memory = memory;
        sim.run(in_order(0, 200 * MIB, 128 * KIB));
        assert!(sim.peak <= memory, "{} of {memory}", sim.peak);
        assert!(memory < MIB || sim.peak >= memory / 2, "{} of {memory}", sim.peak);
        let report = sim.close(&format!("{} KiB of memory", memory / KIB));
        assert!(
            sim.asks.iter().rev().skip(1).all(|ask| *ask >= 256 * KIB),
            "crumbs: {:?}",
            sim.asks
        );
        // What there is is used, however large the window would like to be.
        assert!(memory < MIB || report.used_ahead >= 150 * MIB, "{report:?}");
        assert_eq!(report.wasted, report.asked_ahead - report.used_ahead);
    }
}
