//! What a commit put that was interrupted before it heard so.
//!
//! What is about to be put at a path is noted above first: the hash of a content, or the version of which a copy is made. If the
//! process ends then, the object may be there, and nobody knows its version; and if the file is changed before the next commit,
//! the object is neither what it was nor what the file is. It is the one of the note all the same, so it is ours to replace, or to
//! remove where nothing is to be any more.

use forebay_manifest::{Hash, Hasher};
use forebay_source::version_of;
use forebay_types::ByteRange;
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use super::{COMPARE, Objects};
use crate::commit::bring::cut;
use crate::commit::bucket::plan::Versions;
use crate::commit::error::CommitError;

/// What is about to be put, as it is noted.
#[derive(Clone, Debug)]
pub(super) enum Note<'a> {
    /// A content of this hash.
    Content(&'a Hash),
    /// A copy of an object in this version.
    Copy { path: &'a str, version: &'a str },
}

/// Between the parts of a note: no path has it.
const PART: char = '\0';

impl Note<'_> {
    fn text(&self) -> String {
        match self {
            Self::Content(hash) => format!("xxh128{PART}{hash}"),
            Self::Copy { path, version } => format!("copy{PART}{version}{PART}{path}"),
        }
    }
}

impl Objects {
    /// Notes what is about to be put.
    pub(super) fn going(&self, path: &str, note: &Note<'_>) -> Result<(), CommitError> {
        let noted = self.merged.upper().record_sent(path, &note.text());
        noted.map_err(CommitError::overlay(path.as_bytes()))
    }

    /// Which objects are what interrupted commits put, and in which version. Looked for before anything is changed: a copy is known by
    /// what it was made of.
    pub(in crate::commit::bucket) async fn arrived(&self) -> Result<Versions, CommitError> {
        let paths = self.merged.upper().sent_paths();
        let looked = stream::iter(paths).map(|path| async move {
            let there = self.head(&path).await?;
            Ok::<_, CommitError>(match there {
                Some(there) if self.is_ours(&path, &there).await? => {
                    Some((path, version_of(&there).to_text().into()))
                }
                _ => None,
            })
        });
        let looked = looked.buffer_unordered(self.options.send.at_once.max(1));
        looked.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// Whether an object is what an interrupted commit put.
    pub(super) async fn is_ours(&self, path: &str, there: &ObjectMeta) -> Result<bool, CommitError> {
        let notes = self.merged.upper().sent(path);
        if notes.is_empty() {
            return Ok(false);
        }
        let Some(hash) = self.hash_of(path, there).await? else {
            return Ok(false);
        };
        let is_noted = |note: &str| notes.iter().any(|noted| **noted == *note);
        if is_noted(&Note::Content(&hash).text()) {
            return Ok(true);
        }
        for (version, from) in notes.iter().filter_map(|note| copied(note)) {
            // Most stores give a copy the tag of what it is of; a time would prove nothing.
            let has_its_tag = version.starts_with("etag:") && version_of(there).to_text() == version;
            let is_it = has_its_tag
                || match self.head(from).await? {
                    Some(source) if source.size == there.size && version_of(&source).to_text() == version => {
                        self.hash_of(from, &source).await? == Some(hash.clone())
                    }
                    _ => false,
                };
            if is_it {
                // What it was made of may be replaced or removed from now on.
                self.going(path, &Note::Content(&hash))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The hash of an object; `None`: it is another by now, or gone.
    async fn hash_of(&self, path: &str, there: &ObjectMeta) -> Result<Option<Hash>, CommitError> {
        let mut hasher = Hasher::new();
        for range in cut(ByteRange::new(0, there.size), COMPARE) {
            let _memory = self.memory.take(range.len()).await?;
            match self.part_of(path, there, range).await? {
                Some(bytes) => hasher.update(&bytes),
                None => return Ok(None),
            }
        }
        Ok(Some(hasher.finish()))
    }
}

/// Version and path of what a copy is of, from its note.
fn copied(note: &str) -> Option<(&str, &str)> {
    let mut parts = note.splitn(3, PART);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("copy"), Some(version), Some(path)) => Some((version, path)),
        _ => None,
    }
}
