//! What is durable, and when a file needs its map no more.

use std::sync::PoisonError;

use super::DataFile;
use crate::overlay::attrs::Data;
use crate::overlay::error::UpperError;
use crate::overlay::sys::{sync_all, sync_data};

impl DataFile {
    /// Makes the content durable, then what is known of it, then the names that lead to it. With `data_only` times and
    /// other attributes may be lost.
    ///
    /// # Errors
    /// What the system says: what was changed since the last time may be lost by a power loss.
    pub fn sync(&self, data_only: bool) -> Result<(), UpperError> {
        self.sync_content(data_only)?;
        self.shared.sync()
    }

    pub(crate) fn sync_content(&self, data_only: bool) -> Result<(), UpperError> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let io = self.io("sync the data");
        // Taken before the data is synced: what comes meanwhile is for the next time.
        let part = {
            let mut content = self.write();
            content.map.as_mut().and_then(|map| map.take_unsafe())
        };
        let synced = if data_only {
            sync_data(&self.fd)
        } else {
            sync_all(&self.fd)
        };
        let done = synced.and_then(|()| {
            let content = self.read();
            match (&part, &content.map) {
                (Some(part), Some(map)) => map.write_safe(part, content.lower).and_then(|()| sync_data(map)),
                _ => Ok(()),
            }
        });
        if done.is_err()
            && let Some(part) = &part
            && let Some(map) = &mut self.write().map
        {
            map.put_back(part);
        }
        done.map_err(io)
    }

    /// Gives the map up, if all of the file is here: from then on [`DataFile::whole_fd`] may be written to by others, and
    /// all of it counts as changed. Returns whether that is so.
    ///
    /// # Errors
    /// What the system says: the map stays then.
    pub fn make_whole(&self) -> Result<bool, UpperError> {
        self.shared.with_room(|| {
            let mut content = self.write();
            let Some(map) = &content.map else {
                return Ok(true);
            };
            if !map.is_complete(content.limit) {
                return Ok(false);
            }
            // Else a power loss could leave a file without data that is said to be whole.
            sync_data(&self.fd).map_err(self.io("sync the data"))?;
            self.commit(Data::Whole)?;
            content.limit = 0;
            content.recorded = 0;
            self.drop_map(&mut content);
            Ok(true)
        })
    }
}
