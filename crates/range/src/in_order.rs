//! One after another, in the order of the file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Lets parts of one object through one at a time, of those that wait the first in the object. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct InOrder {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_busy: bool,
    /// By offset, and by number where several wait for the same.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<Pass>>,
    next: u64,
}

/// Leave for one part. The next may go when it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    queue: InOrder,
}

impl InOrder {
    /// Waits for the turn of the part that begins at `offset`.
    ///
    /// # Cancel safety
    /// Dropping the future loses its place; a turn granted meanwhile goes to the next.
    pub(crate) async fn enter(&self, offset: u64) -> Pass {
        let turn = {
            let mut state = self.lock();
            if !state.is_busy {
                state.is_busy = true;
                return self.pass();
            }
            let (sender, turn) = oneshot::channel();
            state.next += 1;
            let place = (offset, state.next);
            state.waiting.insert(place, sender);
            turn
        };
        turn.await
            .expect("a waiter is dropped only with the queue, which the caller holds")
    }

    fn pass(&self) -> Pass {
        Pass { queue: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let next = {
            let mut state = self.queue.lock();
            // Who gave up left its place behind.
            state.waiting.retain(|_, waiter| !waiter.is_closed());
            let next = state.waiting.pop_first();
            state.is_busy = next.is_some();
            next
        };
        if let Some((_, waiter)) = next {
            // One that gave up in this moment drops the pass, which lets the next one through.
            drop(waiter.send(self.queue.pass()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_first_in_the_object_goes_next() {
        let queue = InOrder::default();
        let first = queue.enter(50).await;
        let mut waiting = [30, 10, 20, 10].map(|offset| Box::pin(queue.enter(offset)));
        for future in &mut waiting {
            assert!(future.now_or_never().is_none());
        }
        let [mut at_30, mut at_10, at_20, mut again_10] = waiting;
        drop(first);
        let pass = at_10.as_mut().now_or_never().unwrap();
        assert!(again_10.as_mut().now_or_never().is_none());
        // Who gives up is passed over, whether its turn has come or not.
        drop(at_20);
        drop(pass);
        drop(again_10);
        let pass = at_30.as_mut().now_or_never().unwrap();
        drop(pass);
        assert!(queue.enter(1).now_or_never().is_some());
        assert!(!queue.lock().is_busy);
    }
}
