//! The thread in the background: scans at the start, posts figures once a second while there are any, closes what is idle.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::shared::Shared;

/// News is posted this often: a process that is killed loses a second of counters.
const POST_EVERY: Duration = Duration::from_secs(1);

/// Wakes the keeper.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<Rung>,
    rang: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    news: bool,
    forget: bool,
    end: bool,
}

impl Bell {
    /// There is something to post.
    pub(crate) fn ring(&self) {
        self.lock().news = true;
        self.rang.notify_all();
    }

    /// The directory was cleared by another process.
    pub(crate) fn ask_to_forget(&self) {
        let mut rung = self.lock();
        rung.news = true;
        rung.forget = true;
        drop(rung);
        self.rang.notify_all();
    }

    /// Whether somebody asked for it since the last time.
    pub(crate) fn take_forget(&self) -> bool {
        std::mem::take(&mut self.lock().forget)
    }

    /// The cache is closed.
    pub(crate) fn end(&self) {
        self.lock().end = true;
        self.rang.notify_all();
    }

    /// Whether the cache is closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().end
    }

    /// Waits for news, or for `at_most` if that is given; `false` at the end.
    fn wait(&self, at_most: Option<Duration>) -> bool {
        let mut rung = self.lock();
        while !rung.news && !rung.end {
            rung = match at_most {
                None => self.rang.wait(rung).unwrap_or_else(PoisonError::into_inner),
                Some(time) => {
                    let waited = self.rang.wait_timeout(rung, time);
                    let (rung, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return !rung.end;
                    }
                    rung
                }
            };
        }
        rung.news = false;
        !rung.end
    }

    /// Lets news gather; `false` at the end.
    fn gather(&self) -> bool {
        let waited = self
            .rang
            .wait_timeout_while(self.lock(), POST_EVERY, |rung| !rung.end && !rung.forget);
        !waited.unwrap_or_else(PoisonError::into_inner).0.end
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keeper's life.
pub(crate) fn keep(shared: &Arc<Shared>) {
    shared.first_scan();
    loop {
        // While something is open, somebody must look whether it is still used.
        let at_most = shared.open.any_open().then_some(POST_EVERY);
        if !shared.bell.wait(at_most) || (shared.counts.is_dirty() && !shared.bell.gather()) {
            return;
        }
        shared.keep_up();
    }
}

impl Shared {
    /// Posts what is pending and does what other processes ask for.
    pub(crate) fn keep_up(&self) {
        // Who flushes waits for what the keeper has begun.
        let _one = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.counts.is_dirty() {
            self.update(|_| ());
        }
        if self.bell.take_forget() {
            self.forget_all();
            // Whoever cleared it did not know what is under way here.
            let mut scans = self.room.lock().unwrap_or_else(PoisonError::into_inner);
            self.scan(&mut scans);
        }
        self.detach_idle();
        if let Ok(mut scans) = self.room.try_lock()
            && scans.is_due_again(self.clock.now())
        {
            self.scan(&mut scans);
        }
    }
}
