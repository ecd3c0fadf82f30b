//! The content of a file, opened or taken up.

use std::sync::{Arc, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs;
use rustix::io::Errno;

use super::create::{NEEDED, NewNode, give};
use super::{Upper, not_a_file};
use crate::overlay::attrs::{Attrs, Data, NodeId, Origin};
use crate::overlay::data::{Content, DataFile};
use crate::overlay::error::UpperError;
use crate::overlay::layout::{data_name, map_name};
use crate::overlay::map::Map;
use crate::overlay::record::Change;
use crate::overlay::sys::{size_of, timespec};

impl Upper {
    /// The content of a file. A lower file of which nothing is here gets an empty data file of its size, its attributes, and a
    /// map that says that everything is below. All callers get the same one.
    ///
    /// # Errors
    /// [`UpperError::Stale`]; [`UpperError::Invalid`] of what is no file; the disk.
    pub fn data(&self, id: NodeId) -> Result<Arc<DataFile>, UpperError> {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&id).and_then(|file| file.upgrade()) {
            return Ok(file);
        }
        let (data, origin, attrs, changed) = {
            let inner = self.shared.read();
            let node = inner.node(id)?;
            let file = node.file().ok_or_else(|| not_a_file(id))?;
            // Now, so that it does not go while its files are opened.
            node.holds.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
            (file.data, file.origin.clone(), node.attrs, node.changed)
        };
        let opened = match (data, &origin) {
            (Data::Whole, _) | (_, None) => self.open_file(id).map(|fd| (fd, Content::whole())),
            (Data::Mapped { limit }, Some(origin)) => self.open_mapped(id, origin, limit),
            (Data::Lower, Some(origin)) => self.materialise(id, origin, &attrs, changed),
        };
        match opened {
            Ok((fd, content)) => {
                let file = DataFile::new(&self.shared, id, fd, content);
                open.insert(id, Arc::downgrade(&file));
                Ok(file)
            }
            Err(error) => {
                drop(open);
                self.shared.release(id);
                Err(error)
            }
        }
    }

    fn open_file(&self, id: NodeId) -> Result<OwnedFd, UpperError> {
        self.shared
            .layout
            .open_data(&data_name(id))
            .map_err(UpperError::io("open the data", id))
    }

    fn open_mapped(&self, id: NodeId, origin: &Origin, limit: u64) -> Result<(OwnedFd, Content), UpperError> {
        let io = UpperError::io("open the map", id);
        let fd = self.open_file(id)?;
        let map = self.shared.layout.open_data(&map_name(id)).map_err(&io)?;
        let Some(map) = Map::open(map, origin.size).map_err(&io)? else {
            // Damaged: which bytes are from below cannot be told.
            tracing::error!(%id, map = %self.shared.layout.path("data").join(map_name(id)).display(), "a map is damaged");
            return Err(io(Errno::IO));
        };
        let len = size_of(&fd).map_err(&io)?;
        Ok((fd, Content::mapped(map, origin.size, limit, len)))
    }

    /// Files first, then the journal: a killed process leaves files that nothing needs, and the next start removes them.
    fn materialise(
        &self,
        id: NodeId,
        origin: &Origin,
        attrs: &Attrs,
        changed: bool,
    ) -> Result<(OwnedFd, Content), UpperError> {
        let made = self.shared.with_room(|| {
            let made = self.make_mapped(id, origin, attrs);
            made.map_err(UpperError::io("take up the data", id))
                .inspect_err(|_| self.unmake(id))
        });
        let (fd, map) = made?;
        let limit = origin.size;
        let hidden = !attrs.mode & NEEDED;
        let committed = self.shared.change(|inner| {
            let mut changes = vec![Change::Data {
                id,
                data: Data::Mapped { limit },
            }];
            if hidden != 0 || changed {
                changes.push(Change::Changed { id, hidden });
            }
            inner.commit_to(id, &changes)
        });
        if let Err(error) = committed {
            self.unmake(id);
            return Err(error);
        }
        Ok((fd, Content::mapped(map, origin.size, limit, limit)))
    }

    fn make_mapped(&self, id: NodeId, origin: &Origin, attrs: &Attrs) -> Result<(OwnedFd, Map), Errno> {
        let map = self.shared.layout.create(&map_name(id))?;
        let map = Map::create(map, origin.size)?;
        let fd = self.shared.layout.create(&data_name(id))?;
        fs::ftruncate(&fd, origin.size)?;
        let new = NewNode {
            mode: attrs.mode,
            uid: attrs.uid,
            gid: attrs.gid,
        };
        give(&fd, new)?;
        let times = fs::Timestamps {
            last_access: timespec(attrs.atime),
            last_modification: timespec(attrs.mtime),
        };
        fs::futimens(&fd, &times)?;
        Ok((fd, map))
    }

    fn unmake(&self, id: NodeId) {
        // What cannot be removed now, the next start removes.
        let _ = self.shared.layout.remove(&data_name(id));
        let _ = self.shared.layout.remove(&map_name(id));
    }
}
