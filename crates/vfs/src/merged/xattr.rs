//! Extended attributes: those that begin with `user.`. Lower things have none.

use super::numbers::Side;
use super::{Merged, MergedError};
use crate::ino::Ino;
use crate::overlay::{NodeId, SetXattr, UpperError, is_kept, shown};

impl Merged {
    /// The value of an attribute.
    ///
    /// # Errors
    /// [`UpperError::NoAttribute`] and [`MergedError::NoAttribute`]; [`UpperError::Unsupported`]; [`MergedError::Stale`]; the
    /// disk.
    ///
    /// # Cancel safety
    /// Nothing is lost; so with the others.
    pub async fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Box<[u8]>, MergedError> {
        match self.known(ino)? {
            Some(id) => Ok(self.shared.upper.xattr(id, name)?),
            None => Err(missing(ino, name)),
        }
    }

    /// The names of all attributes.
    ///
    /// # Errors
    /// [`MergedError::Stale`]; the disk.
    pub async fn xattrs(&self, ino: Ino) -> Result<Vec<Box<[u8]>>, MergedError> {
        match self.known(ino)? {
            Some(id) => Ok(self.shared.upper.xattrs(id)?),
            None => Ok(Vec::new()),
        }
    }

    /// Sets an attribute, which makes the thing known above.
    ///
    /// # Errors
    /// [`UpperError::AttributeExists`], [`UpperError::NoAttribute`] and [`MergedError::NoAttribute`] as `how` wants it;
    /// [`UpperError::Unsupported`], [`UpperError::NotPermitted`], [`UpperError::TooLong`]; the disk.
    pub async fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<(), MergedError> {
        if self.known(ino)?.is_none() && (how == SetXattr::Replace || !is_kept(name)) {
            return Err(missing(ino, name));
        }
        let id = self.raise(ino).await?;
        Ok(self.shared.upper.set_xattr(id, name, value, how)?)
    }

    /// Takes an attribute away.
    ///
    /// # Errors
    /// [`UpperError::NoAttribute`] and [`MergedError::NoAttribute`]; [`UpperError::Unsupported`],
    /// [`UpperError::NotPermitted`]; the disk.
    pub async fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<(), MergedError> {
        match self.known(ino)? {
            Some(id) => Ok(self.shared.upper.remove_xattr(id, name)?),
            None => Err(missing(ino, name)),
        }
    }

    fn known(&self, ino: Ino) -> Result<Option<NodeId>, MergedError> {
        match self.shared.numbers.side(ino)? {
            Side::Node(id) => Ok(Some(id)),
            Side::Lower | Side::Gone(_) => Ok(None),
        }
    }
}

/// What something says that has no attributes.
fn missing(ino: Ino, name: &[u8]) -> MergedError {
    let name = shown(name);
    if is_kept(name.as_bytes()) {
        MergedError::NoAttribute { ino, name }
    } else {
        MergedError::Upper(UpperError::Unsupported { name })
    }
}
