//! Whether names of a directory are better asked one by one or all together: pure.

/// How one directory, that was listed before, is being used since its listing is no longer believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habit {
    /// Since when is counted.
    since: u64,
    /// Looks ended since then.
    looks: u32,
    /// What they took together.
    spent: u64,
}

impl Habit {
    /// A look took so long. Counts anew after each `period`: looks that are rare stay cheaper than listings.
    pub(super) fn looked(&mut self, now: u64, took: u64, period: u64) {
        if self.looks == 0 || now.saturating_sub(self.since) > period {
            *self = Self {
                since: now.saturating_sub(took),
                ..Self::default()
            };
        }
        self.looks += 1;
        self.spent = self.spent.saturating_add(took);
    }

    /// Whether a listing that takes `listing`, and is believed for `period`, is due: the looks of such a time have cost as
    /// much. Whatever comes next, that is at most twice the least that it could have cost.
    pub(super) fn wants_listing(&self, now: u64, listing: u64, period: u64) -> bool {
        self.looks > 0 && now.saturating_sub(self.since) <= period && self.spent >= listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How many of 1,000 looks, `every` apart and each `took` long, go by before a listing is due.
    fn looks_before(every: u64, took: u64, listing: u64, period: u64) -> Option<usize> {
        let mut habit = Habit::default();
        (0..1000).find(|n| {
            let now = *n as u64 * every;
            if habit.wants_listing(now, listing, period) {
                return true;
            }
            habit.looked(now + took, took, period);
            false
        })
    }

    #[test]
    fn somebody_who_looks_at_everything_gets_a_listing() {
        // `stat` in a loop: the listing takes as long as 20 looks.
        assert_eq!(looks_before(30 * MS, 30 * MS, 600 * MS, 1200 * MS), Some(20));
        // A small directory: as long as one.
        assert_eq!(looks_before(30 * MS, 30 * MS, 30 * MS, 1000 * MS), Some(1));
    }

    #[test]
    fn somebody_who_looks_now_and_then_does_not() {
        // Ten files a second are opened in a directory that takes five seconds to list.
        assert_eq!(looks_before(100 * MS, 30 * MS, 5000 * MS, 10_000 * MS), None);
        assert_eq!(looks_before(2000 * MS, 30 * MS, 30 * MS, 1000 * MS), None);
    }
}
