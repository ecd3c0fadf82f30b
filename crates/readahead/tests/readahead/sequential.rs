//! One reader in order: forwards, backwards, reordered by the kernel, in tiny reads, to the end.

use forebay_readahead::{Pattern, Plan, Read, ReadAhead, ReadAheadConfig};

use crate::sim::*;

fn config() -> ReadAheadConfig {
    doubling()
}

#[test]
fn a_whole_object_starves_at_the_start_only_and_wastes_nothing() {
    // Object, read, arrival after so many reads, allowed starved reads.
    for (size, len, delay, starved) in [
        (256 * MIB, 128 * KIB, 4, 12),
        (256 * MIB, 128 * KIB, 8, 30),
        (256 * MIB, 128 * KIB, 32, 130),
        (256 * MIB, MIB, 4, 16),
        (256 * MIB, 4 * KIB, 64, 130),
        (GIB, 8 * MIB, 1, 4),
        (300 * MIB + 12345, 100_000, 8, 40),
        (MIB, 128 * KIB, 2, 4),
        (200 * KIB, 64 * KIB, 1, 3),
    ] {
        let mut sim = Sim::new(config(), size, delay);
        sim.run(in_order(0, size, len));
        let report = sim.close(&format!("sequential {size} by {len}, delay {delay}"));
        assert_eq!(report.wasted, 0);
        assert_eq!(report.served, size);
        // All but the two first reads.
        assert!(report.used_ahead >= size - 2 * len, "{report:?}");
        assert!(report.starved <= starved, "{report:?}");
        assert_eq!(report.runs_seen, 1);
    }
}

#[test]
fn large_windows_are_asked_for_in_units() {
    let mut sim = Sim::new(config(), GIB, 64);
    let mut ends = Vec::new();
    for range in in_order(0, GIB, 128 * KIB) {
        let plan = sim.read(range);
        let joined = plan.ahead.windows(2).all(|two| two[0].end() == two[1].start());
        assert!(
            joined,
            "what a window grows by comes in several requests side by side"
        );
        ends.extend(plan.ahead.iter().map(|range| (range.len(), range.end())));
    }
    sim.close("units");
    let grown = ends.iter().position(|(len, _)| *len >= 8 * MIB).unwrap();
    assert!(grown <= 50, "{ends:?}");
    for (len, end) in &ends[grown + 1..] {
        assert_eq!((len % (8 * MIB), end % (8 * MIB)), (0, 0), "{ends:?}");
    }
    // A unit at a time once the window is large: 128 units, and the pieces of the small windows before.
    assert!(sim.asks.len() < 180, "{}", sim.asks.len());
}

#[test]
fn the_first_window_comes_with_the_second_read() {
    let mut sim = Sim::new(config(), GIB, 1);
    assert_eq!(sim.read(at(0, 128 * KIB)), Plan::default());
    let plan = sim.read(at(128 * KIB, 128 * KIB));
    assert_eq!(plan.pattern, Pattern::Sequential);
    // 1 MiB ahead at most, cut on a half of it.
    assert_eq!(plan.ahead, [at(256 * KIB, 768 * KIB)]);
    // In the middle of the object just as well.
    let mut sim = Sim::new(config(), GIB, 1);
    sim.read(at(500 * MIB, 4 * MIB));
    let plan = sim.read(at(504 * MIB, 4 * MIB));
    assert_eq!(plan.ahead, [at(508 * MIB, 8 * MIB)]);
}

#[test]
fn a_window_is_refilled_when_less_than_half_is_ahead_and_grows_by_starving_alone() {
    let mut sim = Sim::new(config(), GIB, 1);
    sim.run(in_order(0, 100 * MIB, 128 * KIB));
    // Each ask arrives before the next read: one ask in four reads, never another size.
    assert_eq!(sim.windows(), [MIB]);
    assert_eq!(sim.report().windows_grown, 0);
    assert!(
        sim.asks[1..].iter().all(|len| *len == 512 * KIB),
        "{:?}",
        sim.asks
    );
}

#[test]
fn a_starving_reader_gets_the_whole_size_in_a_few_steps() {
    let mut sim = Sim::new(config(), GIB, 10_000);
    sim.memory = 0;
    sim.run(in_order(0, MIB, 128 * KIB));
    assert_eq!(sim.asks, [], "no memory, no read-ahead");
    sim.memory = 40 * MIB;
    sim.run(in_order(MIB, 40 * MIB, 128 * KIB));
    assert_eq!(sim.windows(), [40 * MIB], "32 in any case, and what is to spare");
    assert_eq!(sim.report().windows_grown, 6, "1, 2, 4, 8, 16, 32, 40");
}

#[test]
fn what_was_read_is_done_except_for_the_last_mebibyte() {
    let mut sim = Sim::new(config(), 100 * MIB, 1);
    sim.run(in_order(0, 50 * MIB, 128 * KIB));
    assert_eq!(sim.done.common(at(0, 100 * MIB)), 49 * MIB);
    assert_eq!(sim.done.common(at(0, 49 * MIB)), 49 * MIB);
}

#[test]
fn the_kernel_may_reorder() {
    for (seed, group, size) in [
        (1, 4, GIB),
        (2, 8, GIB),
        (3, 8, 64 * MIB),
        (4, 2, 64 * MIB),
        (5, 8, 10 * MIB),
    ] {
        let reads = shuffled(in_order(0, size, 128 * KIB), group, &mut Dice::new(seed));
        let mut sim = Sim::new(config(), size, 4);
        sim.run(reads);
        let report = sim.close(&format!("shuffled by {group}, {} MiB", size / MIB));
        // Of the first strides that reordered reads look like, little is asked for and some of it cancelled.
        assert!(report.wasted <= MIB, "{report:?}");
        assert!(report.used_ahead >= size - 6 * MIB, "{report:?}");
        assert!(report.starved <= 60, "{report:?}");
    }
}

#[test]
fn tiny_reads_make_few_plans() {
    for len in [1, 100, 511] {
        let mut sim = Sim::new(config(), 64 * MIB, 1000);
        let mut plans = 0;
        for range in in_order(0, 200_000 * len, len) {
            let plan = sim.read(range);
            let busy = !(plan.ahead.is_empty() && plan.cancel.is_empty() && plan.done.is_empty());
            plans += u64::from(busy);
            if !busy {
                let capacity = plan.ahead.capacity() + plan.cancel.capacity() + plan.done.capacity();
                assert_eq!(capacity, 0, "an empty plan allocates nothing");
            }
        }
        let report = sim.close(&format!("reads of {len} bytes"));
        assert!(plans <= 10 + 200_000 * len / (128 * KIB), "{plans}");
        assert!(report.starved <= 1100, "{report:?}");
    }
}

#[test]
fn backwards_the_window_lies_before_the_reader() {
    for (size, len, delay) in [
        (256 * MIB, 128 * KIB, 4),
        (256 * MIB, MIB, 2),
        (100 * MIB + 777, 64 * KIB, 8),
    ] {
        let mut reads: Vec<_> = in_order(0, size, len).collect();
        reads.reverse();
        let mut sim = Sim::new(config(), size, delay);
        sim.run(reads);
        assert_eq!(sim.patterns.last(), Some(&Pattern::Backward));
        assert!(sim.done.bytes() >= size - 2 * MIB);
        let report = sim.close(&format!("backward {size} by {len}, delay {delay}"));
        assert_eq!(report.wasted, 0);
        assert!(report.used_ahead >= size - 3 * len, "{report:?}");
        assert!(report.starved <= 40, "{report:?}");
        assert_eq!(report.runs_seen, 1);
    }
    let mut sim = Sim::new(config(), GIB, 1);
    let plans: Vec<_> = (1..5)
        .map(|n| sim.read(at(500 * MIB - n * 128 * KIB, 128 * KIB)))
        .collect();
    assert!(plans[0].ahead.is_empty() && plans[1].ahead.is_empty());
    assert_eq!(plans[2].ahead, [at(499 * MIB, 640 * KIB)]);
    assert_eq!(plans[3].beyond, 0);
}

#[test]
fn nothing_is_asked_for_past_the_end_but_beyond_says_how_far_the_window_reaches() {
    let size = 10 * MIB + 1;
    let mut sim = Sim::new(config(), size, 1);
    let mut beyond = Vec::new();
    for range in in_order(0, size, 128 * KIB) {
        beyond.push(sim.read(range).beyond);
    }
    assert_eq!(beyond[..72], [0; 72], "a window of 1 MiB, 9 MiB read");
    assert!(beyond[72..].is_sorted());
    assert_eq!(beyond.last(), Some(&MIB));
    // Reads past the end say nothing.
    let reads = sim.report().served;
    assert_eq!(sim.read(at(size, MIB)), Plan::default());
    assert_eq!(sim.read(at(u64::MAX, 1)), Plan::default());
    assert_eq!(sim.report().served, reads);
}

#[test]
fn a_reader_that_promised_order_gets_its_window_with_the_first_read() {
    let mut ahead = ReadAhead::new(config(), GIB);
    ahead.declare(at(0, 100 * MIB));
    let read = |start, len| Read {
        range: at(start, len),
        starved: true,
        spare: u64::MAX,
    };
    let plan = ahead.observe(read(0, 128 * KIB));
    assert_eq!(plan.pattern, Pattern::Sequential);
    assert_eq!(plan.ahead, [at(128 * KIB, 100 * MIB - 128 * KIB)]);

    let mut sim = Sim::new(config(), GIB, 8);
    sim.declare(at(5 * MIB, 100 * MIB));
    let mut beyond = 0;
    for range in in_order(5 * MIB, 105 * MIB, MIB) {
        beyond += sim.read(range).beyond;
    }
    let report = sim.close("declared");
    assert_eq!(
        (report.asked_ahead, report.wasted),
        (99 * MIB, 0),
        "exactly what was promised"
    );
    assert_eq!(beyond, 0, "the promise ends before the object");
}

#[test]
fn a_promise_may_reach_past_the_end_and_its_reader_past_the_promise() {
    let mut sim = Sim::new(config(), 64 * MIB, 1);
    sim.declare(at(60 * MIB, u64::MAX));
    let plan = sim.read(at(60 * MIB, MIB));
    assert_eq!(plan.ahead, [at(61 * MIB, 3 * MIB)]);
    assert_eq!(plan.beyond, 509 * MIB);

    let mut sim = Sim::new(config(), 64 * MIB, 1);
    sim.declare(at(0, MIB));
    sim.declare(at(0, 0));
    sim.run(in_order(0, 10 * MIB, 128 * KIB));
    assert_eq!(sim.report().runs_seen, 1);
    assert!(sim.report().unasked <= 3, "{:?}", sim.report());
}

#[test]
fn promises_stand_beside_each_other_and_follow_each_other() {
    // Four at a time.
    let mut sim = Sim::new(config(), GIB, 4);
    for n in 0..4 {
        sim.declare(at(n * 100 * MIB, 50 * MIB));
    }
    let plans = [0, 1, 2, 3].map(|n| sim.read(at(n * 100 * MIB, MIB)));
    assert!(
        plans
            .iter()
            .all(|plan| plan.ahead.len() == 1 && plan.cancel.is_empty())
    );
    // One after the other, each from where the last ended: nothing is asked for past the newest.
    let mut sim = Sim::new(config(), GIB, 4);
    for n in 0..10 {
        sim.declare(at(n * 10 * MIB, 10 * MIB));
        sim.run(in_order(n * 10 * MIB, (n + 1) * 10 * MIB, MIB));
        assert_eq!(sim.ahead.outstanding(), 0);
    }
    let report = sim.close("ten promises in a row");
    assert_eq!((report.asked_ahead, report.used_ahead), (90 * MIB, 90 * MIB));
}

#[test]
fn a_jump_takes_the_window_along() {
    let mut sim = Sim::new(config(), GIB, 20);
    sim.run(in_order(0, 64 * MIB, 128 * KIB));
    let before = sim.windows();
    // 6 MiB on: inside what is ahead.
    sim.run(in_order(70 * MIB, 128 * MIB, 128 * KIB));
    assert!(sim.windows() >= before);
    let report = sim.close("jump by 6 MiB");
    assert_eq!(report.runs_seen, 1);
    assert!(report.wasted >= 5 * MIB, "what was jumped over: {report:?}");
}

#[test]
fn skips_of_less_than_a_mebibyte_do_not_end_a_run() {
    let mut sim = Sim::new(config(), GIB, 8);
    for n in 0..100 {
        sim.run(in_order(
            n * 5 * MIB,
            n * 5 * MIB + 4 * MIB + 128 * KIB,
            128 * KIB,
        ));
    }
    let report = sim.close("skips of 7/8 MiB");
    assert_eq!(report.runs_seen, 1);
    assert!(report.used_ahead * 10 >= report.asked_ahead * 8, "{report:?}");
}

#[test]
fn seeking_away_cancels_what_was_ahead() {
    let mut sim = Sim::new(config(), 4 * GIB, 30);
    sim.run(in_order(0, 100 * MIB, 128 * KIB));
    let held = sim.wanted.common(at(0, GIB));
    assert!(held >= 4 * MIB, "{held}");
    let mut cancelled = 0;
    for (n, range) in in_order(2 * GIB, 2 * GIB + 5 * MIB, 128 * KIB).enumerate() {
        let bytes: u64 = sim.read(range).cancel.iter().map(|range| range.len()).sum();
        assert!(
            bytes == 0 || n >= 15,
            "a second reader in turn would still want it"
        );
        cancelled += bytes;
    }
    assert_eq!(cancelled, held);
    // Back again: the place is known, and waited for longer next time.
    assert!(!sim.read(at(100 * MIB, 128 * KIB)).ahead.is_empty());
    sim.close("seek away and back");
}

#[test]
fn a_new_handle_starts_cold() {
    let mut first = Sim::new(config(), GIB, 4);
    first.run(in_order(0, 100 * MIB, 128 * KIB));
    let report = first.close("closed in the middle");
    assert!(report.wasted > 0 && first.ahead.window().count() == 0);
    let mut second = Sim::new(config(), GIB, 4);
    assert_eq!(second.read(at(100 * MIB, 128 * KIB)), Plan::default());
    // So does the same one after its close, but for the report.
    assert_eq!(
        first.ahead.observe(Read {
            range: at(100 * MIB, 1),
            starved: true,
            spare: GIB
        }),
        Plan::default()
    );
    assert_eq!(first.report().reads, report.reads + 1);
}

#[test]
fn by_default_a_starving_reader_has_a_large_window_in_three_steps() {
    let mut sim = Sim::new(ReadAheadConfig::default(), GIB, 10_000);
    sim.memory = 256 * MIB;
    sim.run(in_order(0, 200 * MIB, 128 * KIB));
    let report = sim.report();
    assert!((3..=4).contains(&report.windows_grown), "{report:?}");
    assert!(sim.windows()[0] >= 128 * MIB, "{:?}", sim.windows());
}

#[test]
fn a_beginning_in_pairs_that_change_places_is_known_at_the_third_read() {
    let mut sim = Sim::new(config(), GIB, 4);
    let mib = |n: u64| at(n * MIB, MIB);
    assert_eq!(sim.read(mib(0)).ahead, []);
    assert_eq!(sim.read(mib(2)).ahead, []);
    assert_eq!(sim.read(mib(1)).ahead, [at(3 * MIB, 2 * MIB)]);
    for n in (4..100).step_by(2) {
        sim.read(mib(n));
        sim.read(mib(n - 1));
    }
    let report = sim.close("pairs");
    assert_eq!(report.runs_seen, 1, "{report:?}");
}
