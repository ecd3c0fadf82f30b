//! Lower things that become known above, with all directories that lead to them.

use std::time::Duration;

use super::attr::{mode, nanos};
use super::numbers::Side;
use super::{Merged, MergedError};
use crate::attr::Attr;
use crate::ino::{Ino, Kind};
use crate::overlay::{Attrs, NewNode, NodeId, Origin, SetAttrs, SetTime, UpperError};
use crate::tree::Lineage;

impl Merged {
    /// The node of a number. A lower thing becomes known above as it is now; no content is copied.
    pub(super) async fn raise(&self, ino: Ino) -> Result<NodeId, MergedError> {
        match self.shared.numbers.side(ino)? {
            Side::Node(id) => return Ok(id),
            Side::Gone(_) => return Err(MergedError::Stale { ino }),
            Side::Lower => {}
        }
        let attr = self.tree().attr(ino).await;
        let line = self.tree().lineage(ino).ok_or(MergedError::Stale { ino })?;
        let _alone = self.shared.numbers.raising();
        match self.shared.numbers.side(ino)? {
            Side::Node(id) => return Ok(id),
            Side::Gone(_) => return Err(MergedError::Stale { ino }),
            Side::Lower => {}
        }
        let raised = self.raise_line(&line).and_then(|parent| {
            let attr = attr.as_ref().map_err(|error| MergedError::Lower(error.clone()))?;
            let id = self.adopt(parent, &line, attr)?;
            let place = (parent, line.name.as_bytes());
            self.shared.numbers.came_up(&self.shared.upper, ino, id, place)?;
            Ok(id)
        });
        raised.map_err(|error| match error {
            // Removed by its name, but for this number nobody said so.
            MergedError::Upper(UpperError::NoEntry { .. } | UpperError::Exists { .. }) => {
                MergedError::Stale { ino }
            }
            error => error,
        })
    }

    /// Makes the directories known that lead to a lower thing; returns the last. `raising` is held.
    fn raise_line(&self, line: &Lineage) -> Result<NodeId, MergedError> {
        let numbers = &self.shared.numbers;
        let known = line.above.iter().enumerate().rev();
        let mut known = known.filter_map(|(at, dir)| Some((at, numbers.node(dir.ino)?)));
        let (at, mut node) = known.next().unwrap_or((0, NodeId::ROOT));
        for dir in line.above.iter().skip(at + 1) {
            let options = &self.shared.options;
            let attrs = self.attrs(options.dir_mode, Duration::from_nanos(dir.modified));
            let name = dir.name().as_bytes();
            let id = self
                .shared
                .upper
                .adopt_dir(node, name, dir.path.as_str(), attrs)?;
            numbers.came_up(&self.shared.upper, dir.ino, id, (node, name))?;
            node = id;
        }
        Ok(node)
    }

    fn adopt(&self, parent: NodeId, line: &Lineage, attr: &Attr) -> Result<NodeId, MergedError> {
        let upper = &self.shared.upper;
        let name = line.name.as_bytes();
        let attrs = self.attrs(mode(&self.shared.options, attr), attr.modified);
        match attr.kind {
            Kind::Dir => Ok(upper.adopt_dir(parent, name, &line.path(), attrs)?),
            Kind::File => {
                let origin = Origin {
                    path: line.path().into(),
                    version: attr.version.to_text().into(),
                    size: attr.size,
                    mtime: nanos(attr.modified),
                };
                Ok(upper.adopt_file(parent, name, &origin, attrs)?)
            }
            Kind::Symlink => {
                // It is made anew, and what is known of the name must not be overwritten by that.
                if upper.entry(parent, name)?.is_some() {
                    return Err(MergedError::exists(name));
                }
                let target = self.tree().link_target(attr.ino)?;
                let new = NewNode {
                    mode: attrs.mode,
                    uid: attrs.uid,
                    gid: attrs.gid,
                };
                let id = upper.symlink(parent, name, target.as_bytes(), new)?;
                let times = SetAttrs {
                    atime: Some(SetTime::At(attrs.atime)),
                    mtime: Some(SetTime::At(attrs.mtime)),
                    ..SetAttrs::default()
                };
                upper.set_attrs(id, &times)?;
                Ok(id)
            }
        }
    }

    /// Attributes of a lower thing.
    fn attrs(&self, mode: u32, modified: Duration) -> Attrs {
        let modified = nanos(modified);
        Attrs {
            mode,
            uid: self.shared.options.uid,
            gid: self.shared.options.gid,
            atime: modified,
            mtime: modified,
            ctime: modified,
        }
    }
}
