//! Who may write a partition.

use std::time::Duration;

use ulid::Ulid;

use super::super::error::Result;
use super::{invalid, millis};

/// Longest lease. Writers ask for seconds.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// A time to live in milliseconds, at least 1.
pub(in super::super) fn ttl_ms(ttl: Duration) -> Result<i64> {
    if ttl > MAX_TTL {
        return Err(invalid(format!(
            "a lease of {ttl:?} is longer than the {MAX_TTL:?} that it can be"
        )));
    }
    match millis("a lease", ttl)? {
        0 => Err(invalid("a lease of less than a millisecond is none")),
        ms => Ok(ms),
    }
}

/// The lease of a partition. A writer's renewal counts for all that it holds, so that it costs one row: the lease ends
/// when both the partition's own end and its owner's have come.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct LeaseRow {
    /// Who holds it, also after its end; `None` when it was given back.
    pub(in super::super) owner: Option<Ulid>,
    /// When it ends, in milliseconds since 1970, and how long it was when it was given.
    pub(in super::super) own: (i64, i64),
    /// The same of its owner's last renewal.
    pub(in super::super) renewed: (i64, i64),
    /// Whether the writer before gave it back.
    pub(in super::super) clean: bool,
}

/// What [`claim`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Claim {
    /// The writer may have it.
    Free {
        /// Whether no upload of an earlier epoch can turn up.
        clean: bool,
        /// Whether it changes hands, which answers those who waited.
        changes_hands: bool,
    },
    /// Another writer has it for so many milliseconds.
    Held {
        /// At least 1.
        left_ms: u64,
    },
}

/// Whether `writer` may have a partition at `now`, in milliseconds since 1970.
pub(in super::super) fn claim(row: &LeaseRow, writer: Ulid, now: i64) -> Claim {
    let Some(owner) = row.owner else {
        return Claim::Free {
            clean: row.clean,
            changes_hands: true,
        };
    };
    let left = left(row.own, now).max(left(row.renewed, now));
    match (owner == writer, u64::try_from(left)) {
        (false, Ok(left_ms @ 1..)) => Claim::Held { left_ms },
        // It ran out, or is asked for once more: uploads of its epoch may still be on their way.
        (same, _) => Claim::Free {
            clean: false,
            changes_hands: !same,
        },
    }
}

/// Milliseconds that are left of a lease. One that ends further ahead than twice its length was given before the clock
/// was set back: it is over, or it would hold for as long as the clock was wrong. Epochs fence its writer.
fn left((until, ttl): (i64, i64), now: i64) -> i64 {
    let left = until.saturating_sub(now);
    if left > ttl.saturating_mul(2) {
        0
    } else {
        left.max(0)
    }
}
