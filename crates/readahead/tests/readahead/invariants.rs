//! What must hold for any reads. The simulator checks the plans; here it gets the strangest it can get.

use forebay_readahead::{Read, ReadAhead, ReadAheadConfig};
use forebay_types::ByteRange;
use proptest::prelude::*;

use crate::sim::*;

#[derive(Clone, Debug)]
enum Step {
    /// So many reads of a length in order from somewhere (in 1/1000 of the object), so far apart.
    Reads {
        from: u64,
        len: u64,
        step: i64,
        count: u64,
    },
    Declare {
        from: u64,
        len: u64,
    },
    /// Refuses the last ahead range, or its second half.
    Refuse {
        whole: bool,
    },
    Evict {
        from: u64,
        len: u64,
    },
    Memory(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![Just(0u64), 1..200u64, Just(128 * KIB), 1..4 * MIB];
    let apart = prop_oneof![
        Just(0i64),
        Just(128 << 10),
        -3_000_000..3_000_000i64,
        Just(i64::MAX),
        Just(i64::MIN)
    ];
    prop_oneof![
        4 => (0..1100u64, len.clone(), 1..40u64)
            .prop_map(|(from, len, count)| Step::Reads { from, len, step: len as i64, count }),
        2 => (0..1100u64, len.clone(), 1..20u64)
            .prop_map(|(from, len, count)| Step::Reads { from, len, step: -(len as i64), count }),
        3 => (0..1100u64, len.clone(), apart, 1..20u64)
            .prop_map(|(from, len, step, count)| Step::Reads { from, len, step, count }),
        1 => (0..1100u64, len.clone()).prop_map(|(from, len)| Step::Declare { from, len: len * 10 }),
        1 => any::<bool>().prop_map(|whole| Step::Refuse { whole }),
        1 => (0..1000u64, len).prop_map(|(from, len)| Step::Evict { from, len }),
        1 => prop_oneof![Just(0u64), Just(u64::MAX), 1..100 * MIB].prop_map(Step::Memory),
    ]
}

fn config() -> impl Strategy<Value = ReadAheadConfig> {
    let bytes = || prop_oneof![Just(0u64), 1..MIB, Just(32 * MIB), Just(8 * MIB), Just(u64::MAX)];
    let multiplier = prop_oneof![
        Just(2.0),
        0.0..8.0,
        Just(-1.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(1.0),
    ];
    (bytes(), multiplier, bytes(), bytes(), prop::bool::weighted(0.9)).prop_map(
        |(size, multiplier, max, unit, enabled)| ReadAheadConfig {
            enabled,
            size,
            multiplier,
            max,
            unit,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn plans_are_sound_and_reports_add_up(
        config in config(),
        size in prop_oneof![Just(0u64), 1..300u64, 1..10 * MIB, 1..4 * GIB],
        delay in 0..50u64,
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut sim = Sim::new(config, size, delay);
        let place = |from: u64| (u128::from(size) * u128::from(from) / 1000) as u64;
        let mut last = ByteRange::new(0, 0);
        for step in steps {
            match step {
                Step::Reads { from, len, step, count } => {
                    let mut start = place(from);
                    for _ in 0..count {
                        let plan = sim.read(at(start, len));
                        last = plan.ahead.last().copied().unwrap_or(last);
                        start = start.saturating_add_signed(step);
                    }
                }
                Step::Declare { from, len } => {
                    sim.declare(at(place(from), len));
                }
                Step::Refuse { whole: true } => sim.refuse(last),
                Step::Refuse { whole: false } => sim.refuse(last.split_at(last.len() / 2).1),
                Step::Evict { from, len } => sim.evict(at(place(from), len)),
                Step::Memory(bytes) => sim.memory = bytes,
            }
            prop_assert!(sim.ahead.window().count() <= 5);
        }
        let report = sim.ahead.close();
        prop_assert_eq!(report.asked_ahead, report.used_ahead + report.wasted);
        prop_assert!(report.served >= report.used_ahead);
    }

    #[test]
    fn nothing_panics_at_the_end_of_the_number_space(
        config in config(),
        size in prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), Just(i64::MAX as u64), 1 << 62..=u64::MAX],
        reads in prop::collection::vec((any::<u64>(), prop_oneof![any::<u64>(), 0..10u64], any::<bool>(), any::<u64>()), 0..50),
        back in 0..1000u64,
    ) {
        let mut ahead = ReadAhead::new(config, size);
        for (start, len, starved, spare) in reads {
            ahead.declare(at(start, len));
            for n in 0..4 {
                let range = at(start.saturating_add(len.saturating_mul(n)), len);
                let plan = ahead.observe(Read { range, starved, spare });
                if let Some(asked) = plan.ahead.first() {
                    ahead.refused(asked.split_at(asked.len() / 2).1);
                }
                ahead.observe(Read { range: at(size.saturating_sub(back * n), back), starved, spare });
            }
            ahead.evicted_unread(at(start, len));
        }
        ahead.close();
        prop_assert_eq!(ahead.outstanding(), 0);
    }
}
