//! The one way commands read objects: through the cache, if there is one and the source is worth keeping, else by the
//! range engine alone.

use std::sync::Arc;

use bytes::Bytes;
use forebay_range::{RangeEngine, RangeSink, Target};
use forebay_reader::{ReadError, ReadStream, Reader};
use forebay_types::RangeSpec;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

/// Engine and, if there is a cache, the reader that goes through it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) engine: RangeEngine,
    pub(crate) reader: Option<Reader>,
}

/// A range of an object of one version; its first bytes are on their way.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Through the cache.
    Cached(Box<ReadStream>),
    /// Past it.
    Plain(Box<forebay_range::Opened>),
}

impl Door {
    /// Opens an object to read `range` of it.
    pub(crate) async fn open(&self, target: Target, range: RangeSpec) -> Result<Opened, ReadError> {
        match &self.reader {
            Some(reader) if target.cached => {
                let stream = reader.stream(target, range).await?;
                Ok(Opened::Cached(Box::new(stream)))
            }
            _ => Ok(Opened::Plain(Box::new(self.engine.open(target, range).await?))),
        }
    }
}

impl Opened {
    /// Bytes of the range.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Cached(stream) => stream.range().len(),
            Self::Plain(opened) => opened.range().len(),
        }
    }

    /// Puts all bytes into `sink`, each to its place, in whatever order they come.
    pub(crate) async fn into_sink(self, sink: Arc<dyn RangeSink>) -> Result<(), ReadError> {
        match self {
            Self::Cached(stream) => {
                let (handle, range) = (stream.handle().clone(), stream.range());
                handle.copy_to(range, sink).await?;
            }
            Self::Plain(opened) => {
                opened.into_sink(sink).await?;
            }
        }
        Ok(())
    }

    /// The bytes in order.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, ReadError>> {
        match self {
            Self::Cached(stream) => stream.boxed(),
            Self::Plain(opened) => opened.into_stream().map_err(ReadError::from).boxed(),
        }
    }
}
