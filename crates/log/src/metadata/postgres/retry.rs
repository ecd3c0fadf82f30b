//! Trying again, for as long as a call may take.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::error::Result;
use super::super::rules::Failure;
use super::error::{Broken, Try, passes, say};

const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The attempts of one call.
pub(super) struct Retry<'a> {
    store: &'a Arc<str>,
    until: Instant,
    wait: Duration,
    /// What the last attempt failed of: says more than that time is over.
    last: Option<Failure<Broken>>,
}

impl<'a> Retry<'a> {
    pub(super) fn new(store: &'a Arc<str>, deadline: Duration) -> Self {
        Self {
            store,
            until: Instant::now() + deadline,
            wait: FIRST_WAIT,
            last: None,
        }
    }

    /// One attempt, until the deadline at most.
    pub(super) async fn attempt<T>(&self, attempt: impl Future<Output = Try<T>>) -> Try<T> {
        tokio::time::timeout_at(self.until, attempt)
            .await
            .unwrap_or(Err(Failure::Driver(Broken::Late)))
    }

    /// The answer, or `None` after a while if the attempt should be made again.
    pub(super) async fn settle<T>(&mut self, outcome: Try<T>) -> Option<Result<T>> {
        let failure = match outcome {
            Ok(answer) => return Some(Ok(answer)),
            Err(Failure::Driver(Broken::Late)) => self.last.take().unwrap_or(Failure::Driver(Broken::Late)),
            Err(failure) => failure,
        };
        // Half of it at random: those who met do not meet again.
        let wait = self.wait / 2 + Duration::from_nanos(fraction(self.wait / 2));
        if !passes(&failure) || Instant::now() + wait >= self.until {
            return Some(Err(say(self.store, failure)));
        }
        // Once for a call: a server that is away is asked some forty times.
        if self.last.is_none() {
            tracing::warn!(store = %self.store, ?failure, "a call is tried again, until it succeeds or its time is over");
        } else {
            tracing::debug!(store = %self.store, ?failure, "a call is tried again");
        }
        self.last = Some(failure);
        tokio::time::sleep(wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        None
    }
}

/// A random part of `most`, in nanoseconds.
fn fraction(most: Duration) -> u64 {
    let random = ulid::Ulid::generate().random() as u64;
    random % (most.as_nanos() as u64).max(1)
}
