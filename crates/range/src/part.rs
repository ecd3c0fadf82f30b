//! One part: asked for, taken chunk by chunk, resumed where it broke.

use std::sync::Arc;
use std::time::Duration;

use forebay_types::{ByteRange, Intent};
use futures::StreamExt;

use crate::error::RangeError;
use crate::head::{self, Answer, Failed, Retries};
use crate::state::{PartOut, ReadState, Turn};
use crate::urgency::Urgency;

/// A part to be fetched.
pub(crate) struct Job {
    pub(crate) state: Arc<ReadState>,
    pub(crate) part: ByteRange,
    /// Where the read starts in the object: offsets handed on count from there.
    pub(crate) start: u64,
    /// Why it is read: decides who goes first where turns are scarce.
    pub(crate) urgency: Urgency,
    /// Its answer, if it was asked for already.
    pub(crate) answer: Option<Answer>,
    /// Its turn to ask, if it has it already.
    pub(crate) turn: Option<Turn>,
}

/// Latencies below this are not worth hiding, and too short to measure rates in.
const MIN_LEAD: Duration = Duration::from_millis(1);

impl Job {
    /// Fetches the part into `out` and gives `out` back.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request; `out` has the bytes up to some chunk.
    pub(crate) async fn run<O: PartOut>(mut self, mut out: O) -> Result<O, RangeError> {
        let intent = self.urgency.intent();
        tracing::debug!(object = %self.state.target.name, part = %self.part, ?intent, "part");
        let mut at = self.part.start();
        let mut retries = Retries::new();
        loop {
            let before = at;
            match self.attempt(&mut at, &mut out).await {
                Ok(()) => break,
                Err(failed) => {
                    if at > before {
                        retries.progressed();
                    }
                    retries.wait(&self.state, failed).await?;
                }
            }
        }
        self.state.count(|c| &c.ranges, 1);
        self.state.shared.gate.succeeded();
        out.done();
        Ok(out)
    }

    async fn attempt<O: PartOut>(&mut self, at: &mut u64, out: &mut O) -> Result<(), Failed> {
        let answer = match self.answer.take() {
            Some(answer) => answer,
            None => {
                let turn = match self.turn.take() {
                    Some(turn) => turn,
                    None => turn(&self.state, &self.urgency, *at).await,
                };
                head::send(&self.state, Some((*at..self.part.end()).into()), turn).await?
            }
        };
        let Answer { mut body, turn, .. } = answer;
        let mut pace = Pace::new(&self.state, turn);
        let stall = self.state.target.config.stall_timeout;
        while *at < self.part.end() {
            out.room().await;
            let chunk = match tokio::time::timeout(stall, body.next()).await {
                Err(_) => return Err(Failed::Stalled),
                Ok(None) => return Err(short(&self.part, *at)),
                Ok(Some(Err(error))) => return Err(Failed::Store(error)),
                Ok(Some(Ok(chunk))) => chunk,
            };
            self.state.count(|c| &c.fetched, chunk.len() as u64);
            // An answer may bring more than this part (a server without ranges); the rest is not ours.
            let mut chunk = chunk;
            chunk.truncate(usize::try_from(self.part.end() - *at).unwrap_or(usize::MAX));
            let len = chunk.len() as u64;
            out.chunk(*at - self.start, chunk)
                .map_err(|source| Failed::Final(RangeError::Sink { source }))?;
            *at += len;
            self.state.count(|c| &c.downloaded, len);
            pace.took(len, self.part.end() - *at);
        }
        Ok(())
    }
}

/// Waits for a part's turn; who becomes urgent on the way goes to the queue of the urgent.
async fn turn(state: &ReadState, urgency: &Urgency, offset: u64) -> Turn {
    let intent = urgency.intent();
    if intent == Intent::Demand {
        return state.turn(intent, offset).await;
    }
    tokio::select! {
        turn = state.turn(intent, offset) => turn,
        () = urgency.raised() => state.turn(Intent::Demand, offset).await,
    }
}

/// Stores below us check lengths; one that does not must not make a short part look whole.
fn short(part: &ByteRange, at: u64) -> Failed {
    let failure = forebay_source::Failure::Length {
        expected: part.len(),
        got: at - part.start(),
    };
    Failed::Store(failure.into_store_error(""))
}

/// Lets the next part ask while the last bytes of this one are on their way: a connection that waits for a first
/// byte moves none, so the request that follows can be sent one first-byte time before this body ends.
struct Pace<'a> {
    state: &'a ReadState,
    turn: Option<Turn>,
    /// The time to hide; zero if there is nothing to gain.
    lead: Duration,
    begun: Option<Duration>,
    got: u64,
}

impl<'a> Pace<'a> {
    fn new(state: &'a ReadState, turn: Turn) -> Self {
        let lead = match state.target.config.ask_early {
            true => state
                .shared
                .hedge()
                .median()
                .filter(|lead| *lead >= MIN_LEAD)
                .unwrap_or_default(),
            false => Duration::ZERO,
        };
        Self {
            state,
            turn: Some(turn),
            lead,
            begun: None,
            got: 0,
        }
    }

    fn took(&mut self, len: u64, left: u64) {
        if self.turn.is_none() || self.lead.is_zero() {
            return;
        }
        let now = self.state.shared.clock.now();
        let Some(begun) = self.begun else {
            // The first chunk came with the head; the rate is that of what follows.
            self.begun = Some(now);
            return;
        };
        self.got += len;
        let elapsed = now.saturating_sub(begun);
        // left / (got / elapsed) <= lead, once the rate is more than a guess
        if elapsed >= self.lead
            && left as f64 * elapsed.as_secs_f64() <= self.got as f64 * self.lead.as_secs_f64()
        {
            self.turn = None;
        }
    }
}
