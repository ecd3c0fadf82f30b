//! One log: a bucket, its metadata, and how a process reads it.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::SegmentCache;
use forebay_range::{Known, RangeEngine, RangeEngineConfig, Target};
use forebay_reader::{Freshness, Handle, OpenOptions, ReadError, Reader, ReaderOptions};
use forebay_source::{Opener, Origin, Profile, Source, SourceOptions};
use forebay_types::{Clock, Version};
use object_store::ObjectStore;
use object_store::path::Path;
use ulid::Ulid;

use crate::bucket::Bucket;
use crate::decoded::{DecodedCache, DecodedStats};
use crate::ends::Ends;
use crate::error::{LogError, Result};
use crate::metadata::{MetadataStore, SegmentInfo, TopicConfig, TopicInfo};
use crate::options::LogOptions;
use crate::topic::TopicName;

/// A log, open. Cheap to clone; clones share everything, so one per process and log is right.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bucket: Bucket,
    pub(crate) metadata: Arc<dyn MetadataStore>,
    pub(crate) reader: Reader,
    pub(crate) config: Arc<RangeEngineConfig>,
    pub(crate) options: LogOptions,
    pub(crate) decoded: DecodedCache,
    pub(crate) ends: Ends,
}

impl Log {
    /// The log whose objects lie under what `source` names, and whose metadata is `metadata`; read by `reader`, with requests as
    /// `config` says.
    pub fn new(
        source: Source,
        config: Arc<RangeEngineConfig>,
        reader: Reader,
        metadata: Arc<dyn MetadataStore>,
        options: LogOptions,
    ) -> Self {
        let budget = Arc::new(reader.engine().budget().clone());
        Self {
            shared: Arc::new(Shared {
                bucket: Bucket::new(source),
                config,
                decoded: DecodedCache::new(options.decoded_cache, budget),
                ends: Ends::new(
                    metadata.clone(),
                    reader.engine().clock().clone(),
                    options.ends_max_age,
                ),
                metadata,
                reader,
                options,
            }),
        }
    }

    /// For programs that have an object store and a cache already: the log at its root, with an engine and a reader of its
    /// own. Two stores are told apart by what they show of themselves (`Display`), and so are their segments in the cache.
    pub fn adopt(
        object_store: Arc<dyn ObjectStore>,
        cache: &SegmentCache,
        metadata: Arc<dyn MetadataStore>,
        options: LogOptions,
    ) -> Self {
        let origin = Origin::new(object_store.to_string(), "");
        let source =
            Opener::new(SourceOptions::default()).adopt(object_store, Path::ROOT, origin, Profile::REMOTE);
        let config = RangeEngineConfig::for_profile(&source.profile);
        let mut reading = ReaderOptions {
            // A key is written once.
            freshness: Freshness::Never,
            ..ReaderOptions::default()
        };
        reading.read_ahead.enabled = options.prefetch_enabled;
        let engine = RangeEngine::new(config.clone());
        let reader = Reader::new(engine, Some(cache.cache().clone()), reading);
        Self::new(source, Arc::new(config), reader, metadata, options)
    }

    /// What it knows beside its bytes.
    pub fn metadata(&self) -> &Arc<dyn MetadataStore> {
        &self.shared.metadata
    }

    /// What reads it.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Where its objects are.
    pub fn source(&self) -> &Source {
        self.shared.bucket.source()
    }

    /// How it is read.
    pub fn options(&self) -> &LogOptions {
        &self.shared.options
    }

    /// What became of compressed batches so far.
    pub fn decoded_stats(&self) -> DecodedStats {
        self.shared.decoded.stats()
    }

    /// Makes a topic, and notes it in the bucket, so that a recovery finds it.
    ///
    /// # Errors
    /// If there is one of this name, or metadata or bucket fail. If only the bucket fails, the topic exists; the next
    /// [`Self::maintain`] notes it.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        partitions: u32,
        config: &TopicConfig,
    ) -> Result<TopicInfo> {
        let topic = self
            .shared
            .metadata
            .create_topic(name, partitions, config)
            .await?;
        self.write_snapshot().await?;
        Ok(topic)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.shared.reader.engine().clock()
    }

    /// A new name, in the order of time as far as the clock goes forward, and not to be guessed.
    pub(crate) fn new_id(&self) -> Ulid {
        Ulid::from_datetime(std::time::UNIX_EPOCH + self.clock().wall())
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        millis(self.clock().wall())
    }

    /// Opens the object of a segment for its section alone. Asks nothing of the bucket if `as_told`: size and version are
    /// what the upload was answered with. Else the bucket is asked what is there now.
    pub(crate) async fn open(
        &self,
        segment: &SegmentInfo,
        as_told: bool,
    ) -> Result<std::result::Result<Handle, ReadError>> {
        let mut target = self.target(segment)?;
        if !as_told {
            target.known = None;
        }
        let options = OpenOptions::default().read_ahead_to(segment.position + segment.length);
        let options = if as_told {
            options
        } else {
            // Only the version is wanted of it.
            options.freshness(Freshness::Always).first(1)
        };
        Ok(self.shared.reader.open(target, options).await)
    }

    /// The object of a segment, in the version that was uploaded.
    pub(crate) fn target(&self, segment: &SegmentInfo) -> Result<Target> {
        let path = self.shared.bucket.path(&segment.key)?;
        let mut target = Target::at(self.source(), path, self.shared.config.clone());
        target.known = Some(Known {
            size: segment.object_size,
            version: Version::ETag(segment.etag.clone()),
        });
        Ok(target)
    }

    pub(crate) fn metadata_error(&self, what: String) -> LogError {
        LogError::Metadata(crate::metadata::MetadataError::Corrupt {
            store: self.shared.metadata.name().to_owned(),
            what,
        })
    }
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
