//! Bandwidth by an absolute schedule: pure.
//!
//! A sleep always ends late, by up to a timer tick (1 ms) and more on a busy machine. So what may be sent hangs on
//! the start of the body alone, never on when the last piece really went out: lateness does not add up, and the next
//! piece is as much larger as the last one was late.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes in one piece at most, unless the schedule has fallen behind.
const SLICE: u64 = 128 * 1024;

/// At most this much time is caught up. A reader that paused does not find a burst beyond the line rate afterwards,
/// while a lab that was not scheduled for some ticks keeps its rate.
const CATCH_UP: Duration = Duration::from_millis(50);

/// When which byte of a body is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: Instant,
    bytes_per_second: u64,
    slice: u64,
}

impl Pace {
    /// From `start` on; a rate of zero counts as one byte per second.
    pub(crate) fn new(start: Instant, bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        // Slow lines trickle, about a slice every 2 ms, instead of waiting long for a large one.
        let slice = (bytes_per_second / 500).clamp(1, SLICE);
        Self {
            start,
            bytes_per_second,
            slice,
        }
    }

    /// When byte number `sent` (counted from the start) has arrived.
    pub(crate) fn due(&self, sent: u64) -> Instant {
        self.start + transfer_time(sent, self.bytes_per_second)
    }

    /// Time in which nothing was to be sent.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.start += time;
    }

    /// What may go out now that `sent` bytes are out and `left` more could.
    pub(crate) fn next(&mut self, now: Instant, sent: u64, left: u64) -> Next {
        let due = self.due(sent.saturating_add(self.slice.min(left)));
        if now < due {
            return Next::At(due);
        }
        let behind = now - due;
        if behind > CATCH_UP {
            self.start += behind - CATCH_UP;
        }
        let elapsed = (now - self.start).as_nanos();
        let allowed = elapsed * u128::from(self.bytes_per_second) / 1_000_000_000;
        let allowed = u64::try_from(allowed).unwrap_or(u64::MAX).saturating_sub(sent);
        Next::Send(allowed.clamp(self.slice.min(left), left))
    }
}

/// The answer of [`Pace::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask again then.
    At(Instant),
    /// So many bytes.
    Send(u64),
}

/// How long `bytes` take.
pub(crate) fn transfer_time(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However late each wake-up is (below the catch-up limit), the last byte is late by one wake-up only.
        #[test]
        fn lateness_does_not_add_up(
            rate in 1_000_000u64..2_000_000_000,
            size in 1u64..200_000_000,
            late in prop::collection::vec(0u64..3_000, 1..20),
        ) {
            let start = Instant::from_std(std_now());
            let mut pace = Pace::new(start, rate);
            let (mut now, mut sent, mut wakes) = (start, 0, 0);
            while sent < size {
                match pace.next(now, sent, size - sent) {
                    Next::At(due) => {
                        prop_assert!(due > now);
                        now = due + Duration::from_micros(late[wakes % late.len()]);
                        wakes += 1;
                    }
                    Next::Send(bytes) => {
                        prop_assert!(bytes > 0 && bytes <= size - sent);
                        sent += bytes;
                        prop_assert!(pace.due(sent) <= now + Duration::from_nanos(2));
                    }
                }
            }
            let ideal = transfer_time(size, rate);
            prop_assert!(now - start < ideal + Duration::from_millis(4));
        }
    }

    #[test]
    fn a_reader_that_paused_gets_no_long_burst() {
        let start = Instant::from_std(std_now());
        let mut pace = Pace::new(start, 100_000_000);
        let later = start + Duration::from_secs(10);
        let Next::Send(bytes) = pace.next(later, 0, 1 << 40) else {
            panic!("nothing due after 10 s")
        };
        assert!(bytes <= 100_000_000 / 20 + SLICE, "{bytes}");
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do; time is moved by hand from there"
    )]
    fn std_now() -> std::time::Instant {
        std::time::Instant::now()
    }
}
