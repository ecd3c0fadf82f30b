//! What is in the bucket.

use std::sync::Arc;

use forebay_range::{Known, Target};
use forebay_types::{ErrorKind, RangeSpec};
use futures::StreamExt;
use object_store::ObjectMeta;

use super::Found;
use crate::error::{LogError, Result};
use crate::key::{Parsed, parse};
use crate::log::Log;
use crate::metadata::SegmentInfo;
use crate::notes::{Fenced, Read};
use crate::segment::{Contents, SegmentError, SegmentKind, TAIL_GUESS, Tail, read_tail};

/// Objects whose tails are read side by side.
const SIDE_BY_SIDE: usize = 16;

/// All that tells of segments.
pub(super) struct Bucketful {
    pub(super) sections: Vec<Found>,
    pub(super) fences: Vec<Fenced>,
}

impl Log {
    /// Looks at every object of the log. What cannot be read is named in `problems`, if it is damaged; if the bucket cannot be
    /// reached, that is an error: what was not seen must not be taken for lost.
    pub(super) async fn look(&self, problems: &mut Vec<String>) -> Result<Bucketful> {
        let prefix = self.shared.bucket.prefix();
        let mut found = Bucketful {
            sections: Vec::new(),
            fences: Vec::new(),
        };
        let (mut objects, mut fences) = (Vec::new(), Vec::new());
        for meta in self.shared.bucket.list("").await? {
            match parse(prefix, meta.location.as_ref()) {
                Some(parsed @ (Parsed::Flush(_) | Parsed::Segment { .. })) => objects.push((meta, parsed)),
                Some(Parsed::Fence(_)) => fences.push(meta.location.to_string()),
                Some(Parsed::Snapshot(_)) | None => {}
            }
        }
        let mut reads =
            futures::stream::iter(fences.iter().map(|key| self.read_fence(key))).buffered(SIDE_BY_SIDE);
        while let Some(read) = reads.next().await {
            match read? {
                Read::Whole(fence) => found.fences.extend(fence.partitions),
                Read::Bad(error) => {
                    problems.push(format!("{error}; what it fenced off may be taken for data"));
                }
            }
        }
        let looks = objects.into_iter().map(|(meta, parsed)| async move {
            let contents = self.contents(&meta, &parsed).await;
            (meta, contents)
        });
        let mut looks = futures::stream::iter(looks).buffered(SIDE_BY_SIDE);
        while let Some((meta, contents)) = looks.next().await {
            let key: Arc<str> = meta.location.as_ref().into();
            match contents? {
                // Deleted since it was listed.
                None => {}
                Some(Ok(contents)) => found.sections.extend(sections(&contents, &key, &meta)),
                Some(Err(error)) => {
                    problems.push(format!("{} is left out: {error}", self.shared.bucket.shown(&key)));
                }
            }
        }
        Ok(found)
    }

    /// What the tail of an object tells, if it is there; the inner error if it is no good segment.
    async fn contents(
        &self,
        meta: &ObjectMeta,
        parsed: &Parsed,
    ) -> Result<Option<std::result::Result<Contents, SegmentError>>> {
        let mut target = Target::at(self.source(), meta.location.clone(), self.shared.config.clone());
        target.known = Some(Known::of(meta));
        let mut wanted = TAIL_GUESS.min(meta.size);
        if wanted == 0 {
            return Ok(Some(Err(SegmentError::damaged("it is empty".to_owned()))));
        }
        loop {
            let engine = self.reader().engine();
            let tail = match engine.read(target.clone(), RangeSpec::Last(wanted)).await {
                Ok((tail, _)) => tail,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    return Err(LogError::Store {
                        object: self.shared.bucket.shown(meta.location.as_ref()),
                        what: "read",
                        source: object_store::Error::Generic {
                            store: "range engine",
                            source: Box::new(error),
                        },
                    });
                }
            };
            match read_tail(meta.size, &tail) {
                Ok(Tail::Contents(contents)) => return Ok(Some(named(contents, parsed))),
                Ok(Tail::Need(range)) if meta.size - range.start() > wanted => {
                    wanted = meta.size - range.start();
                }
                Ok(Tail::Need(_)) => {
                    let error = SegmentError::damaged("it asks for what was read".to_owned());
                    return Ok(Some(Err(error)));
                }
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }
}

/// An object under another's name is none of ours.
fn named(contents: Contents, parsed: &Parsed) -> std::result::Result<Contents, SegmentError> {
    let fits = match (parsed, contents.kind) {
        (Parsed::Flush(id), SegmentKind::Flush) => *id == contents.id,
        (Parsed::Segment { at, base_offset, id }, SegmentKind::Compacted) => {
            let only = contents.sections.first();
            *id == contents.id
                && contents.sections.len() == 1
                && only.is_some_and(|only| only.at == *at && only.base_offset == *base_offset)
        }
        _ => false,
    };
    if fits {
        return Ok(contents);
    }
    Err(SegmentError::damaged(format!(
        "its name is not that of its contents ({})",
        contents.id
    )))
}

fn sections(contents: &Contents, key: &Arc<str>, meta: &ObjectMeta) -> Vec<Found> {
    let etag: Arc<str> = meta.e_tag.clone().unwrap_or_default().into();
    let written_ms = i64::try_from(contents.id.timestamp_ms()).unwrap_or(i64::MAX);
    let of = |section: &crate::segment::Section| Found {
        info: SegmentInfo {
            at: section.at.clone(),
            base_offset: section.base_offset,
            next_offset: section.next_offset,
            object: contents.id,
            key: key.clone(),
            object_size: meta.size,
            etag: etag.clone(),
            position: section.position,
            length: section.length,
            records: section.records,
            max_timestamp: section.newest(written_ms),
            epoch: section.epoch,
            index: section.index.encode(),
        },
        compacted: contents.kind == SegmentKind::Compacted,
    };
    contents.sections.iter().map(of).collect()
}
