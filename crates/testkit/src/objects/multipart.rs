//! Multipart uploads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Attributes, Object, Objects, Preconditions, StoreError, now};
use crate::Content;

/// An upload that was begun and neither completed nor aborted.
pub(super) struct Upload {
    bucket: String,
    key: String,
    attributes: Attributes,
    parts: BTreeMap<u32, Object>,
}

/// A part that lies ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// Its number, from 1.
    pub number: u32,
    /// Its ETag, with quotes.
    pub etag: String,
    /// Its length in bytes.
    pub size: u64,
}

impl Objects {
    /// Begins an upload and returns its id.
    pub fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        attributes: Attributes,
    ) -> Result<String, StoreError> {
        let mut state = self.write();
        state.open(bucket)?;
        let id = format!("upload-{:08x}", state.next_serial());
        let upload = Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            attributes,
            parts: BTreeMap::new(),
        };
        state.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// Stores a part, in place of an earlier one of the same number, and returns its ETag.
    pub fn put_part(&self, upload: &str, number: u32, content: Content) -> Result<String, StoreError> {
        let mut state = self.write();
        let part = Object::new(state.next_serial(), content, Attributes::default(), now());
        let etag = part.etag.clone();
        let upload = state
            .uploads
            .get_mut(upload)
            .ok_or_else(|| StoreError::NoSuchUpload(upload.to_owned()))?;
        upload.parts.insert(number, part);
        Ok(etag)
    }

    /// The parts that lie ready, in order.
    pub fn parts(&self, upload: &str) -> Result<Vec<PartInfo>, StoreError> {
        let state = self.read();
        let upload = state
            .uploads
            .get(upload)
            .ok_or_else(|| StoreError::NoSuchUpload(upload.to_owned()))?;
        let info = |(number, part): (&u32, &Object)| PartInfo {
            number: *number,
            etag: part.etag.clone(),
            size: part.size(),
        };
        Ok(upload.parts.iter().map(info).collect())
    }

    /// The uploads under way in a bucket: (key, id).
    pub fn uploads(&self, bucket: &str) -> Vec<(String, String)> {
        let state = self.read();
        let here = state.uploads.iter().filter(|(_, upload)| upload.bucket == bucket);
        here.map(|(id, upload)| (upload.key.clone(), id.clone()))
            .collect()
    }

    /// Joins the parts listed (number and, if given, ETag) into the object, if its key meets the conditions.
    /// A failed condition leaves the upload as it is, as in S3.
    pub fn complete_upload(
        &self,
        upload: &str,
        parts: &[(u32, Option<String>)],
        conditions: &Preconditions,
    ) -> Result<Arc<Object>, StoreError> {
        let mut state = self.write();
        let found = state
            .uploads
            .get(upload)
            .ok_or_else(|| StoreError::NoSuchUpload(upload.to_owned()))?;
        if !parts.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(StoreError::InvalidPartOrder);
        }
        let content = |(number, etag): &(u32, Option<String>)| {
            let part = found.parts.get(number).filter(|part| {
                etag.as_ref()
                    .is_none_or(|etag| etag.trim_matches('"') == part.etag.trim_matches('"'))
            });
            part.map(|part| part.content.clone())
                .ok_or(StoreError::InvalidPart(*number))
        };
        let contents = parts.iter().map(content).collect::<Result<Vec<_>, _>>()?;
        let (bucket, key) = (found.bucket.clone(), found.key.clone());
        let attributes = found.attributes.clone();
        state.check(&bucket, &key, conditions)?;
        state.uploads.remove(upload);
        Ok(state.store(&bucket, &key, Content::Chain(contents.into()), attributes))
    }

    /// Forgets an upload and its parts.
    pub fn abort_upload(&self, upload: &str) -> Result<(), StoreError> {
        let removed = self.write().uploads.remove(upload);
        removed
            .map(drop)
            .ok_or_else(|| StoreError::NoSuchUpload(upload.to_owned()))
    }
}
