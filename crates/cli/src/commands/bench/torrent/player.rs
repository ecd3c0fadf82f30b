//! Somebody who watches a film.
//!
//! They open it, and read its first and its last MiB, as programs do that look for an index: that is the first frame.
//! Then it plays from its beginning, in reads of 128 KiB in order. It shows nothing before it has two seconds of what
//! comes next. From then on the byte `x` is due when those before it were shown at the bitrate, and is asked for two
//! seconds before that. A read that returns after its first byte was due is a stall: the film stands still from then on
//! until two seconds are there again, and everything after it is due so much later.
//!
//! In the middle they may skip back, look at a second of it, and skip to where they were. Each skip begins by filling
//! those two seconds as the film itself did, which is no stall.

use std::io;
use std::ops::Range;
use std::time::Duration;

use forebay_types::Clock;
use serde::{Deserialize, Serialize};

use super::media::Way;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commands::bench) struct Script {
    /// Bytes of the film.
    pub(super) size: u64,
    /// Bytes of it for a second.
    pub(super) bitrate: u64,
    /// How much of it is watched; nothing is the first frame.
    pub(super) length: u64,
    /// How far back they skip in the middle.
    pub(super) skip: u64,
}

/// How it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// Until first and last MiB were there.
    pub(super) first_frame: Duration,
    pub(super) stalls: u64,
    pub(super) stalled: Duration,
    /// Bytes that were read.
    pub(super) served: u64,
}

/// Of the beginning, and of the end.
const EDGE: u64 = 1 << 20;

const READ: u64 = 128 << 10;

/// What is there before anything is shown.
const BUFFER: Duration = Duration::from_secs(2);

impl Script {
    /// The parts that are played, in their order.
    fn parts(&self) -> Vec<Range<u64>> {
        if self.skip == 0 {
            return std::iter::once(0..self.length).collect();
        }
        let middle = self.length / 2;
        let back = middle.saturating_sub(self.skip);
        let looked = (back + self.bitrate).min(middle);
        vec![0..middle, back..looked, middle..self.length]
    }
}

/// Watches it.
pub(super) fn watch(way: &Way, script: &Script, clock: &dyn Clock) -> io::Result<Watched> {
    let began = clock.now();
    let mut media = way.open()?;
    let edge = EDGE.min(script.size);
    let mut buffer = vec![0; edge.max(READ) as usize];
    for at in [0, script.size - edge] {
        media.read(at, &mut buffer[..edge as usize])?;
    }
    let mut watched = Watched {
        first_frame: clock.now() - began,
        served: 2 * edge,
        ..Watched::default()
    };
    let mut playback = Playback::new(script.bitrate);
    for part in script.parts() {
        playback.skip(&part);
        let mut at = part.start;
        while at < part.end {
            let wait = playback.asks_at(at).saturating_sub(clock.now());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            let len = READ.min(part.end - at);
            media.read(at, &mut buffer[..len as usize])?;
            playback.came(at, at + len, clock.now());
            watched.served += len;
            at += len;
        }
    }
    (watched.stalls, watched.stalled) = (playback.stalls, playback.stalled);
    Ok(watched)
}

/// When a film plays and when it waits. Pure.
#[derive(Debug)]
struct Playback {
    bitrate: u64,
    now: State,
    /// Where the part ends that is played.
    end: u64,
    stalls: u64,
    stalled: Duration,
}

#[derive(Debug)]
enum State {
    /// The byte `from` was shown at `since`.
    Plays { since: Duration, from: u64 },
    /// Until the bytes from `from` to `until` are there; the film stands still for it since `stands`, if it had begun.
    Fills {
        stands: Option<Duration>,
        from: u64,
        until: u64,
    },
}

impl Playback {
    fn new(bitrate: u64) -> Self {
        Self {
            bitrate: bitrate.max(1),
            now: State::Plays {
                since: Duration::ZERO,
                from: 0,
            },
            end: 0,
            stalls: 0,
            stalled: Duration::ZERO,
        }
    }

    /// Goes on with this part.
    fn skip(&mut self, part: &Range<u64>) {
        self.end = part.end;
        self.fill(part.start, None);
    }

    fn fill(&mut self, from: u64, stands: Option<Duration>) {
        let enough = self.bitrate * BUFFER.as_secs();
        self.now = State::Fills {
            stands,
            from,
            until: self.end.min(from + enough),
        };
    }

    /// When the byte `at` is asked for.
    fn asks_at(&self, at: u64) -> Duration {
        match self.now {
            State::Plays { since, from } => self.due(since, from, at).saturating_sub(BUFFER),
            State::Fills { .. } => Duration::ZERO,
        }
    }

    /// The bytes from `at` to `end` have come.
    fn came(&mut self, at: u64, end: u64, now: Duration) {
        if let State::Plays { since, from } = self.now {
            let due = self.due(since, from, at);
            if now > due {
                self.fill(at, Some(due));
            }
        }
        if let State::Fills { stands, from, until } = self.now
            && end >= until
        {
            if let Some(stands) = stands {
                self.stalls += 1;
                self.stalled += now - stands;
            }
            self.now = State::Plays { since: now, from };
        }
    }

    fn due(&self, since: Duration, from: u64, at: u64) -> Duration {
        since + Duration::from_secs_f64((at - from) as f64 / self.bitrate as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1 << 20;

    /// Reads all of `part`; a read that begins with byte `slow.0` takes `slow.1`, any other one nothing.
    fn play(playback: &mut Playback, part: Range<u64>, slow: (u64, Duration), from: Duration) -> Duration {
        playback.skip(&part);
        let (mut at, mut now) = (part.start, from);
        while at < part.end {
            now = now.max(playback.asks_at(at));
            if at == slow.0 {
                now += slow.1;
            }
            let end = part.end.min(at + READ);
            playback.came(at, end, now);
            at = end;
        }
        now
    }

    #[test]
    fn a_film_plays_at_its_rate() {
        let mut playback = Playback::new(RATE);
        // The last read is asked for two seconds before its byte is due.
        let ended = play(
            &mut playback,
            0..10 * RATE,
            (u64::MAX, Duration::ZERO),
            Duration::ZERO,
        );
        assert_eq!(ended, Duration::from_millis(8000 - 125));
        assert_eq!((playback.stalls, playback.stalled), (0, Duration::ZERO));
    }

    #[test]
    fn what_comes_before_it_is_due_is_no_stall() {
        let mut playback = Playback::new(RATE);
        let slow = (5 * RATE, Duration::from_secs(2));
        play(&mut playback, 0..10 * RATE, slow, Duration::ZERO);
        assert_eq!(playback.stalls, 0);
    }

    #[test]
    fn what_comes_too_late_stops_it_once() {
        let mut playback = Playback::new(RATE);
        let slow = (5 * RATE, Duration::from_secs(3));
        let ended = play(&mut playback, 0..10 * RATE, slow, Duration::ZERO);
        // Asked for two seconds early, three seconds late; what fills the buffer comes at once.
        assert_eq!((playback.stalls, playback.stalled), (1, Duration::from_secs(1)));
        assert_eq!(ended, Duration::from_millis(9000 - 125));
    }

    #[test]
    fn a_skip_waits_without_a_stall() {
        let mut playback = Playback::new(RATE);
        let slow = (0, Duration::from_secs(7));
        let first = play(&mut playback, 0..4 * RATE, slow, Duration::ZERO);
        let slow = (RATE, Duration::from_secs(9));
        play(&mut playback, RATE..3 * RATE, slow, first);
        assert_eq!(playback.stalls, 0);
    }

    #[test]
    fn the_end_of_a_part_is_enough_to_go_on() {
        let mut playback = Playback::new(RATE);
        // The last second of it is late.
        let slow = (9 * RATE, Duration::from_secs(4));
        play(&mut playback, 0..10 * RATE, slow, Duration::ZERO);
        assert_eq!((playback.stalls, playback.stalled), (1, Duration::from_secs(2)));
    }

    #[test]
    fn parts_are_all_of_it_and_a_look_back() {
        let script = |length, skip| Script {
            size: 100 * RATE,
            bitrate: RATE,
            length,
            skip,
        };
        assert!(script(0, 0).parts().iter().all(Range::is_empty));
        assert_eq!(script(10 * RATE, 0).parts(), vec![0..10 * RATE; 1]);
        let parts = script(40 * RATE, 8 * RATE).parts();
        assert_eq!(parts, [0..20 * RATE, 12 * RATE..13 * RATE, 20 * RATE..40 * RATE]);
        let parts = script(RATE, 8 * RATE).parts();
        assert_eq!(parts, [0..RATE / 2, 0..RATE / 2, RATE / 2..RATE]);
    }
}
