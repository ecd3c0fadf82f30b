//! One run of one case, in this process.

use std::path::PathBuf;
use std::sync::Arc;

use forebay_cache::Cache;
use forebay_log::metadata::{MetadataStore, PostgresMetadataStore, SqliteMetadataStore};
use forebay_log::{Log, LogOptions, TopicName};
use forebay_range::{RangeEngine, RangeEngineConfig};
use forebay_reader::{Freshness, Reader};
use forebay_source::{Opener, Source};
use forebay_types::{ByteSize, SystemClock};
use serde::{Deserialize, Serialize};

use super::super::sample::{Done, Sample, Stopwatch, Who};
use super::super::server::BUCKET;
use super::super::work::lab_options;
use super::plan::{Job, Shape};
use super::{prepare, produce, read};
use crate::exit::Result;
use crate::session::Session;

/// How much of the size some cases are about.
const PART: u64 = 4;

/// Orders for one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) who: Who,
    pub(crate) job: Job,
    pub(crate) shape: Shape,
    /// Bytes of values.
    pub(crate) size: u64,
    pub(crate) connections: usize,
    pub(crate) endpoint: String,
    /// Metadata and complete caches.
    pub(crate) dir: PathBuf,
    /// Empty, for this run alone.
    pub(crate) fresh: PathBuf,
    pub(crate) postgres: Option<String>,
    pub(crate) config: Option<PathBuf>,
}

impl Spec {
    /// The topic of its records.
    pub(super) fn topic(&self) -> Result<TopicName> {
        let Shape { codec, value } = self.shape;
        let kind = match self.job {
            Job::ConsumeSpread => "spread-",
            Job::Consumers(_) => "part-",
            _ => "",
        };
        super::topic(&format!("{kind}{codec}-{value}"))
    }

    /// How many records make its size.
    pub(super) fn records(&self) -> u64 {
        let size = match self.job {
            // Many times over, or for a short time.
            Job::Consumers(_) | Job::Produce => self.size / PART,
            _ => self.size,
        };
        size / self.shape.value as u64
    }
}

pub(crate) fn work(session: &Session, spec: &Spec) -> Result<Sample> {
    let run = Box::pin(async {
        let bench = Bench::open(session, spec).await?;
        let done = match (spec.who, spec.job) {
            (Who::Prepare, Job::Lookup { .. }) => prepare::crowd(&bench).await?,
            (Who::Prepare, Job::ConsumeSpread) => produce::spread(&bench).await?,
            (Who::Prepare, _) => prepare::topic(&bench).await?,
            (Who::Baseline, Job::Cold) => read::object(&bench).await?,
            (Who::Baseline, Job::ColdPoll) => read::requests(&bench).await?,
            (Who::Baseline, _) => read::consumers(&bench, 1).await?,
            (Who::Ours, Job::CatchUp | Job::Cold) => read::all(&bench).await?,
            (Who::Ours, Job::Verbatim) => read::verbatim(&bench).await?,
            (Who::Ours, Job::Poll) => read::polls(&bench, None).await?,
            (Who::Ours, Job::Paced) => read::polls(&bench, Some(100e6)).await?,
            (Who::Ours, Job::ColdPoll) => read::cold_polls(&bench).await?,
            (Who::Ours, Job::Consumers(count)) => read::consumers(&bench, count).await?,
            (Who::Ours, Job::Lookup { .. }) => read::lookups(&bench).await?,
            (Who::Ours, Job::Produce) => produce::one(&bench).await?,
            (Who::Ours, Job::Spread) => produce::spread(&bench).await?,
            (Who::Ours, Job::ConsumeSpread) => read::spread(&bench).await?,
        };
        // What is still on its way to the disk is part of the work, but nobody waited for it.
        let rest = Stopwatch::start(&bench.clock);
        bench.log.reader().flush().await;
        let mut done: Done = done;
        done.took.cpu += rest.took().cpu;
        Ok(done)
    });
    // Promised for each core.
    let one_thread = spec.who == Who::Ours && matches!(spec.job, Job::CatchUp | Job::Verbatim);
    let done: Done = if one_thread {
        session.block_on_one(run)?
    } else {
        session.block_on(run)?
    };
    Ok(done.sample())
}

/// What a run has at hand.
pub(super) struct Bench<'a> {
    pub(super) spec: &'a Spec,
    pub(super) clock: SystemClock,
    pub(super) log: Log,
    /// Where the lab's own objects are.
    pub(super) lab: Source,
    pub(super) config: Arc<RangeEngineConfig>,
}

impl<'a> Bench<'a> {
    async fn open(session: &Session, spec: &'a Spec) -> Result<Self> {
        let opener = Opener::new(lab_options(session.settings.source_options(), &spec.endpoint));
        // A crowd's log and that of a run which writes are others than the one that is read.
        let folder = match (spec.who, spec.job) {
            (_, Job::Lookup { .. }) => "crowd".to_owned(),
            (_, Job::Produce | Job::Spread) => format!("written-{:016x}", fastrand::u64(..)),
            _ => "log".to_owned(),
        };
        let open = |url: String| -> Result<Source> { Ok(opener.open(&url.parse()?)?) };
        let source = open(format!("s3://{BUCKET}/{folder}/"))?;
        let lab = open(format!("s3://{BUCKET}/"))?;
        let config = Arc::new(RangeEngineConfig {
            max_concurrent_ranges: spec.connections,
            ..RangeEngineConfig::for_profile(&source.profile)
        });
        let options = LogOptions {
            // One place is read once: nothing follows.
            prefetch_enabled: spec.job != Job::ColdPoll,
            ..LogOptions::default()
        };
        let mut reading = session.settings.reader_options(session.engine.budget().total());
        reading.freshness = Freshness::Never;
        reading.read_ahead.enabled = options.prefetch_enabled;
        let engine: RangeEngine = session.engine.clone();
        let reader = Reader::new(engine, Self::cache(session, spec)?, reading);
        let metadata = Self::metadata(spec, &folder).await?;
        Ok(Self {
            spec,
            clock: SystemClock::new(),
            log: Log::new(source, config.clone(), reader, metadata, options),
            lab,
            config,
        })
    }

    fn cache(session: &Session, spec: &Spec) -> Result<Option<Cache>> {
        let dir = match (spec.who, spec.job) {
            (_, Job::ColdPoll | Job::Lookup { .. } | Job::Produce | Job::Spread) => return Ok(None),
            (Who::Prepare, _) | (_, Job::CatchUp | Job::Verbatim | Job::Poll) => spec.dir.join("cache"),
            _ => spec.fresh.join("cache"),
        };
        let mut settings = session.settings.cache.clone();
        settings.dir = Some(dir);
        settings.size = Some(ByteSize(spec.size.saturating_mul(16)).max(ByteSize::gib(4)));
        Ok(Some(Cache::open(
            settings.options()?,
            Arc::new(SystemClock::new()),
        )?))
    }

    async fn metadata(spec: &Spec, folder: &str) -> Result<Arc<dyn MetadataStore>> {
        if let (Job::Lookup { postgres: true }, Some(url)) = (spec.job, &spec.postgres) {
            let opened = PostgresMetadataStore::connect(url).await;
            return Ok(Arc::new(opened?));
        }
        let path = spec.dir.join("metadata").join(format!("{folder}.db"));
        let opened = SqliteMetadataStore::open(path).await;
        Ok(Arc::new(opened?))
    }
}
