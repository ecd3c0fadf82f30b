//! A few connections that only read, each used by one call at a time on the blocking pool.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay_types::ErrorKind;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::error::{MetadataError, Result};
use super::error::{Try, say};
use super::schema;

/// Lookups take tens of microseconds: more than this many at once gain nothing.
const CONNECTIONS: usize = 4;

/// The connections that are free. Cheap to clone.
#[derive(Clone)]
pub(super) struct Readers {
    name: Arc<str>,
    free: Arc<Mutex<Vec<Connection>>>,
    /// As many permits as there are connections.
    turn: Arc<Semaphore>,
}

/// A connection that goes back when this is dropped, before the next one in line wakes.
struct Taken {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            lock(&self.free).push(connection);
        }
    }
}

fn lock(free: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers {
    pub(super) fn new(path: &Path, name: Arc<str>) -> Result<Self> {
        let free: Try<Vec<_>> = (0..CONNECTIONS).map(|_| schema::reader(path)).collect();
        let free = free.map_err(|failure| say(&name, failure))?;
        Ok(Self {
            name,
            free: Arc::new(Mutex::new(free)),
            turn: Arc::new(Semaphore::new(CONNECTIONS)),
        })
    }

    /// Runs `work` with what was committed when it began: all it reads is of one moment.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Try<T> + Send + 'static,
    ) -> Result<T> {
        let gone = |what: String| MetadataError::Store {
            store: self.name.to_string(),
            what,
            kind: ErrorKind::Internal,
        };
        let turn = Arc::clone(&self.turn)
            .acquire_owned()
            .await
            .map_err(|error| gone(error.to_string()))?;
        let taken = Taken {
            connection: lock(&self.free).pop(),
            free: Arc::clone(&self.free),
            _turn: turn,
        };
        let name = Arc::clone(&self.name);
        let answer = tokio::task::spawn_blocking(move || {
            let Some(db) = &taken.connection else {
                return Err(MetadataError::Store {
                    store: name.to_string(),
                    what: "it has no free connection".into(),
                    kind: ErrorKind::Internal,
                });
            };
            let steps = || {
                let snapshot = db.unchecked_transaction()?;
                let answer = work(&snapshot)?;
                snapshot.commit()?;
                Ok(answer)
            };
            steps().map_err(|failure| say(&name, failure))
        });
        answer
            .await
            .map_err(|error| gone(format!("a lookup failed: {error}")))?
    }
}
