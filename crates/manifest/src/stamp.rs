//! Whether a file stayed the same while its bytes were hashed.

use std::time::Duration;

/// What tells that a file was changed: taken before its bytes are hashed, and compared after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970. 128 bits: 64 end in 2262, file systems later.
    pub mtime: i128,
    /// Last change of anything, nanoseconds since 1970.
    pub ctime: i128,
}

impl Stamp {
    /// How often a file that changes meanwhile is hashed again before that is an error.
    pub const AGAIN: u32 = 3;

    /// The kernel's clock of file times goes in steps of up to 10 ms (CONFIG_HZ=100): a write within the step of the one
    /// before leaves the same time. What changed less than this ago is looked at again when it is over.
    pub const STEP: Duration = Duration::from_millis(20);

    /// The time as manifests have it: microseconds since 1970, rounded down, as Python's `st_mtime_ns // 1000`.
    pub fn mtime_micros(&self) -> i64 {
        let micros = self.mtime.div_euclid(1000);
        i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether a write since could have left the times as they are. `now`: time since 1970.
    pub fn is_fresh(&self, now: Duration) -> bool {
        let Ok(changed) = u64::try_from(self.ctime) else {
            return false;
        };
        now.checked_sub(Duration::from_nanos(changed))
            .is_some_and(|age| age < Self::STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_rounded_down_on_both_sides_of_1970() {
        let micros = |mtime: i128| {
            let stamp = Stamp {
                size: 0,
                mtime,
                ctime: 0,
            };
            stamp.mtime_micros()
        };
        let cases = [
            (1999, 1),
            (1000, 1),
            (999, 0),
            (0, 0),
            (-1, -1),
            (-1000, -1),
            (-1001, -2),
            (i128::MIN, i64::MIN),
        ];
        for (nanos, expected) in cases {
            assert_eq!(micros(nanos), expected, "{nanos}");
        }
    }

    #[test]
    fn only_what_was_changed_just_now_is_fresh() {
        let stamp = |ctime| Stamp {
            size: 0,
            mtime: 0,
            ctime,
        };
        let now = Duration::from_secs(1);
        for (ctime, expected) in [
            (1_000_000_000, true),
            (985_000_000, true),
            (980_000_000, false),
            // The clock was set back since.
            (1_000_000_001, false),
            (-1, false),
        ] {
            assert_eq!(stamp(ctime).is_fresh(now), expected, "{ctime}");
        }
    }
}
