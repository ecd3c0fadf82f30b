//! Write-behind: a bounded queue and two threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use crate::buffer::DirectBuffer;
use crate::fill::{Fill, Stored};
use crate::object::CachedObject;
use crate::shared::Shared;
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
    fills: VecDeque<(Arc<CachedObject>, Fill)>,
    /// Complete objects. Not held: one that waits to be sealed may leave the cache as well.
    seals: VecDeque<Weak<CachedObject>>,
    /// Bytes of fills that wait or are being written.
    bytes: u64,
    working: usize,
    sealing: bool,
    closed: bool,
    writers: Vec<JoinHandle<()>>,
}

enum Job {
    Fill(Arc<CachedObject>, Fill),
    Seal(Weak<CachedObject>),
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
        // One that is larger than the limit is taken when little else waits: it must go some time.
        if !fill.patient && state.bytes >= self.limit {
            return Err(fill);
        }
        if state.closed || !self.start(&mut state, &object) {
            drop(state);
            settle(&object.shared, fill, Stored::Dropped);
            return Ok(());
        }
        state.bytes += fill.len();
        state.fills.push_back((object, fill));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Has an object sealed when no fill waits.
    pub(crate) fn seal(&self, object: &Arc<CachedObject>) {
        let mut state = self.lock();
        if !state.closed && self.start(&mut state, object) {
            state.seals.push_back(Arc::downgrade(object));
            drop(state);
            self.work.notify_one();
        }
    }

    pub(crate) fn backlog(&self) -> u64 {
        self.lock().bytes
    }

    /// Waits until nothing waits and nobody works.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        while !state.is_at_rest() {
            state = self.rest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes the fills that wait, then ends the threads. What comes later is dropped. Objects that wait for their seal go without:
    /// each is a sync, and who reads them next has them sealed.
    pub(crate) fn close(&self) {
        let writers = {
            let mut state = self.lock();
            state.closed = true;
            state.seals.clear();
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
            match job {
                Job::Fill(object, fill) => {
                    let bytes = fill.len();
                    let stored = catch_unwind(AssertUnwindSafe(|| object.write(&fill, &mut buffer)));
                    let shared = object.shared.clone();
                    // Who is told that the bytes are there must not find the object in use by us.
                    drop(object);
                    settle(&shared, fill, stored.unwrap_or(Stored::Dropped));
                    self.lock().bytes -= bytes;
                }
                Job::Seal(object) => {
                    if let Some(object) = object.upgrade() {
                        // A panic is said by its hook; the object stays without a seal.
                        let _ = catch_unwind(AssertUnwindSafe(|| object.seal()));
                    }
                    self.lock().sealing = false;
                    // The other one may have passed over a seal meanwhile.
                    self.work.notify_one();
                }
            }
            let mut state = self.lock();
            state.working -= 1;
            if state.is_at_rest() {
                self.rest.notify_all();
            }
        }
    }

    /// Fills first, and never both threads at seals: a sync takes as long as many writes.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some((object, fill)) = state.fills.pop_front() {
                state.working += 1;
                return Some(Job::Fill(object, fill));
            }
            if !state.sealing
                && let Some(object) = state.seals.pop_front()
            {
                state.working += 1;
                state.sealing = true;
                return Some(Job::Seal(object));
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

impl State {
    fn is_at_rest(&self) -> bool {
        self.fills.is_empty() && self.seals.is_empty() && self.working == 0
    }
}

/// Lets the bytes go, tells their owner, gives the memory back.
fn settle(shared: &Shared, fill: Fill, stored: Stored) {
    if stored == Stored::Dropped {
        shared.count(Count::Drops, 1);
        shared.count(Count::DroppedBytes, fill.len());
    }
    let Fill {
        chunks, hold, done, ..
    } = fill;
    drop(chunks);
    // The callback is not ours: if it panics, the hook says so, and the next fill is written all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| done(stored)));
    let _ = catch_unwind(AssertUnwindSafe(|| drop(hold)));
}
