//! The one thread that writes.
//!
//! Calls come as closures in a queue. All that wait when a transaction begins share it: each runs in a savepoint, so that
//! one that fails takes only itself back, and one sync makes all of them durable. If the transaction as a whole fails
//! (the disk is full), each is tried again in a transaction of its own: none fails for another's sake.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use forebay_types::{Clock, ErrorKind};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Semaphore, oneshot};

use super::super::error::{MetadataError, Result};
use super::super::rules::Failure;
use super::changes::Changes;
use super::error::{Try, say};

/// Most calls in one transaction, and most that wait.
const TOGETHER: usize = 256;

/// The transaction that a call runs in.
pub(super) struct Tx<'a> {
    db: &'a Connection,
    name: &'a str,
    /// Wall time, in milliseconds since 1970. Later than that of every transaction before, unless the clock was set.
    pub(super) now: i64,
    /// The number of changes, if this transaction moved it on.
    changed: Cell<Option<u64>>,
}

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.db
    }
}

impl Tx<'_> {
    /// The store's name in messages.
    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// Says that segments were committed.
    pub(super) fn changed(&self) -> Try<()> {
        let number: i64 = self
            .prepare_cached("UPDATE changes SET number = number + 1 RETURNING number")?
            .query_row([], |row| row.get(0))?;
        self.changed.set(Some(number.unsigned_abs()));
        Ok(())
    }
}

/// Wall time in milliseconds since 1970.
pub(super) fn wall_ms(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.wall().as_millis()).unwrap_or(i64::MAX)
}

trait Job: Send {
    /// Does the work; may be called again after its transaction failed.
    fn run(&mut self, tx: &Tx<'_>) -> Try<()>;
    /// Tells the caller. What [`Self::run`] answered counts if the transaction was committed.
    fn tell(self: Box<Self>, committed: Result<()>);
    /// Whether the caller went away.
    fn given_up(&self) -> bool;
}

struct Call<T, F> {
    work: F,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&Tx<'_>) -> Try<T> + Send> Job for Call<T, F> {
    fn run(&mut self, tx: &Tx<'_>) -> Try<()> {
        self.answer = Some((self.work)(tx)?);
        Ok(())
    }

    fn tell(self: Box<Self>, committed: Result<()>) {
        let answer = match (committed, self.answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Err(error), _) => Err(error),
            // Nobody is told of success before the work was done.
            (Ok(()), None) => return,
        };
        // The caller may have gone away.
        let _ = self.reply.send(answer);
    }

    fn given_up(&self) -> bool {
        self.reply.is_closed()
    }
}

/// The thread's queue. The thread ends, its queue done, when this is dropped.
pub(super) struct Writer {
    name: Arc<str>,
    queue: SyncSender<Box<dyn Job>>,
    /// As many permits as the queue has places, so that it is never full to who has one.
    room: Arc<Semaphore>,
}

struct Thread {
    db: Connection,
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    changes: Arc<Changes>,
}

impl Writer {
    pub(super) fn start(
        db: Connection,
        name: Arc<str>,
        clock: Arc<dyn Clock>,
        changes: Arc<Changes>,
    ) -> Result<Self> {
        let (queue, calls) = sync_channel(TOGETHER);
        let mut thread = Thread {
            db,
            name: Arc::clone(&name),
            clock,
            changes,
        };
        std::thread::Builder::new()
            .name("log-metadata".into())
            .spawn(move || thread.serve(&calls))
            .map_err(|error| MetadataError::Store {
                store: name.to_string(),
                what: format!("its thread cannot be started: {error}"),
                kind: ErrorKind::Unavailable,
            })?;
        Ok(Self {
            name,
            queue,
            room: Arc::new(Semaphore::new(TOGETHER)),
        })
    }

    /// Runs `work` in a transaction; durable when this returns. `work` may run more than once, each time anew.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnMut(&Tx<'_>) -> Try<T> + Send + 'static,
    ) -> Result<T> {
        let ended = || MetadataError::Store {
            store: self.name.to_string(),
            what: "its thread has ended".into(),
            kind: ErrorKind::Internal,
        };
        let room = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(|_| ended())?;
        let (reply, answer) = oneshot::channel();
        let mut work = work;
        let call = Call {
            // The permit goes when the call goes, wherever that is.
            work: move |tx: &Tx<'_>| {
                let _room = &room;
                work(tx)
            },
            answer: None,
            reply,
        };
        let mut call: Box<dyn Job> = Box::new(call);
        loop {
            match self.queue.try_send(call) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return Err(ended()),
                // A call holds its permit for a moment longer than its place, never shorter.
                Err(TrySendError::Full(back)) => {
                    call = back;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        answer.await.map_err(|_| ended())?
    }
}

impl Thread {
    fn serve(&mut self, calls: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = calls.recv() {
            let mut jobs = vec![first];
            while jobs.len() < TOGETHER
                && let Ok(next) = calls.try_recv()
            {
                jobs.push(next);
            }
            jobs.retain(|job| !job.given_up());
            self.together(jobs);
        }
    }

    /// All of them in one transaction, or each in its own if that fails.
    fn together(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        match self.attempt(&mut jobs) {
            Ok(outcomes) => {
                for (job, outcome) in jobs.into_iter().zip(outcomes) {
                    job.tell(outcome.map_err(|failure| say(&self.name, failure)));
                }
            }
            Err(failure) => match jobs.pop() {
                Some(only) if jobs.is_empty() => only.tell(Err(say(&self.name, failure))),
                last => {
                    for job in jobs.into_iter().chain(last) {
                        self.together(vec![job]);
                    }
                }
            },
        }
    }

    /// What each came to, committed. Fails if there is no telling, then nothing was done.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Try<Vec<Try<()>>> {
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tx = Tx {
            db: &transaction,
            name: &self.name,
            now: wall_ms(&*self.clock),
            changed: Cell::new(None),
        };
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let before = tx.changed.get();
            tx.prepare_cached("SAVEPOINT one")?.execute([])?;
            let outcome = job.run(&tx);
            if outcome.is_err() {
                if tx.is_autocommit() {
                    // The error was one that ends the whole transaction (a full disk, an I/O error).
                    return Err(match outcome {
                        Err(failure) => failure,
                        Ok(()) => Failure::Wrong("a transaction ended by itself".into()),
                    });
                }
                tx.changed.set(before);
                tx.prepare_cached("ROLLBACK TO one")?.execute([])?;
            }
            tx.prepare_cached("RELEASE one")?.execute([])?;
            outcomes.push(outcome);
        }
        let changed = tx.changed.get();
        transaction.commit()?;
        if let Some(number) = changed {
            self.changes.moved(number);
        }
        Ok(outcomes)
    }
}
