//! Every setting changes behaviour, in the way the crate's page says.

use forebay_readahead::{ByExtension, Plan, Read, ReadAhead, ReadAheadConfig};

use crate::sim::*;

fn windows(size: u64, multiplier: f64, max: u64, memory: u64, len: u64) -> Vec<u64> {
    let config = ReadAheadConfig {
        size,
        multiplier,
        max,
        ..doubling()
    };
    // Bytes never arrive in time: the reader starves all the time.
    let mut ahead = ReadAhead::new(config, 64 * GIB);
    let mut sizes = Vec::new();
    for range in in_order(0, 64 * GIB, len).take(2000) {
        let spare = memory.saturating_sub(ahead.outstanding());
        ahead.observe(Read {
            range,
            starved: true,
            spare,
        });
        sizes.extend(ahead.window().map(|window| window.size));
        sizes.dedup();
    }
    sizes
}

#[test]
fn multiplier_and_size_act_together_as_the_crate_page_says() {
    let mib = |sizes: &[f64]| {
        sizes
            .iter()
            .map(|size| (size * MIB as f64) as u64)
            .collect::<Vec<_>>()
    };
    for (size, multiplier, max, memory, read, expected) in [
        // The first window is 1 MiB at least, and each is `multiplier` times the one before, up to `size`.
        (
            32,
            2.0,
            32,
            u64::MAX,
            128 * KIB,
            mib(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
        ),
        (32, 4.0, 32, u64::MAX, 128 * KIB, mib(&[1.0, 4.0, 16.0, 32.0])),
        (8, 4.0, 8, u64::MAX, 128 * KIB, mib(&[1.0, 4.0, 8.0])),
        (4, 1.5, 4, u64::MAX, 128 * KIB, mib(&[1.0, 1.5, 2.25, 3.375, 4.0])),
        // 1.0 or less never grows, whatever `size` is.
        (32, 1.0, 512, u64::MAX, 128 * KIB, mib(&[1.0])),
        (32, 0.5, 512, u64::MAX, 128 * KIB, mib(&[1.0])),
        (32, 1.0, 512, u64::MAX, 4 * MIB, mib(&[4.0])),
        // `multiplier` times the read, where that is more than 1 MiB.
        (32, 2.0, 32, u64::MAX, 4 * MIB, mib(&[8.0, 16.0, 32.0])),
        (32, 4.0, 32, u64::MAX, 4 * MIB, mib(&[16.0, 32.0])),
        (32, 4.0, 32, u64::MAX, 16 * MIB, mib(&[32.0])),
        // `size` bounds the first window too.
        (0, 2.0, 0, u64::MAX, 128 * KIB, mib(&[0.0])),
        // `max` above `size` is used with spare memory, not without.
        (4, 2.0, 16, u64::MAX, 128 * KIB, mib(&[1.0, 2.0, 4.0, 8.0, 16.0])),
        (4, 2.0, 16, 4 * MIB, 128 * KIB, mib(&[1.0, 2.0, 4.0])),
        (4, 3.0, 16, u64::MAX, 128 * KIB, mib(&[1.0, 3.0, 9.0, 16.0])),
        (4, 3.0, 16, 4 * MIB, 128 * KIB, mib(&[1.0, 3.0, 4.0])),
        // A `max` below `size` counts as `size`.
        (8, 2.0, 1, u64::MAX, 128 * KIB, mib(&[1.0, 2.0, 4.0, 8.0])),
    ] {
        assert_eq!(
            windows(size * MIB, multiplier, max * MIB, memory, read),
            expected,
            "size {size} multiplier {multiplier} max {max} read {read}"
        );
    }
    assert_eq!(
        windows(256 * KIB, 2.0, 256 * KIB, u64::MAX, 128 * KIB),
        [256 * KIB]
    );
}

#[test]
fn a_larger_multiplier_starves_less_at_the_start() {
    let starved = |multiplier| {
        let config = ReadAheadConfig {
            multiplier,
            ..doubling()
        };
        let mut sim = Sim::new(config, 256 * MIB, 40);
        sim.run(in_order(0, 256 * MIB, 128 * KIB));
        sim.close(&format!("multiplier {multiplier}")).starved
    };
    let by = [1.0, 1.5, 2.0, 4.0].map(starved);
    assert!(by.is_sorted_by(|a, b| a > b), "{by:?}");
    assert!(by[0] > 1000 && by[2] < 200, "{by:?}");
}

#[test]
fn disabled_means_nothing_ahead() {
    let config = ReadAheadConfig {
        enabled: false,
        ..doubling()
    };
    let mut sim = Sim::new(config.clone(), 10 * MIB, 1);
    sim.run(in_order(0, 10 * MIB, 128 * KIB));
    let report = sim.close("disabled");
    assert_eq!((report.asked_ahead, report.unasked), (0, 80));
    assert!(sim.done.bytes() >= 8 * MIB, "memory is let go all the same");

    let mut sim = Sim::new(config.clone(), GIB, 1);
    for n in 0..100 {
        let plan = sim.read(at(n * 8 * MIB, KIB));
        assert_eq!((plan.ahead, plan.beyond), (Plan::default().ahead, 0));
    }

    // What was declared is no guess.
    let mut sim = Sim::new(config, 10 * MIB, 1);
    sim.declare(at(0, 10 * MIB));
    assert_eq!(sim.read(at(0, MIB)).ahead, [at(MIB, 9 * MIB)]);
}

#[test]
fn the_unit_is_what_is_asked_for() {
    for unit in [MIB, 4 * MIB, 8 * MIB, 16 * MIB] {
        let config = ReadAheadConfig {
            unit,
            max: 32 * MIB,
            ..doubling()
        };
        let mut sim = Sim::new(config, GIB, 200);
        sim.run(in_order(0, GIB, 128 * KIB));
        let late = &sim.asks[sim.asks.len() / 2..];
        assert!(late.iter().all(|len| len % unit == 0), "{unit} {late:?}");
        sim.close(&format!("unit {} MiB", unit / MIB));
    }
}

#[test]
fn a_film_gets_more_ahead_than_a_table() {
    let ahead = |key: &str| {
        let general = ReadAheadConfig { max: 0, ..doubling() };
        let mut sim = Sim::new(general.for_key(&ByExtension::default(), key), 4 * GIB, 1_000_000);
        sim.run(in_order(0, 300 * MIB, 128 * KIB));
        sim.peak
    };
    assert!((60 * MIB..=64 * MIB).contains(&ahead("a/film.mkv")));
    assert!((28 * MIB..=32 * MIB).contains(&ahead("a/table.parquet")));
}
