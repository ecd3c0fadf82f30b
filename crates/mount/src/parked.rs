//! Requests that wait for something slow, off the session's threads.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::reply::Reply;

/// What waits, by the number of its request.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    runtime: Handle,
    waiting: Arc<Mutex<HashMap<u64, Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    reply: Arc<Mutex<Option<Reply>>>,
    task: AbortHandle,
}

impl Parked {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            waiting: Arc::default(),
        }
    }

    /// Does `work` in the runtime and lets `answer` answer with what it came to. If the request is interrupted before,
    /// `work` is dropped and the reply is gone: then `answer` is told of no reply, if it is called at all.
    pub(crate) fn park<T: Send + 'static>(
        &self,
        reply: Reply,
        work: impl Future<Output = T> + Send + 'static,
        answer: impl FnOnce(Option<Reply>, T) + Send + 'static,
    ) {
        let unique = reply.unique();
        let slot = Arc::new(Mutex::new(Some(reply)));
        // Held until the task is entered: it takes itself out when it is done, be it at once.
        let mut waiting = self.lock();
        let (mine, all) = (slot.clone(), self.waiting.clone());
        let task = self.runtime.spawn(async move {
            let outcome = work.await;
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&unique);
            let reply = mine.lock().unwrap_or_else(PoisonError::into_inner).take();
            answer(reply, outcome);
        });
        let task = task.abort_handle();
        waiting.insert(unique, Waiting { reply: slot, task });
    }

    /// Polls `work` once on this thread, inside the runtime but without a task of it. What is ready then is answered at once;
    /// what is not is parked, and fails as `late` after the time `within`. [`Self::park`] says the rest.
    ///
    /// An interrupt that comes between the two finds nothing parked, is answered that it comes too early, and comes again.
    pub(crate) fn at_once_or_park<T: Send + 'static>(
        &self,
        reply: Reply,
        within: Duration,
        late: T,
        work: impl Future<Output = T> + Send + 'static,
        answer: impl FnOnce(Option<Reply>, T) + Send + 'static,
    ) {
        let mut work = Box::pin(work);
        let first = {
            let _inside = self.runtime.enter();
            // Nobody is woken by this poll: if it is not the last one, the task polls anew, with a waker of its own.
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        match first {
            Poll::Ready(outcome) => answer(Some(reply), outcome),
            Poll::Pending => {
                let in_time = async move { tokio::time::timeout(within, work).await.unwrap_or(late) };
                self.park(reply, in_time, answer);
            }
        }
    }

    /// The program behind a request does not wait for it any more. Whether it was one of these.
    pub(crate) fn interrupt(&self, unique: u64) -> bool {
        let Some(waiting) = self.lock().remove(&unique) else {
            return false;
        };
        waiting.task.abort();
        let reply = waiting
            .reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(reply) = reply {
            reply.error(Errno::INTR);
        }
        true
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
