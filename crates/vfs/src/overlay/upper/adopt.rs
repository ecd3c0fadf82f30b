//! Lower things that become known above, so that they can be changed.

use super::{Upper, entry};
use crate::overlay::attrs::{Attrs, Data, NodeId, Origin};
use crate::overlay::error::UpperError;
use crate::overlay::map::MAX_SIZE;
use crate::overlay::names::shown;
use crate::overlay::record::{Change, NewBody, Slot};
use crate::overlay::shared::Inner;

/// Longest path or version of a lower thing: as long as keys can be.
const MAX_TEXT: usize = forebay_types::limits::MAX_KEY_BYTES;

impl Upper {
    /// The lower directory `origin` becomes known as `name` in `parent`, with all that is in it. Nothing changes by that. If
    /// it is known there already, its node comes back.
    ///
    /// # Errors
    /// [`UpperError::NoEntry`] if the name was removed; [`UpperError::Exists`] if it is something else.
    pub fn adopt_dir(
        &self,
        parent: NodeId,
        name: &[u8],
        origin: &str,
        attrs: Attrs,
    ) -> Result<NodeId, UpperError> {
        check_len("the path of a lower directory", origin)?;
        let body = NewBody::Dir {
            origin: Some(origin.into()),
        };
        self.adopt(parent, name, attrs, &body, |inner, id| {
            inner
                .dir(id)
                .is_ok_and(|dir| dir.origin.as_deref() == Some(origin))
        })
    }

    /// The lower file `origin` becomes known as `name` in `parent`. Nothing changes by that. If it is known there already, its
    /// node comes back.
    ///
    /// # Errors
    /// [`UpperError::NoEntry`] if the name was removed; [`UpperError::Exists`] if it is something else;
    /// [`UpperError::TooLong`].
    pub fn adopt_file(
        &self,
        parent: NodeId,
        name: &[u8],
        origin: &Origin,
        attrs: Attrs,
    ) -> Result<NodeId, UpperError> {
        check_len("the path of a lower file", &origin.path)?;
        check_len("the version of a lower file", &origin.version)?;
        if origin.size > MAX_SIZE {
            return Err(UpperError::TooLong {
                what: "a lower file",
                max: MAX_SIZE as usize,
            });
        }
        let body = NewBody::File {
            origin: Some(origin.clone()),
            data: Data::Lower,
            hidden: 0,
        };
        self.adopt(parent, name, attrs, &body, |inner, id| {
            let file = inner.node(id).ok().and_then(|node| node.file());
            file.is_some_and(|file| file.origin.as_ref() == Some(origin))
        })
    }

    fn adopt(
        &self,
        parent: NodeId,
        name: &[u8],
        attrs: Attrs,
        body: &NewBody,
        is_it: impl Fn(&Inner, NodeId) -> bool,
    ) -> Result<NodeId, UpperError> {
        let new = self.shared.new_id();
        self.shared.change(|inner| {
            let place = inner.place(parent, name)?;
            match place.entries.get(name) {
                Some(Slot::Node(id)) if is_it(inner, *id) => return Ok(*id),
                Some(Slot::Node(_)) => return Err(UpperError::Exists { name: shown(name) }),
                Some(Slot::Whiteout) => return Err(UpperError::NoEntry { name: shown(name) }),
                None if place.origin.is_none() => {
                    return Err(UpperError::NoEntry { name: shown(name) });
                }
                None => {}
            }
            let changes = [
                Change::Node {
                    id: new,
                    attrs,
                    changed: false,
                    body: body.clone(),
                },
                entry(parent, name, Some(Slot::Node(new))),
            ];
            inner.commit(new, &changes)?;
            Ok(new)
        })
    }
}

pub(super) fn check_len(what: &'static str, text: &str) -> Result<(), UpperError> {
    if text.len() > MAX_TEXT {
        return Err(UpperError::TooLong { what, max: MAX_TEXT });
    }
    Ok(())
}
