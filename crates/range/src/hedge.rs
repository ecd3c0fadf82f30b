//! When a late request gets a second one beside it. Pure: told of times, asks no clock.

use std::collections::VecDeque;
use std::time::Duration;

/// Remembers how long first bytes took and how many extra requests there were.
///
/// A request is late when its first byte has not come by 1.5 times the 95th percentile of the last 60 s. At most
/// 5 % of requests get a second one: each request saves a twentieth, a hedge costs a whole, up to ten are saved. So an
/// outage, in which everything is late, is not answered with twice the load.
#[derive(Debug, Default)]
pub struct HedgePolicy {
    /// When it was seen, how long it took; oldest first.
    seen: VecDeque<(Duration, Duration)>,
    tokens: f64,
    /// Percentiles as of `computed_at`, since sorting for every request would cost more than it tells.
    p50: Option<Duration>,
    p95: Option<Duration>,
    computed_at: Duration,
    fresh: usize,
}

const WINDOW: Duration = Duration::from_secs(60);
/// Fewer say nothing about a 95th percentile.
const MIN_SAMPLES: usize = 20;
const MAX_SAMPLES: usize = 2048;
const SHARE: f64 = 0.05;
const MAX_TOKENS: f64 = 10.0;
const LATE: f64 = 1.5;
/// Below this a second request would come from our own scheduling noise.
const MIN_THRESHOLD: Duration = Duration::from_millis(5);
/// Percentiles are computed anew after this many samples or this much time.
const RECOMPUTE: (usize, Duration) = (64, Duration::from_millis(500));

impl HedgePolicy {
    /// A request is about to be sent.
    pub fn sent(&mut self) {
        self.tokens = (self.tokens + SHARE).min(MAX_TOKENS);
    }

    /// Its first byte came after `took`.
    pub fn answered(&mut self, now: Duration, took: Duration) {
        if self.seen.len() == MAX_SAMPLES {
            self.seen.pop_front();
        }
        self.seen.push_back((now, took));
        self.fresh += 1;
        let few = self.seen.len() <= MIN_SAMPLES;
        if few || self.fresh >= RECOMPUTE.0 || now.saturating_sub(self.computed_at) >= RECOMPUTE.1 {
            self.recompute(now);
        }
    }

    /// How long to wait for a first byte before asking again; `None` while too little is known.
    pub fn threshold(&self, now: Duration) -> Option<Duration> {
        // What is known from longer ago than the window says nothing about now.
        if now.saturating_sub(self.computed_at) > WINDOW {
            return None;
        }
        self.p95.map(|p95| p95.mul_f64(LATE).max(MIN_THRESHOLD))
    }

    /// The usual time to the first byte.
    pub fn median(&self) -> Option<Duration> {
        self.p50
    }

    /// Takes leave for one extra request.
    pub fn try_hedge(&mut self) -> bool {
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    fn recompute(&mut self, now: Duration) {
        while self
            .seen
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW)
        {
            self.seen.pop_front();
        }
        self.fresh = 0;
        self.computed_at = now;
        let mut sorted: Vec<Duration> = self.seen.iter().map(|(_, took)| *took).collect();
        sorted.sort_unstable();
        let at = |share: f64| {
            sorted
                .get((sorted.len().saturating_sub(1) as f64 * share) as usize)
                .copied()
        };
        self.p50 = at(0.5);
        self.p95 = at(0.95).filter(|_| sorted.len() >= MIN_SAMPLES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn learnt(n: u32) -> HedgePolicy {
        let mut policy = HedgePolicy::default();
        for i in 0..n {
            policy.sent();
            policy.answered(MS * i, MS * 30);
        }
        policy
    }

    #[test]
    fn nothing_is_late_before_enough_was_seen() {
        assert_eq!(learnt(19).threshold(MS * 20), None);
        assert_eq!(learnt(20).threshold(MS * 20), Some(MS * 45));
        assert_eq!(learnt(1).median(), Some(MS * 30));
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut policy = learnt(200);
        assert_eq!(policy.threshold(Duration::from_secs(61)), None);
        for i in 0..30 {
            policy.answered(Duration::from_secs(100) + MS * i, MS * 10);
        }
        policy.answered(Duration::from_secs(101), MS * 10);
        assert_eq!(policy.threshold(Duration::from_secs(101)), Some(MS * 15));
    }

    #[test]
    fn one_request_in_twenty_at_most() {
        let mut policy = HedgePolicy::default();
        let mut hedges = 0;
        for _ in 0..10_000 {
            policy.sent();
            hedges += u32::from(policy.try_hedge());
        }
        assert!((490..=500).contains(&hedges), "{hedges}");
    }

    #[test]
    fn savings_are_bounded() {
        let mut policy = learnt(2000);
        let burst = std::iter::from_fn(|| policy.try_hedge().then_some(())).count();
        assert!(burst <= 10, "{burst}");
    }
}
