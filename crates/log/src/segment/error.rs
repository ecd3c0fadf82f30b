//! What can be wrong with an object of the log.

use std::borrow::Cow;
use std::fmt;

use forebay_types::ErrorKind;
use ulid::Ulid;

use super::index::IndexEntry;
use crate::batch::BatchError;
use crate::topic::TopicPartition;

/// Why an object, or a part of one, cannot be read or built.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// A later version of this program wrote it.
    #[error(
        "{place}: its format is version {version}, this program reads version {}: use a newer one",
        super::layout::VERSION
    )]
    Newer {
        /// What was read.
        place: Box<Place>,
        /// As it says.
        version: u16,
    },
    /// Bytes are not what was written, or never were a segment.
    #[error("{place}: {why}")]
    Damaged {
        /// What was read.
        place: Box<Place>,
        /// What does not fit.
        why: Cow<'static, str>,
    },
    /// A batch is not what it should be.
    #[error("{place}: {source}")]
    Batch {
        /// Where it lies.
        place: Box<Place>,
        /// What is wrong with it.
        source: BatchError,
    },
    /// What was to be built is no segment.
    #[error("{place}: {why}")]
    Refused {
        /// What was to be built.
        place: Box<Place>,
        /// Which rule it breaks.
        why: Cow<'static, str>,
    },
    /// The object has no section of this partition.
    #[error("{place} has no records of {at}")]
    NoSection {
        /// The object.
        place: Box<Place>,
        /// As asked for.
        at: TopicPartition,
    },
}

impl SegmentError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Newer { .. } => ErrorKind::Unsupported,
            Self::Damaged { .. } | Self::Batch { .. } => ErrorKind::Corrupt,
            Self::Refused { .. } => ErrorKind::Invalid,
            Self::NoSection { .. } => ErrorKind::NotFound,
        }
    }

    /// Where it happened, as far as is known.
    pub fn place(&self) -> &Place {
        let (Self::Newer { place, .. }
        | Self::Damaged { place, .. }
        | Self::Batch { place, .. }
        | Self::Refused { place, .. }
        | Self::NoSection { place, .. }) = self;
        place
    }

    /// Says which object it was, if that was not known below.
    #[must_use]
    pub fn in_object(mut self, id: Ulid) -> Self {
        self.place_mut().object.get_or_insert(id);
        self
    }

    /// Says which section it was, if that was not known below.
    #[must_use]
    pub fn in_section(mut self, at: &TopicPartition) -> Self {
        self.place_mut().section.get_or_insert_with(|| at.clone());
        self
    }

    /// Says which stretch it was.
    pub(super) fn in_stretch(mut self, entry: &IndexEntry) -> Self {
        self.place_mut()
            .stretch
            .get_or_insert((entry.base_offset, entry.position));
        self
    }

    pub(crate) fn damaged(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Damaged {
            place: Box::default(),
            why: why.into(),
        }
    }

    pub(super) fn refused(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused {
            place: Box::default(),
            why: why.into(),
        }
    }

    pub(super) fn newer(version: u16) -> Self {
        Self::Newer {
            place: Box::default(),
            version,
        }
    }

    fn place_mut(&mut self) -> &mut Place {
        let (Self::Newer { place, .. }
        | Self::Damaged { place, .. }
        | Self::Batch { place, .. }
        | Self::Refused { place, .. }
        | Self::NoSection { place, .. }) = self;
        place
    }
}

impl From<BatchError> for SegmentError {
    fn from(source: BatchError) -> Self {
        Self::Batch {
            place: Box::default(),
            source,
        }
    }
}

/// Where in the log's objects something happened: as much of it as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The object.
    pub object: Option<Ulid>,
    /// The section of it.
    pub section: Option<TopicPartition>,
    /// The stretch of the section: its base offset, and its position in the section.
    pub stretch: Option<(u64, u64)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(id) => write!(f, "segment {id}")?,
            None => f.write_str("a segment")?,
        }
        if let Some(at) = &self.section {
            write!(f, ", section {at}")?;
        }
        if let Some((base_offset, position)) = &self.stretch {
            write!(
                f,
                ", stretch of offset {base_offset} at byte {position} of the section"
            )?;
        }
        Ok(())
    }
}
