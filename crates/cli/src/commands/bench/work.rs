//! One run of one case, in this process.

use std::sync::Arc;

use forebay_range::{RangeEngineConfig, Target};
use forebay_source::{Location, Opener, Source, SourceOptions};
use forebay_types::SystemClock;
use object_store::ObjectMeta;

use super::cases::{Baseline, CacheBefore, Case};
use super::sample::{Place, Sample, Spec, Who};
use super::server::{BIG, BUCKET, EXACT};
use super::{cached, engine, prepare};
use crate::args::LabProfile;
use crate::exit::{CliError, Result};
use crate::session::Session;

pub(crate) fn run(session: &Session, spec: &Spec) -> Result<Sample> {
    session.block_on(async {
        let clock = SystemClock::new();
        // Which network it is makes no difference to who runs.
        let is_raw = spec.case.baseline(Some(LabProfile::Standard), 0.0) == Baseline::Raw;
        let done = match (spec.who, spec.case.cache()) {
            (Who::Prepare, _) => {
                prepare::fill(session, spec).await?;
                return Ok(Sample::default());
            }
            (Who::Baseline, _) if is_raw => engine::raw(spec, &clock).await?,
            (_, CacheBefore::Crowded) => cached::start(session, spec, &clock)?,
            // What a listing or a mount would know beforehand is found out before the clock runs.
            (_, CacheBefore::None) => {
                let subject = Subject::open(session, spec).await?;
                engine::ours(session, spec, subject, &clock).await?
            }
            (_, CacheBefore::Empty | CacheBefore::Whole) => {
                let subject = Subject::open(session, spec).await?;
                Box::pin(cached::run(session, spec, subject, &clock)).await?
            }
        };
        Ok(done.sample())
    })
}

/// What our side reads, and how.
pub(super) struct Subject {
    pub(super) opener: Opener,
    pub(super) source: Source,
    pub(super) config: Arc<RangeEngineConfig>,
    pub(super) target: Target,
}

impl Subject {
    pub(super) async fn open(session: &Session, spec: &Spec) -> Result<Self> {
        // The engine's cases read a part of an object; those of the cache all of one, which then has the right size.
        let key = if spec.case.cache() == CacheBefore::None {
            BIG
        } else {
            EXACT
        };
        let (location, opener): (Location, Opener) = match &spec.place {
            Place::Url(url) => (url.parse()?, session.opener.clone()),
            Place::Lab(endpoint) => {
                let options = lab_options(session.settings.source_options(), endpoint);
                (format!("s3://{BUCKET}/{key}").parse()?, Opener::new(options))
            }
        };
        let source = opener.open(&location)?;
        let config = Arc::new(RangeEngineConfig {
            max_concurrent_ranges: spec.connections,
            ..session.settings.range_config(location.scheme(), &source.profile)
        });
        let mut target = Target::new(&source, config.clone());
        let is_known = matches!(
            spec.case,
            Case::SequentialKnown | Case::Random | Case::RandomCold | Case::RandomUnaligned | Case::Readers
        );
        if is_known {
            target = target.known(&head(&source).await?);
        }
        Ok(Self {
            opener,
            source,
            config,
            target,
        })
    }
}

/// Settings that reach the lab, whatever the user's credentials are.
pub(crate) fn lab_options(mut options: SourceOptions, endpoint: &str) -> SourceOptions {
    options.cloud = forebay_testkit::s3_settings(endpoint);
    options
}

async fn head(source: &Source) -> Result<ObjectMeta> {
    let options = object_store::GetOptions {
        head: true,
        ..Default::default()
    };
    let result = source.store.get_opts(&source.path, options).await;
    Ok(result
        .map_err(|e| CliError::store(source.path.as_ref(), &e))?
        .meta)
}
