//! Who wants to know when segments are committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::error::Try;

/// How often the file is looked at for other processes' commits: `PRAGMA data_version` is a read of shared memory.
const LOOK: Duration = Duration::from_millis(25);

/// The number of commits, and whether a thread looks for those of others.
pub(super) struct Changes {
    number: watch::Sender<u64>,
    looking: Mutex<Looking>,
}

struct Looking {
    /// `None` while the thread has it.
    db: Option<Connection>,
    running: bool,
}

impl Changes {
    pub(super) fn new(db: Connection) -> Try<Self> {
        let number = watch::Sender::new(number(&db)?);
        Ok(Self {
            number,
            looking: Mutex::new(Looking {
                db: Some(db),
                running: false,
            }),
        })
    }

    /// This process committed.
    pub(super) fn moved(&self, number: u64) {
        self.number.send_if_modified(|known| {
            let news = number > *known;
            *known = number.max(*known);
            news
        });
    }

    pub(super) fn subscribe(self: &Arc<Self>) -> watch::Receiver<u64> {
        let mut looking = lock(&self.looking);
        // Under the lock, so that a thread that is about to end sees it.
        let receiver = self.number.subscribe();
        if !looking.running
            && let Some(db) = looking.db.take()
        {
            let weak = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name("log-changes".into());
            match thread.spawn(move || look(&weak, db)) {
                Ok(_) => looking.running = true,
                Err(error) => {
                    tracing::warn!(%error, "other processes' commits are not noticed: no thread can be started");
                }
            }
        }
        receiver
    }
}

fn lock(looking: &Mutex<Looking>) -> MutexGuard<'_, Looking> {
    looking.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until no receiver is left or the store is dropped.
fn look(weak: &Weak<Changes>, db: Connection) {
    let mut seen = None;
    while let Some(changes) = weak.upgrade() {
        {
            let mut looking = lock(&changes.looking);
            if changes.number.receiver_count() == 0 {
                looking.db = Some(db);
                looking.running = false;
                return;
            }
        }
        let version = db.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        match version {
            Ok(version) if seen == Some(version) => {}
            Ok(version) => match number(&db) {
                Ok(number) => {
                    seen = Some(version);
                    changes.moved(number);
                }
                Err(error) => tracing::debug!(?error, "the number of changes cannot be read"),
            },
            Err(error) => tracing::debug!(%error, "the version of the data cannot be read"),
        }
        drop(changes);
        std::thread::sleep(LOOK);
    }
}

fn number(db: &Connection) -> Try<u64> {
    let number: i64 = db
        .prepare_cached("SELECT number FROM changes")?
        .query_row([], |row| row.get(0))?;
    Ok(number.unsigned_abs())
}
