//! One read: its first request, its plan, and the run of its parts.

use std::sync::Arc;

use forebay_types::{ByteRange, RangeSpec};
use object_store::{Attributes, GetRange, ObjectMeta};
use tokio::task::JoinSet;

use crate::error::RangeError;
use crate::head::{self, Answer};
use crate::part;
use crate::plan;
use crate::state::{Held, PartOut, ReadState, Shared};
use crate::target::{Known, Target};

/// A read whose object is known: size, version, and perhaps the first bytes on their way.
#[derive(Debug)]
pub struct Opened {
    state: Arc<ReadState>,
    told: Option<(ObjectMeta, Attributes)>,
    range: ByteRange,
    first: Option<Answer>,
}

impl Opened {
    pub(crate) async fn open(
        shared: Arc<Shared>,
        target: Target,
        spec: RangeSpec,
    ) -> Result<Self, RangeError> {
        let state = ReadState::new(shared, target);
        if let Some(known) = state.begun() {
            let range = state.resolve(spec, known.size)?;
            return Ok(Self {
                state,
                told: None,
                range,
                first: None,
            });
        }
        let ask = match spec {
            RangeSpec::Bounded(range) => {
                // No request can ask for nothing; one byte tells the size as well.
                let range = ByteRange::at(range.start(), range.len().max(1));
                asking(plan::first_part(range, &state.target.config))
            }
            RangeSpec::From(start) => asking(plan::first_part(
                ByteRange::new(start, u64::MAX),
                &state.target.config,
            )),
            RangeSpec::Last(len) => GetRange::Suffix(len),
        };
        let first = head::first(&state, ask, spec).await?;
        let told = Some((first.meta.clone(), first.attributes.clone()));
        let range = state.resolve(spec, first.meta.size)?;
        // The plain GET for an object that seemed empty begins at byte 0, wherever the range does.
        let first = Some(first).filter(|first| first.range.start() == range.start());
        Ok(Self {
            state,
            told,
            range,
            first,
        })
    }

    /// What the first answer said of the object; `None` if it was known before and nothing was asked.
    pub fn meta(&self) -> Option<&ObjectMeta> {
        self.told.as_ref().map(|(meta, _)| meta)
    }

    /// What the first answer said of the object besides, if one was asked for.
    pub fn attributes(&self) -> Option<&Attributes> {
        self.told.as_ref().map(|(_, attributes)| attributes)
    }

    /// The object's size and version.
    pub fn known(&self) -> Option<&Known> {
        self.state.begun()
    }

    /// The bytes that will be read.
    pub fn range(&self) -> ByteRange {
        self.range
    }

    /// The parts still to be read: first the one that is on its way, if any.
    pub(crate) fn plan(&self) -> (Option<ByteRange>, impl Iterator<Item = ByteRange> + use<>) {
        let config = &self.state.target.config;
        match &self.first {
            Some(first) => {
                // A long tail is one answer too, but only its first part is taken from it.
                let cut = || plan::first_part(first.range.intersect(self.range), config);
                let range = if first.is_whole() { self.range } else { cut() };
                (
                    Some(range),
                    plan::parts(ByteRange::new(range.end(), self.range.end()), config),
                )
            }
            None => (None, plan::parts(self.range, config)),
        }
    }

    /// Runs all parts, each into what `out` makes for it; gives those back, done. After an error nothing is under way
    /// any more.
    pub(crate) async fn run<O: PartOut>(
        self,
        out: impl FnMut(ByteRange, Held) -> O,
    ) -> Result<(Vec<O>, Arc<ReadState>), RangeError> {
        let state = self.state.clone();
        let mut tasks = JoinSet::new();
        let outcome = self.run_in(&mut tasks, out).await;
        if outcome.is_err() {
            tasks.shutdown().await;
        }
        Ok((outcome?, state))
    }

    async fn run_in<O: PartOut>(
        mut self,
        tasks: &mut JoinSet<Result<O, RangeError>>,
        mut out: impl FnMut(ByteRange, Held) -> O,
    ) -> Result<Vec<O>, RangeError> {
        let state = self.state.clone();
        let start = self.range.start();
        let (first_range, mut rest) = self.plan();
        let mut answer = self.first.take();
        // What the server gives only from the start, or what is not to be split, must not be asked for piece by piece:
        // it flows through the memory that there is.
        let one_stream =
            state.target.config.min_split_size == u64::MAX || answer.as_ref().is_some_and(Answer::is_whole);
        let mut next = first_range.filter(|r| !r.is_empty()).or_else(|| rest.next());
        let mut done = Vec::new();
        while let Some(part) = next {
            // A part whose answer is here has its turn already.
            let has_turn = answer.is_some();
            let prepare = async {
                let memory = if one_stream {
                    part.split_at(state.target.config.chunk_size).0
                } else {
                    part
                };
                let held = state.memory_for(memory).await;
                let turn = match has_turn {
                    true => None,
                    false => Some(state.turn(state.target.intent, part.start()).await),
                };
                (held, turn)
            };
            tokio::pin!(prepare);
            let (held, turn) = loop {
                tokio::select! {
                    ready = &mut prepare => break ready,
                    Some(finished) = tasks.join_next() => done.push(joined(finished)?),
                }
            };
            // Cut short for want of memory: of an answer for the whole part, only so much is taken.
            let (piece, left) = part.split_at(if one_stream { part.len() } else { held.bytes() });
            let job = part::Job {
                state: state.clone(),
                part: piece,
                start,
                urgency: state.target.intent.into(),
                answer: answer.take(),
                turn,
            };
            tasks.spawn(job.run(out(piece, held)));
            next = if left.is_empty() { rest.next() } else { Some(left) };
        }
        while let Some(finished) = tasks.join_next().await {
            done.push(joined(finished)?);
        }
        Ok(done)
    }

    pub(crate) fn state(&self) -> &Arc<ReadState> {
        &self.state
    }

    /// The part that is on its way, if it has a byte.
    pub(crate) fn first_range(&self) -> Option<ByteRange> {
        self.plan().0.filter(|range| !range.is_empty())
    }

    /// Whether the answer is the whole object although a range was asked for.
    pub(crate) fn is_whole(&self) -> bool {
        self.first.as_ref().is_some_and(Answer::is_whole)
    }

    /// Its answer, once.
    pub(crate) fn take_first(&mut self) -> Option<Answer> {
        self.first.take()
    }

    /// If the whole read is one part, its job: small reads need no task of their own.
    pub(crate) fn single(&mut self) -> Option<part::Job> {
        let (first, mut rest) = self.plan();
        let part = first.filter(|r| !r.is_empty()).or_else(|| rest.next())?;
        if part != self.range {
            return None;
        }
        let answer = self.first.take();
        Some(part::Job {
            state: self.state.clone(),
            part,
            start: part.start(),
            urgency: self.state.target.intent.into(),
            answer,
            turn: None,
        })
    }
}

/// The range as it is asked for: without an end where there is none, since servers read huge numbers badly.
fn asking(range: ByteRange) -> GetRange {
    if range.end() == u64::MAX {
        GetRange::Offset(range.start())
    } else {
        GetRange::Bounded(range.into())
    }
}

/// The outcome of a task, or what became of it.
pub(crate) fn joined<O>(
    finished: Result<Result<O, RangeError>, tokio::task::JoinError>,
) -> Result<O, RangeError> {
    match finished {
        Ok(outcome) => outcome,
        Err(error) if error.is_cancelled() => Err(RangeError::Cancelled),
        Err(error) => Err(RangeError::Task(error.to_string())),
    }
}
