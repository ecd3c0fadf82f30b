//! Caches as some cases want to find them.

use std::sync::Arc;

use bytes::Bytes;
use forebay_cache::{Cache, CacheOptions, Fill};
use forebay_reader::Reader;
use forebay_types::{ByteSize, ErrorKind, ObjectId, Origin, SystemClock, Version};

use super::cases::{CROWD, CacheBefore};
use super::sample::Spec;
use super::work::Subject;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// Bytes of one object of a crowd: it is their number that counts.
const CROWD_OBJECT: usize = 64;

/// A directory for the cache of runs.
pub(super) fn scratch(session: &Session) -> Result<tempfile::TempDir> {
    crate::scratch::directory(&session.settings, "forebay-bench-")
}

/// How the cache of a run is opened: as the user's, but in its own directory, and large enough.
pub(super) fn options(session: &Session, spec: &Spec) -> Result<CacheOptions> {
    let mut settings = session.settings.cache.clone();
    settings.dir.clone_from(&spec.cache_dir);
    settings.size = Some(ByteSize(spec.size.saturating_mul(4)).max(ByteSize::gib(4)));
    settings.options()
}

/// Fills the cache of a case.
pub(super) async fn fill(session: &Session, spec: &Spec) -> Result<()> {
    let cache = Cache::open(options(session, spec)?, Arc::new(SystemClock::new()))?;
    if spec.case.cache() == CacheBefore::Crowded {
        crowd(&cache, spec);
        return Ok(());
    }
    let subject = Subject::open(session, spec).await?;
    let options = session.settings.reader_options(session.engine.budget().total());
    let reader = Reader::new(session.engine.clone(), Some(cache), options);
    let warmed = reader.warm(subject.target).await?;
    if warmed.cached == warmed.size {
        return Ok(());
    }
    let (cached, size) = (ByteSize(warmed.cached), ByteSize(warmed.size));
    Err(CliError::new(
        ErrorKind::NoSpace,
        format!("the cache of a bench took {cached:#} of {size:#}"),
    )
    .hint("make room where the cache is, or name another disk with --cache-dir"))
}

fn crowd(cache: &Cache, spec: &Spec) {
    let bytes = Bytes::from_static(&[0xA5; CROWD_OBJECT]);
    for index in 0..spec.objects * CROWD {
        let fill = Fill {
            at: 0,
            chunks: vec![bytes.clone()],
            patient: true,
            hold: Box::new(()),
            done: Box::new(|_| ()),
        };
        // A patient fill is never refused.
        let _ = cache.object(&one_of_the_crowd(index)).store(fill);
    }
    cache.flush();
}

/// The object of a crowd with this number.
pub(super) fn one_of_the_crowd(index: usize) -> ObjectId {
    ObjectId {
        origin: Origin::new("bench://crowd", ""),
        key: format!("{index:06}").into(),
        version: Version::ETag("\"1\"".into()),
        size: CROWD_OBJECT as u64,
    }
}
