//! What is durable: files before the records that need them, and the end of files after the records that say so.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Dead, Need, Shared};
use crate::overlay::attrs::NodeId;
use crate::overlay::compact;
use crate::overlay::error::UpperError;
use crate::overlay::journal::NotAppended;
use crate::overlay::layout::{data_name, map_name};
use crate::overlay::record::Change;
use crate::overlay::sys::{sync_all, sync_data};

impl Shared {
    /// Makes every change so far durable, with the files that it needs. Concurrent callers share one sync.
    pub(crate) fn sync(&self) -> Result<(), UpperError> {
        let target = self.read().seq;
        let mut synced = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= target && self.read().dead.is_empty() {
            return Ok(());
        }
        if self.read().journal.doubtful {
            return self.rewrite_now(&mut synced);
        }
        let (need, dead, seq, covers) = {
            let mut inner = self.write();
            inner.dead_bytes = 0;
            let need = std::mem::take(&mut inner.need);
            let dead = std::mem::take(&mut inner.dead);
            (need, dead, inner.seq, inner.journal.len())
        };
        let done = self.sync_records(&need, *synced < seq, covers);
        if let Err(error) = done {
            self.put_back(need, dead);
            return Err(error);
        }
        *synced = seq;
        self.bury(dead);
        Ok(())
    }

    fn sync_records(&self, need: &HashMap<NodeId, Need>, news: bool, covers: u64) -> Result<(), UpperError> {
        if !news {
            return Ok(());
        }
        self.sync_files(need)?;
        let (fd, end) = {
            let mut inner = self.write();
            let durable = inner.journal.durable;
            match inner.journal.append(&[Change::Marker { covers, durable }]) {
                // On a full disk it goes without: see "What holds".
                Ok(()) | Err(NotAppended::Io(_)) => {}
                Err(NotAppended::Broken) => return Err(UpperError::Broken),
            }
            (inner.journal.fd(), inner.journal.len())
        };
        let failed = UpperError::io("sync the names", NodeId::ROOT);
        match sync_data(&*fd) {
            Ok(()) => self.write().journal.durable = end,
            Err(e) => {
                // What did not reach the disk may count as written now, so syncing again would prove nothing.
                self.write().journal.doubtful = true;
                return Err(failed(e));
            }
        }
        Ok(())
    }

    /// Makes durable what records rely on.
    pub(crate) fn sync_files(&self, need: &HashMap<NodeId, Need>) -> Result<(), UpperError> {
        for (&id, need) in need {
            if *need == Need::File {
                for name in [data_name(id), map_name(id)] {
                    match self.layout.open_data(&name) {
                        Ok(fd) => {
                            sync_all(&fd).map_err(UpperError::io("sync the data", id))?;
                        }
                        // Gone since, or whole.
                        Err(Errno::NOENT) => {}
                        Err(e) => return Err(UpperError::io("sync the data", id)(e)),
                    }
                }
            }
        }
        self.layout
            .sync_names(need.keys().copied())
            .map_err(UpperError::io("sync the files", NodeId::ROOT))
    }

    fn put_back(&self, need: HashMap<NodeId, Need>, dead: Vec<Dead>) {
        let mut inner = self.write();
        for (id, need) in need {
            inner.need(id, need);
        }
        inner.dead.extend(dead);
    }

    /// Removes files of nodes that are gone from a durable journal.
    fn bury(&self, dead: Vec<Dead>) {
        for dead in dead {
            let done = match dead {
                Dead::Node(id) => {
                    let data = self.layout.remove(&data_name(id));
                    self.layout.remove(&map_name(id)).and(data)
                }
                Dead::Map(id) => self.layout.remove(&map_name(id)),
            };
            if let Err(error) = done {
                tracing::warn!(%error, ?dead, "a file of the overlay could not be removed; the next start tries again");
            }
        }
    }

    /// Writes the journal anew, without history.
    pub(crate) fn rewrite(&self) -> Result<(), UpperError> {
        let mut synced = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.rewrite_now(&mut synced)
    }

    fn rewrite_now(&self, synced: &mut MutexGuard<'_, u64>) -> Result<(), UpperError> {
        let need = std::mem::take(&mut self.write().need);
        if let Err(error) = self.sync_files(&need) {
            self.put_back(need, Vec::new());
            return Err(error);
        }
        let dead = {
            let mut inner = self.write();
            // What came while the others were synced: few.
            self.sync_files(&inner.need)?;
            inner.journal = compact::write(&self.layout, &inner.state)
                .map_err(UpperError::io("rewrite the names", NodeId::ROOT))?;
            inner.need.clear();
            if inner.journal.doubtful {
                return Err(UpperError::io("sync the directory", NodeId::ROOT)(Errno::IO));
            }
            inner.dead_bytes = 0;
            **synced = inner.seq;
            std::mem::take(&mut inner.dead)
        };
        self.bury(dead);
        Ok(())
    }
}
