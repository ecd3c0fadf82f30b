//! For how long answers are believed: pure.
//!
//! Moments are nanoseconds of the tree's clock.

use std::time::Duration;

/// How much a namespace changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may have changed after this long.
    Ttl(Duration),
    /// It never changes.
    Immutable,
}

/// A moment that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// For how long answers are believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beliefs {
    /// `None`: for ever.
    positive: Option<u64>,
    negative: Option<u64>,
}

impl Beliefs {
    /// Of a namespace, with what the mount wants instead. What never changes is believed for ever all the same.
    pub(crate) fn of(freshness: Freshness, ttl: Option<Duration>, negative_ttl: Option<Duration>) -> Self {
        match freshness {
            Freshness::Immutable => Self {
                positive: None,
                negative: None,
            },
            Freshness::Ttl(usual) => {
                let positive = ttl.unwrap_or(usual);
                Self {
                    positive: Some(nanos(positive)),
                    negative: Some(nanos(negative_ttl.unwrap_or(positive))),
                }
            }
        }
    }

    /// Until when a name found now is believed.
    pub(crate) fn found(&self, now: u64) -> u64 {
        self.positive.map_or(NEVER, |ttl| now.saturating_add(ttl))
    }

    /// Until when a name not found now is believed to be missing.
    pub(crate) fn missing(&self, now: u64) -> u64 {
        self.negative.map_or(NEVER, |ttl| now.saturating_add(ttl))
    }

    /// Until when a listing is believed that took so long and came now. Twice that time at least: else a directory
    /// whose listing takes longer than the TTL would be listed all the time, and `ls -l` would ask for each of its
    /// files again.
    pub(crate) fn listed(&self, now: u64, took: u64) -> u64 {
        self.positive
            .map_or(NEVER, |ttl| now.saturating_add(ttl.max(took.saturating_mul(2))))
    }

    /// Until when the kernel may be told that a name is missing which a listing, believed until `listed`, does not have.
    pub(crate) fn missing_in(&self, now: u64, listed: u64) -> u64 {
        self.missing(now).min(listed)
    }

    /// The TTL of names that are found; `None` for ever.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.positive.map(Duration::from_nanos)
    }
}

/// What is left at `now`.
pub(crate) fn left(until: u64, now: u64) -> Duration {
    if until == NEVER {
        Duration::MAX
    } else {
        Duration::from_nanos(until.saturating_sub(now))
    }
}

/// As a moment or a length: 584 years at most.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_slow_listing_is_believed_for_longer() {
        let beliefs = Beliefs::of(Freshness::Ttl(Duration::from_secs(1)), None, None);
        assert_eq!(beliefs.listed(10 * SECOND, 0), 11 * SECOND);
        assert_eq!(beliefs.listed(10 * SECOND, SECOND / 2), 11 * SECOND);
        assert_eq!(beliefs.listed(10 * SECOND, 5 * SECOND), 20 * SECOND);
    }

    #[test]
    fn the_mount_has_the_last_word_on_what_changes() {
        let usual = Freshness::Ttl(Duration::from_secs(1));
        let beliefs = Beliefs::of(usual, Some(Duration::from_secs(60)), Some(Duration::ZERO));
        assert_eq!(beliefs.found(0), 60 * SECOND);
        assert_eq!(beliefs.missing(7), 7);
        assert_eq!(beliefs.missing_in(7, SECOND), 7);
        let beliefs = Beliefs::of(usual, Some(Duration::from_secs(2)), None);
        assert_eq!(beliefs.missing(0), 2 * SECOND);
        assert_eq!(beliefs.missing_in(0, SECOND), SECOND);
    }

    #[test]
    fn what_never_changes_is_believed_for_ever() {
        let beliefs = Beliefs::of(Freshness::Immutable, Some(Duration::ZERO), Some(Duration::ZERO));
        for until in [beliefs.found(5), beliefs.missing(5), beliefs.listed(5, 1)] {
            assert_eq!(left(until, 6), Duration::MAX);
        }
    }

    #[test]
    fn nothing_is_left_of_the_past() {
        assert_eq!(left(5, 5), Duration::ZERO);
        assert_eq!(left(5, 9), Duration::ZERO);
        assert_eq!(left(9, 5), Duration::from_nanos(4));
    }
}
