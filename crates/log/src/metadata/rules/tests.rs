use super::*;
use proptest::prelude::*;

fn lease(owner: Option<Ulid>, until: i64, ttl: i64) -> LeaseRow {
    LeaseRow {
        owner,
        own: (until, ttl),
        renewed: (0, 0),
        clean: true,
    }
}

const FREE_DIRTY: Claim = Claim::Free {
    clean: false,
    changes_hands: true,
};

#[test]
fn a_lease_holds_until_its_end_and_no_clock_makes_it_hold_for_ever() {
    let (a, b) = (Ulid::from_parts(1, 1), Ulid::from_parts(1, 2));
    assert_eq!(
        claim(&lease(Some(a), 150, 100), b, 100),
        Claim::Held { left_ms: 50 }
    );
    assert_eq!(
        claim(&lease(Some(a), 150, 100), b, 149),
        Claim::Held { left_ms: 1 }
    );
    assert_eq!(claim(&lease(Some(a), 150, 100), b, 150), FREE_DIRTY);
    // The clock was set back a little: it lasts longer. By far more than the lease's length: it is over.
    assert_eq!(
        claim(&lease(Some(a), 300, 100), b, 100),
        Claim::Held { left_ms: 200 }
    );
    assert_eq!(claim(&lease(Some(a), 1_000_000, 100), b, 100), FREE_DIRTY);
    // A renewal counts where it ends later.
    let renewed = LeaseRow {
        renewed: (400, 200),
        ..lease(Some(a), 150, 100)
    };
    assert_eq!(claim(&renewed, b, 300), Claim::Held { left_ms: 100 });
    assert_eq!(claim(&renewed, b, 400), FREE_DIRTY);
}

#[test]
fn only_what_was_given_back_is_clean() {
    let (a, b) = (Ulid::from_parts(1, 1), Ulid::from_parts(1, 2));
    let given_back = Claim::Free {
        clean: true,
        changes_hands: true,
    };
    assert_eq!(claim(&lease(None, 0, 0), b, 5), given_back);
    let again = Claim::Free {
        clean: false,
        changes_hands: false,
    };
    assert_eq!(claim(&lease(Some(a), 10, 10), a, 5), again);
    assert!(ttl_ms(Duration::ZERO).is_err());
    assert!(ttl_ms(Duration::from_secs(1 << 40)).is_err());
    assert_eq!(ttl_ms(Duration::from_secs(3)).unwrap(), 3000);
}

#[test]
fn numbers_that_cannot_be_stored_are_refused() {
    assert_eq!(int("x", i64::MAX as u64).unwrap(), i64::MAX);
    assert!(matches!(int("x", 1 << 63), Err(MetadataError::Invalid { .. })));
    assert!(uint("x", -1).is_err());
    assert!(millis("x", Duration::MAX).is_err());
    let high = pid((1 << 31) - 1, u32::MAX);
    assert!(high > 0);
    assert_eq!(partition_of(high), u32::MAX);
}

proptest! {
    #[test]
    fn corrected_maxima_are_those_of_all_segments_up_to_each(
        times in prop::collection::vec(-1i64..50, 1..40),
        before in -1i64..60,
        now in -1i64..60,
        page in 1usize..10,
    ) {
        let maxima = |mut running: i64| -> Vec<i64> {
            times.iter().map(|time| { running = running.max(*time); running }).collect()
        };
        let mut stored = maxima(before);
        let mut going = Some(now);
        let mut at = 0;
        while let (Some(running), true) = (going, at < times.len()) {
            let end = (at + page).min(times.len());
            let rows: Vec<Running> = (at..end)
                .map(|n| Running { base_offset: n as i64, max_timestamp: times[n], running: stored[n] })
                .collect();
            let (changed, next) = rerun(running, &rows);
            for (n, value) in changed {
                stored[n as usize] = value;
            }
            (going, at) = (next, end);
        }
        prop_assert_eq!(stored, maxima(now));
    }
}
