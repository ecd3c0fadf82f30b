//! Threads that wait in pread(2): for kernels and sandboxes without io_uring.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::{Engine, EngineKind};
use crate::op::Op;

/// A thread without work ends after this long.
const IDLE: Duration = Duration::from_secs(10);

/// A pool that grows to its size as reads wait, and shrinks when none come.
#[derive(Debug)]
pub(crate) struct Threads {
    shared: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    most: usize,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Box<Op>>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Threads {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Queue {
                most: most.max(1),
                state: Mutex::default(),
                bell: Condvar::new(),
            }),
        }
    }
}

impl Engine for Threads {
    fn kind(&self) -> EngineKind {
        EngineKind::Pread
    }

    fn start(&self, op: Box<Op>) {
        let mut state = self.shared.lock();
        state.waiting.push_back(op);
        if state.idle < state.waiting.len() && state.threads < self.shared.most {
            let queue = self.shared.clone();
            let begun = std::thread::Builder::new()
                .name("forebay-pread".to_owned())
                .spawn(move || queue.work());
            match begun {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads > 0 => {
                    tracing::debug!(%error, "no more threads: the others do it");
                }
                Err(error) => {
                    let op = state.waiting.pop_back();
                    drop(state);
                    tracing::warn!(%error, "no thread to read with: reading on the caller's");
                    op.into_iter().for_each(read);
                    return;
                }
            }
        }
        drop(state);
        self.shared.bell.notify_one();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(op) = state.waiting.pop_front() {
                drop(state);
                read(op);
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .bell
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.waiting.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

/// Carries out a read on this thread.
fn read(mut op: Box<Op>) {
    let file = op.file.clone();
    let (at, memory) = op.target();
    let outcome = rustix::io::pread(&file.file, memory, at);
    op.finish(outcome);
}
