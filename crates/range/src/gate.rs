//! Whose turn it is to have a request in flight: an adaptive limit with a hard cap and a floor.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::{Clock, Intent};
use tokio::sync::oneshot;

/// Bounds of a [`Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateOptions {
    /// Never more in flight than this, whatever the servers allow.
    pub max: usize,
    /// Never fewer than this, however they complain: a client that throttles itself to nothing never recovers.
    pub min: usize,
}

impl Default for GateOptions {
    /// 64 at most (5.8 GB/s at 90 MB/s each), 4 at least.
    fn default() -> Self {
        Self { max: 64, min: 4 }
    }
}

/// Lets requests through, those that somebody waits for first. Additive increase, multiplicative decrease: a
/// throttled request (429, 503) cuts the limit to 0.7, at most once a second; every `limit` requests without one
/// raise it by 1. It reacts to nothing else: latency alone says little (a CDN that throttles looks fast until it
/// collapses), and goodput on a shared line even less. Clones share the gate.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    options: GateOptions,
    clock: Arc<dyn Clock>,
}

/// One cut a second: the answers to requests that were under way at the first complaint say nothing new.
const BETWEEN_CUTS: Duration = Duration::from_secs(1);
const CUT: f64 = 0.7;

#[derive(Debug)]
struct State {
    limit: f64,
    in_flight: usize,
    last_cut: Option<Duration>,
    /// By [`Intent`], most urgent first.
    queues: [VecDeque<oneshot::Sender<Permit>>; 3],
}

impl Gate {
    /// A gate, wide open.
    pub fn new(options: GateOptions, clock: Arc<dyn Clock>) -> Self {
        let max = options.max.max(1);
        let options = GateOptions {
            max,
            min: options.min.clamp(1, max),
        };
        let state = State {
            limit: options.max as f64,
            in_flight: 0,
            last_cut: None,
            queues: Default::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            options,
            clock,
        }
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Dropping the future loses its place in the queue; a turn granted meanwhile goes to the next.
    pub async fn enter(&self, intent: Intent) -> Permit {
        let turn = {
            let mut state = self.lock();
            let queue = intent as usize;
            if state.has_room() && state.queues[..=queue].iter().all(VecDeque::is_empty) {
                state.in_flight += 1;
                return Permit { gate: self.clone() };
            }
            let (sender, turn) = oneshot::channel();
            state.queues[queue].push_back(sender);
            turn
        };
        turn.await
            .expect("a waiter is dropped only with the gate, which the caller holds")
    }

    /// A turn now or not at all: if nobody waits and the limit is not reached.
    pub fn try_enter(&self) -> Option<Permit> {
        let mut state = self.lock();
        if !state.has_room() || !state.queues.iter().all(VecDeque::is_empty) {
            return None;
        }
        state.in_flight += 1;
        Some(Permit { gate: self.clone() })
    }

    /// The present limit.
    pub fn limit(&self) -> usize {
        self.lock().limit as usize
    }

    /// Requests let through and not yet done.
    pub fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Whether another request could go at once: nobody waits and the limit is not reached. Where it is not, reads
    /// are bound by bandwidth, and asking twice for the same bytes helps nobody.
    pub fn has_room(&self) -> bool {
        let state = self.lock();
        state.has_room() && state.queues.iter().all(VecDeque::is_empty)
    }

    /// A server asked for less.
    pub fn throttled(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state
            .last_cut
            .is_none_or(|cut| now.saturating_sub(cut) >= BETWEEN_CUTS)
        {
            state.last_cut = Some(now);
            state.limit = (state.limit * CUT).max(self.options.min as f64);
            let limit = state.limit as usize;
            drop(state);
            tracing::info!(limit, "a server throttles: fewer requests at a time");
        }
    }

    /// A request went well.
    pub fn succeeded(&self) {
        let woken = {
            let mut state = self.lock();
            let max = self.options.max as f64;
            if state.limit < max {
                state.limit = (state.limit + 1.0 / state.limit).min(max);
            }
            state.has_room()
        };
        if woken {
            self.let_in();
        }
    }

    /// Hands free turns to those who wait.
    fn let_in(&self) {
        loop {
            let sender = {
                let mut state = self.lock();
                if !state.has_room() {
                    return;
                }
                let Some(sender) = state.queues.iter_mut().find_map(VecDeque::pop_front) else {
                    return;
                };
                if sender.is_closed() {
                    continue;
                }
                state.in_flight += 1;
                sender
            };
            // Who left since gives the permit back by dropping it, and its drop comes here again. Those who left before
            // must not, because thousands of them one inside the other would be too much for the stack.
            let _ = sender.send(Permit { gate: self.clone() });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.in_flight < self.limit as usize
    }
}

/// One turn; ends when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Gate,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.lock().in_flight -= 1;
        self.gate.let_in();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_types::ManualClock;
    use futures::FutureExt;

    fn gate(max: usize, min: usize) -> (Gate, ManualClock) {
        let clock = ManualClock::default();
        (
            Gate::new(GateOptions { max, min }, Arc::new(clock.clone())),
            clock,
        )
    }

    #[tokio::test]
    async fn readers_go_before_read_ahead() {
        let (gate, _) = gate(1, 1);
        let first = gate.enter(Intent::Warm).await;
        let mut warm = Box::pin(gate.enter(Intent::Warm));
        let mut ahead = Box::pin(gate.enter(Intent::Ahead));
        let mut demand = Box::pin(gate.enter(Intent::Demand));
        assert!((&mut warm).now_or_never().is_none());
        assert!((&mut ahead).now_or_never().is_none());
        assert!((&mut demand).now_or_never().is_none());
        drop(first);
        let second = demand.now_or_never().expect("the reader's turn");
        assert!((&mut ahead).now_or_never().is_none());
        drop(second);
        let third = ahead.now_or_never().expect("then read-ahead");
        drop(third);
        assert!(warm.now_or_never().is_some());
        assert_eq!(gate.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_turn_nobody_waits_for_is_not_lost() {
        let (gate, _) = gate(1, 1);
        let first = gate.enter(Intent::Demand).await;
        let mut gone = Box::pin(gate.enter(Intent::Demand));
        assert!((&mut gone).now_or_never().is_none());
        let mut next = Box::pin(gate.enter(Intent::Demand));
        assert!((&mut next).now_or_never().is_none());
        drop(gone);
        drop(first);
        assert!(next.now_or_never().is_some());
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn throttling_cuts_to_the_floor_and_success_recovers_to_the_cap() {
        let (gate, clock) = gate(64, 4);
        gate.throttled();
        gate.throttled();
        assert_eq!(gate.limit(), 44, "one cut a second");
        for _ in 0..20 {
            clock.advance(Duration::from_secs(1));
            gate.throttled();
        }
        assert_eq!(gate.limit(), 4);
        for _ in 0..10 {
            gate.succeeded();
        }
        assert!((5..=7).contains(&gate.limit()), "{}", gate.limit());
        for _ in 0..10_000 {
            gate.succeeded();
        }
        assert_eq!(gate.limit(), 64);
    }
}
