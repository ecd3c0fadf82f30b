//! One reader in order: first from the store, with read-ahead, then from the cache.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_cache::Cache;
use forebay_reader::{Handle, OpenOptions, Reader};
use forebay_types::{ByteSize, Clock, ErrorKind, SystemClock};

use super::{Stage, check};
use crate::exit::{CliError, Result};
use crate::session::Session;

/// Bytes of one read.
const READ: usize = 1024 * 1024;

/// Where a reader was, and how far ahead was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Duration,
    pub(super) position: u64,
    pub(super) window_end: u64,
}

/// Reads through a cache in `dir`, unless the user wants none.
pub(super) fn reader(session: &Session, dir: &Path, size: u64) -> Result<Reader> {
    let mut settings = session.settings.cache.clone();
    settings.dir = Some(dir.to_owned());
    settings.size = Some(ByteSize(size.saturating_mul(2)).max(ByteSize::gib(1)));
    let cache = settings
        .enabled
        .then(|| Ok::<_, CliError>(Cache::open(settings.options()?, Arc::new(SystemClock::new()))?))
        .transpose()?;
    let options = session.settings.reader_options(session.engine.budget().total());
    Ok(Reader::new(session.engine.clone(), cache, options))
}

impl Stage<'_> {
    /// Nothing is known of the object, nothing of it is in the cache, and nobody says that it will be read in order.
    pub(super) async fn read_in_order(&self, course: &mut Vec<Moment>) -> Result<u64> {
        let handle = self.open().await?;
        let began = self.clock.now();
        self.all_in_order(&handle, "read in order", |position| {
            let ends = handle.windows().into_iter().map(|window| window.end);
            course.push(Moment {
                at: self.clock.now() - began,
                position,
                window_end: ends.max().unwrap_or(0).max(position),
            });
        })
        .await
    }

    /// All of it is on the local disk by now.
    pub(super) async fn read_again(&self, name: &str) -> Result<u64> {
        let handle = self.open().await?;
        self.all_in_order(&handle, name, |_| ()).await
    }

    async fn open(&self) -> Result<Handle> {
        Ok(self.reader.open(self.target(), OpenOptions::default()).await?)
    }

    async fn all_in_order(&self, handle: &Handle, name: &str, mut read: impl FnMut(u64)) -> Result<u64> {
        let size = self.big.size();
        if handle.size() != size {
            let message = format!(
                "demo: the object has {} bytes, {size} were written",
                handle.size()
            );
            return Err(CliError::new(ErrorKind::Corrupt, message));
        }
        let bar = self.bar(size, name);
        let mut at = 0;
        while at < size {
            let bytes = handle.read_at(at, READ).await?;
            check(&self.big, at, &bytes)?;
            at += bytes.len() as u64;
            bar.inc(bytes.len() as u64);
            read(at);
        }
        bar.finish_and_clear();
        let stats = handle.stats();
        tracing::info!(
            hits = stats.hits,
            starved = stats.read_ahead.starved,
            wasted = stats.read_ahead.wasted,
            "{name}"
        );
        Ok(at)
    }
}
