//! Write-behind: a bounded queue and two threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::buffer::DirectBuffer;
use crate::object::{CachedObject, Fill, Stored};
use crate::stats::Count;

/// Two: one copies and checks while the other waits for the disk. More only wait for each other at one disk.
const WRITERS: usize = 2;

/// What waits for the disk.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Rings when there is work, or the end.
    work: Condvar,
    /// Rings when nothing waits and nobody works.
    rest: Condvar,
    limit: u64,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Bytes that wait or are being written.
    bytes: u64,
    working: usize,
    closed: bool,
    writers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
enum Job {
    Fill(Arc<CachedObject>, Fill),
    Seal(Arc<CachedObject>),
}

impl Queue {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            rest: Condvar::new(),
            limit,
        }
    }

    /// Takes a fill, or gives it back.
    pub(crate) fn store(&self, object: Arc<CachedObject>, fill: Fill) -> Result<(), Fill> {
        let mut state = self.lock();
        // One that is larger than the limit is taken when nothing else waits: it must go some time.
        if !fill.patient && state.bytes >= self.limit {
            return Err(fill);
        }
        if state.closed || !self.start(&mut state, &object) {
            drop(state);
            settle(&object, fill, Stored::Dropped);
            return Ok(());
        }
        state.bytes += fill.len();
        state.jobs.push_back(Job::Fill(object, fill));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Has an object sealed after what waits already.
    pub(crate) fn seal(&self, object: Arc<CachedObject>) {
        let mut state = self.lock();
        if state.closed || !self.start(&mut state, &object) {
            drop(state);
            return;
        }
        state.jobs.push_back(Job::Seal(object));
        drop(state);
        self.work.notify_one();
    }

    pub(crate) fn backlog(&self) -> u64 {
        self.lock().bytes
    }

    /// Waits until nothing waits and nobody works.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        while !state.jobs.is_empty() || state.working > 0 {
            state = self.rest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what waits, then ends the threads. What comes later is dropped.
    pub(crate) fn close(&self) {
        let writers = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.writers)
        };
        self.work.notify_all();
        for writer in writers {
            // The last owner of the cache may have let it go in a `done`: then this is one of the threads.
            if writer.thread().id() != thread::current().id() {
                // Its work is caught; it cannot panic.
                let _ = writer.join();
            }
        }
    }

    /// Starts the threads with the first job; whether there is any.
    fn start(&self, state: &mut MutexGuard<'_, State>, object: &Arc<CachedObject>) -> bool {
        while state.writers.len() < WRITERS {
            let shared = object.shared.clone();
            let writer = thread::Builder::new()
                .name("cache-writer".to_owned())
                .spawn(move || shared.queue.run());
            match writer {
                Ok(writer) => state.writers.push(writer),
                Err(error) => {
                    tracing::warn!(%error, "a thread for the cache could not be started");
                    break;
                }
            }
        }
        !state.writers.is_empty()
    }

    fn run(&self) {
        let mut buffer = DirectBuffer::default();
        while let Some(job) = self.next() {
            let bytes = match job {
                Job::Fill(object, fill) => {
                    let bytes = fill.len();
                    let stored = catch_unwind(AssertUnwindSafe(|| object.write(&fill, &mut buffer)));
                    settle(&object, fill, stored.unwrap_or(Stored::Dropped));
                    bytes
                }
                Job::Seal(object) => {
                    // A panic is said by its hook; the object stays without a seal.
                    let _ = catch_unwind(AssertUnwindSafe(|| object.seal()));
                    0
                }
            };
            let mut state = self.lock();
            state.bytes -= bytes;
            state.working -= 1;
            if state.jobs.is_empty() && state.working == 0 {
                self.rest.notify_all();
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.working += 1;
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the bytes go, tells their owner, gives the memory back.
fn settle(object: &Arc<CachedObject>, fill: Fill, stored: Stored) {
    if stored == Stored::Dropped {
        object.shared.count(Count::Drops, 1);
        object.shared.count(Count::DroppedBytes, fill.len());
    }
    let Fill {
        chunks, hold, done, ..
    } = fill;
    drop(chunks);
    // The callback is not ours: if it panics, the hook says so, and the next fill is written all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| done(stored)));
    let _ = catch_unwind(AssertUnwindSafe(|| drop(hold)));
}
