//! Requests, up to the head of their answer: the late one gets a second one beside it.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use forebay_source::{EngineRead, Fault, FreshConnection, WholeBody, jitter};
use forebay_types::{ByteRange, ErrorKind, RangeSpec, Version};
use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::BoxStream;
use object_store::{Attributes, Extensions, GetOptions, GetRange, GetResult, ObjectMeta};

use crate::config::MAX_PAUSE;
use crate::error::RangeError;
use crate::gate::Permit;
use crate::state::{ReadState, Turn};

/// An answer whose head is here and whose bytes are to come.
pub(crate) struct Answer {
    pub(crate) meta: ObjectMeta,
    pub(crate) range: ByteRange,
    pub(crate) result_extensions: Extensions,
    pub(crate) attributes: Attributes,
    pub(crate) body: BoxStream<'static, object_store::Result<Bytes>>,
    pub(crate) turn: Turn,
}

impl Answer {
    /// Whether it is the whole object although a range was asked for.
    pub(crate) fn is_whole(&self) -> bool {
        self.result_extensions.get::<WholeBody>().is_some()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// Why one attempt failed.
pub(crate) enum Failed {
    Store(object_store::Error),
    Stalled,
    /// Not to be tried again.
    Final(RangeError),
}

/// Counts attempts of one part, and waits between them.
pub(crate) struct Retries {
    in_a_row: u32,
    total: u32,
}

impl Retries {
    pub(crate) fn new() -> Self {
        Self {
            in_a_row: 0,
            total: 0,
        }
    }

    /// New bytes came: the next failure is a new one.
    pub(crate) fn progressed(&mut self) {
        self.in_a_row = 0;
    }

    /// Waits until the next attempt may start.
    ///
    /// # Errors
    /// If there should be none.
    pub(crate) async fn wait(&mut self, state: &ReadState, failed: Failed) -> Result<(), RangeError> {
        let config = &state.target.config;
        let fault = match &failed {
            Failed::Final(_) => None,
            Failed::Store(error) => Some(Fault::of(error)).filter(|fault| fault.kind.is_transient()),
            Failed::Stalled => Some(Fault {
                kind: ErrorKind::TimedOut,
                retry_after: None,
                throttled: false,
                status: None,
            }),
        };
        if fault.as_ref().is_some_and(|f| f.throttled) {
            state.count(|c| &c.throttles, 1);
            state.shared.gate.throttled();
        }
        let Some(fault) = fault.filter(|_| self.in_a_row < config.max_retries) else {
            return Err(self.give_up(state, failed));
        };
        let doubled = config
            .retry_pause
            .saturating_mul(1 << self.in_a_row.min(16))
            .min(MAX_PAUSE);
        let pause = fault.retry_after.unwrap_or_else(|| jitter(doubled));
        self.in_a_row += 1;
        self.total += 1;
        state.count(|c| &c.retries, 1);
        match &failed {
            Failed::Store(error) => {
                tracing::debug!(object = %state.target.name, %error, ?pause, attempt = self.in_a_row, "a part is tried again");
            }
            _ => {
                tracing::debug!(object = %state.target.name, ?pause, attempt = self.in_a_row, "a part stalled and is tried again");
            }
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn give_up(&self, state: &ReadState, failed: Failed) -> RangeError {
        let object = state.target.name.to_string();
        match failed {
            Failed::Final(error) => error,
            Failed::Stalled => {
                let after = state.target.config.stall_timeout;
                RangeError::Stalled {
                    object,
                    after,
                    retries: self.total,
                }
            }
            // No byte at a place that the version which was begun has: it is another one by now.
            Failed::Store(source)
                if Fault::of(&source).kind == ErrorKind::Changed
                    || (state.begun().is_some() && Fault::of(&source).status == Some(416)) =>
            {
                let expected = state
                    .begun()
                    .map_or_else(|| "another version".to_owned(), ToString::to_string);
                RangeError::Changed {
                    object,
                    expected,
                    got: "another version".to_owned(),
                }
            }
            Failed::Store(object_store::Error::NotModified { .. }) => RangeError::NotModified { object },
            Failed::Store(source) => RangeError::Store {
                object,
                source,
                retries: self.total,
            },
        }
    }
}

/// The first request of a read, until it succeeds or is given up: begins the version.
pub(crate) async fn first(
    state: &Arc<ReadState>,
    ask: GetRange,
    spec: RangeSpec,
) -> Result<Answer, RangeError> {
    let mut retries = Retries::new();
    let mut ask = Some(ask);
    loop {
        let turn = state.turn(state.target.intent, 0).await;
        let failed = match send(state, ask.clone(), turn).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        if let Failed::Store(error) = &failed
            && is_unsatisfiable(error)
            && ask.is_some()
        {
            // No byte at that place. From byte 0 on that means the object is empty: the plain GET tells its version.
            // From elsewhere the object is shorter than asked: how long it is, its head tells.
            if matches!(spec, RangeSpec::From(0) | RangeSpec::Last(_)) {
                ask = None;
                continue;
            }
            let size = size_of(state).await?;
            let object = state.target.name.to_string();
            match spec.resolve(size) {
                None => {
                    return Err(RangeError::OutOfRange {
                        object,
                        range: spec,
                        size,
                    });
                }
                Some(_) if Fault::of(error).status == Some(416) => {
                    let (expected, got) = ("shorter than the range".to_owned(), format!("{size} bytes long"));
                    return Err(RangeError::Changed {
                        object,
                        expected,
                        got,
                    });
                }
                Some(_) => {}
            }
        }
        retries.wait(state, failed).await?;
    }
}

/// Whether the store may mean that the range has no byte: web servers say 416, stores on this machine have no word
/// for it but that the request is invalid.
fn is_unsatisfiable(error: &object_store::Error) -> bool {
    let fault = Fault::of(error);
    fault.status == Some(416) || (fault.kind == ErrorKind::Invalid && fault.status.is_none())
}

async fn size_of(state: &ReadState) -> Result<u64, RangeError> {
    let options = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    match state.target.store.get_opts(&state.target.path, options).await {
        Ok(result) => Ok(result.meta.size),
        Err(source) => Err(RangeError::Store {
            object: state.target.name.to_string(),
            source,
            retries: 0,
        }),
    }
}

/// Sends one request, in its turn, and checks the head of what comes back.
pub(crate) async fn send(
    state: &Arc<ReadState>,
    ask: Option<GetRange>,
    turn: Turn,
) -> Result<Answer, Failed> {
    let result = hedged(state, ask).await?;
    state.insist(&result.meta).map_err(Failed::Final)?;
    let (meta, range) = (result.meta.clone(), ByteRange::from(result.range.clone()));
    let result_extensions = result.extensions.clone();
    Ok(Answer {
        meta,
        range,
        result_extensions,
        attributes: result.attributes.clone(),
        body: result.into_stream().boxed(),
        turn,
    })
}

/// The answer to a request or to its double.
async fn hedged(state: &Arc<ReadState>, ask: Option<GetRange>) -> Result<GetResult, Failed> {
    let shared = &state.shared;
    // A source that is never hedged tells the others nothing: a disk's microseconds are no measure of a server.
    if !state.target.config.hedge && !state.target.config.ask_early {
        return request(state, ask, EngineRead::default(), false).await;
    }
    let sent_at = shared.clock.now();
    let threshold = {
        let mut hedge = shared.hedge();
        hedge.sent();
        hedge.threshold(sent_at).filter(|_| state.target.config.hedge)
    };
    let mark = EngineRead::default();
    let mut original = pin!(request(state, ask.clone(), mark.clone(), false));
    let answered = match threshold {
        None => original.await,
        Some(threshold) => match tokio::time::timeout(threshold, &mut original).await {
            Ok(answer) => answer,
            Err(_) => match leave_to_hedge(state, &mark) {
                Some(_turn) => {
                    state.count(|c| &c.hedges, 1);
                    tracing::debug!(object = %state.target.name, ?threshold, "a first byte is late: asked for again");
                    let double = pin!(request(state, ask, EngineRead::default(), true));
                    match select(original, double).await {
                        Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => Ok(answer),
                        // One failed: the other may still succeed.
                        Either::Left((Err(_), double)) => double.await,
                        Either::Right((Err(_), original)) => original.await,
                    }
                }
                None => original.await,
            },
        },
    };
    let result = answered?;
    // What waited for a connection tells nothing about the server.
    if !mark.was_held_up() {
        let now = shared.clock.now();
        shared.hedge().answered(now, now.saturating_sub(sent_at));
    }
    Ok(result)
}

/// The turn of a second request, which is one like any other, if it may be sent now.
fn leave_to_hedge(state: &ReadState, mark: &EngineRead) -> Option<Permit> {
    if mark.was_held_up() || !state.has_room() {
        return None;
    }
    let turn = state.shared.gate.try_enter()?;
    state.shared.hedge().try_hedge().then_some(turn)
}

/// One request and the head of its answer, within the deadline.
async fn request(
    state: &ReadState,
    ask: Option<GetRange>,
    mark: EngineRead,
    fresh: bool,
) -> Result<GetResult, Failed> {
    state.count(|c| &c.requests, 1);
    let mut extensions = Extensions::new();
    extensions.insert(mark.clone());
    extensions.insert(state.kept.clone());
    if fresh {
        extensions.insert(FreshConnection);
    }
    let if_match = state
        .begun()
        .and_then(|known| known.version.if_match())
        .map(str::to_owned);
    // Only while nothing has begun: every later request is for the version that has.
    let unless = state.target.unless.as_ref().filter(|_| state.begun().is_none());
    let (if_none_match, if_modified_since) = match unless.map(|known| &known.version) {
        Some(Version::ETag(tag)) => (Some(tag.to_string()), None),
        Some(Version::Modified(micros)) => (None, DateTime::from_timestamp_micros(*micros)),
        Some(Version::Unknown) | None => (None, None),
    };
    let options = GetOptions {
        range: ask,
        if_match,
        if_none_match,
        if_modified_since,
        extensions,
        ..GetOptions::default()
    };
    let mut answer = state.target.store.get_opts(&state.target.path, options);
    loop {
        match tokio::time::timeout(state.target.config.stall_timeout, &mut answer).await {
            Ok(answer) => return answer.map_err(Failed::Store),
            // Not sent yet, or not for so long: the deadline is the server's, not that of the queue before it.
            Err(_) if mark.take_held_up() => {}
            Err(_) => return Err(Failed::Stalled),
        }
    }
}
