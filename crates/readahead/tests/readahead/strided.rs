//! Pieces at a constant distance.

use forebay_readahead::{MERGE_GAP, Pattern, ReadAheadConfig};
use forebay_types::ByteRange;

use crate::sim::*;

fn pieces(start: u64, step: i64, len: u64, count: u64) -> impl Iterator<Item = ByteRange> {
    (0..count).map(move |n| at(start.checked_add_signed(step * n as i64).unwrap(), len))
}

#[test]
fn strides_are_followed_with_exact_ranges() {
    for (step, len) in [
        (8 * MIB as i64, 128 * KIB),
        (-8 * MIB as i64, 128 * KIB),
        (MIB as i64, 4 * KIB),
        (-3_000_000, 100_000),
        (17 * MIB as i64, MIB),
        (64 * MIB as i64, 4 * MIB),
    ] {
        let size = 16 * GIB;
        let count = 200.min(8 * GIB / step.unsigned_abs());
        let mut sim = Sim::new(doubling(), size, 4);
        sim.run(pieces(8 * GIB, step, len, count));
        let outstanding = sim.ahead.outstanding();
        assert_eq!(sim.patterns.last(), Some(&Pattern::Strided { step }));
        let report = sim.close(&format!("stride {step}, {len} bytes"));
        assert_eq!(report.used_ahead, (count - 3) * len, "all but the first three");
        assert_eq!(
            report.wasted, outstanding,
            "nothing but what was ahead at the close"
        );
        assert!(sim.asks.iter().all(|ask| *ask == len), "exact");
        assert_eq!(report.unasked, 3);
        assert!(report.starved <= 12, "{report:?}");
        assert_eq!(report.runs_seen, 1);
    }
}

#[test]
fn small_gaps_are_fetched_along() {
    for step in [256 * KIB as i64, -256 * KIB as i64] {
        let mut sim = Sim::new(doubling(), GIB, 4);
        sim.run(pieces(512 * MIB, step, 64 * KIB, 1000));
        let report = sim.close(&format!("stride {step}, 64 KiB"));
        assert!(report.unasked <= 4, "{report:?}");
        // A quarter is used; fewer, larger asks for it.
        assert!(report.asked_ahead <= 1000 * 256 * KIB + 32 * MIB, "{report:?}");
        assert!(sim.asks.len() <= 600, "{}", sim.asks.len());
        let average = report.asked_ahead / sim.asks.len() as u64;
        assert!(average > MERGE_GAP, "{average}");
    }
}

#[test]
fn three_pieces_make_a_stride_and_what_is_ahead_doubles() {
    let mut sim = Sim::new(doubling(), GIB, 1);
    let plans: Vec<_> = pieces(0, 4 * MIB as i64, 4 * KIB, 5)
        .map(|range| sim.read(range))
        .collect();
    assert!(plans[0].ahead.is_empty() && plans[1].ahead.is_empty());
    let piece = |n: u64| at(n * 4 * MIB, 4 * KIB);
    assert_eq!(plans[2].ahead, [piece(3), piece(4)]);
    assert_eq!(plans[3].ahead, [piece(5), piece(6), piece(7)]);
    assert_eq!(plans[2].pattern, Pattern::Strided { step: 4 * MIB as i64 });
}

#[test]
fn the_pieces_ahead_stay_within_the_window() {
    let config = ReadAheadConfig {
        size: 2 * MIB,
        max: 2 * MIB,
        ..doubling()
    };
    let mut sim = Sim::new(config.clone(), 64 * GIB, 1000);
    sim.run(pieces(0, 8 * MIB as i64, 300 * KIB, 300));
    assert!(sim.peak <= 2 * MIB, "{}", sim.peak);
    assert!(sim.peak > MIB, "{}", sim.peak);
    sim.close("stride, size 2 MiB");
    // A piece longer than the window is not asked for.
    let mut sim = Sim::new(config, 64 * GIB, 1);
    sim.run(pieces(0, 8 * MIB as i64, 3 * MIB, 100));
    assert_eq!(sim.close("stride, pieces of 3 MiB").asked_ahead, 0);
}

#[test]
fn a_broken_stride_is_given_up_at_once() {
    let mut sim = Sim::new(doubling(), 16 * GIB, 4);
    sim.run(pieces(0, 8 * MIB as i64, 128 * KIB, 50));
    let held = sim.ahead.outstanding();
    assert!(held > 0);
    let plan = sim.read(at(10 * GIB, 128 * KIB));
    assert_eq!(plan.cancel.iter().map(|range| range.len()).sum::<u64>(), held);
    assert!(plan.ahead.is_empty());
    // Another takes three reads again.
    let report = sim.run(pieces(12 * GIB, -9 * MIB as i64, 128 * KIB, 50));
    assert_eq!(report.runs_seen, 2);
    assert_eq!(report.unasked, 3 + 1 + 3);
}

#[test]
fn strides_stop_at_both_ends() {
    for (start, step) in [(0, 8 * MIB as i64), (GIB - 128 * KIB, -8 * MIB as i64)] {
        let mut sim = Sim::new(doubling(), GIB, 2);
        sim.run(pieces(start, step, 128 * KIB, 128));
        let report = sim.close(&format!("stride {step} to the end"));
        assert_eq!(report.wasted, 0, "{report:?}");
    }
}

#[test]
fn pieces_may_come_in_several_reads() {
    // 1 MiB of every 8, as the kernel sends them: in order, and out of order.
    for group in [1, 3] {
        let reads = pieces(0, 8 * MIB as i64, MIB, 100)
            .flat_map(|piece| in_order(piece.start(), piece.end(), 128 * KIB));
        let mut reads: Vec<_> = reads.collect();
        // Up to the third piece in order.
        reads = [
            &reads[..24],
            &shuffled(reads[24..].to_vec(), group, &mut Dice::new(3)),
        ]
        .concat();
        let mut sim = Sim::new(doubling(), GIB, 8);
        sim.run(reads);
        let report = sim.close(&format!("1 MiB of every 8, shuffled by {group}"));
        assert!(report.used_ahead >= 90 * MIB, "{report:?}");
        assert!(report.wasted <= 12 * MIB, "{report:?}");
    }
}

#[test]
fn a_reader_in_order_does_not_disturb_a_stride() {
    let order: Vec<_> = in_order(0, 50 * MIB, 128 * KIB).collect();
    let strides: Vec<_> = pieces(GIB, 8 * MIB as i64, 256 * KIB, 400).collect();
    let mut sim = Sim::new(doubling(), 8 * GIB, 8);
    sim.run(in_turn(&[order, strides]));
    let report = sim.close("in order and strided in turn");
    assert!(report.used_ahead >= 148 * MIB, "{report:?}");
    assert!(report.unasked <= 8, "{report:?}");
}
