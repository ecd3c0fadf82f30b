//! What commands work with.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay_cache::Cache;
use forebay_range::{RangeEngine, RangeEngineConfig, Target};
use forebay_reader::Reader;
use forebay_source::{Location, Opener, Scheme, Source, SourceOptions};
use forebay_types::{ErrorKind, SystemClock, printable};
use object_store::path::Path;

use crate::door::Door;
use crate::exit::{CliError, Result};
use crate::output::Output;
use crate::settings::Settings;

/// What an interrupted run has to let go of what it does. Longer only if the disk stands still.
const LET_GO: Duration = Duration::from_secs(1);

/// Opener, engine, cache and output of one run.
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) opener: Opener,
    pub(crate) engine: RangeEngine,
    pub(crate) output: Output,
    /// `--config`, for helper processes that are to read the same settings.
    pub(crate) config_flag: Option<PathBuf>,
    /// Reads through the cache; opened when a command first wants it. `None` if there is no cache.
    reader: OnceLock<Option<Reader>>,
}

impl Session {
    pub(crate) fn new(settings: Settings, output: Output, config_flag: Option<PathBuf>) -> Self {
        let engine = RangeEngine::with_options(
            RangeEngineConfig::default(),
            settings.engine_options(),
            Arc::new(SystemClock::new()),
        );
        let opener = Opener::new(SourceOptions {
            memory: Some(Arc::new(engine.budget().clone())),
            ..settings.source_options()
        });
        Self {
            settings,
            opener,
            engine,
            output,
            config_flag,
            reader: OnceLock::new(),
        }
    }

    /// How this run reads from a source, whether it is `cached` or not. A cache that cannot be opened is said once, and
    /// the run goes on without it.
    pub(crate) fn door(&self, cached: bool) -> Door {
        let open = || {
            let cache = self.open_cache();
            cache
                .map(|cache| self.reader_with(cache))
                .inspect_err(|error| {
                    tracing::warn!("reading without a cache: {}", printable(error.message()));
                })
                .ok()
        };
        let wanted = cached && self.settings.cache.enabled;
        Door {
            engine: self.engine.clone(),
            reader: wanted.then(|| self.reader.get_or_init(open).clone()).flatten(),
        }
    }

    /// The reader of a command that wants handles in any case: through the cache if there is one and the source is
    /// `cached`.
    pub(crate) fn reader_or_none(&self, cached: bool) -> Reader {
        self.door(cached).reader.unwrap_or_else(|| {
            let options = self.settings.reader_options(self.engine.budget().total());
            Reader::new(self.engine.clone(), None, options)
        })
    }

    /// The reader of a command that is of no use without a cache.
    pub(crate) fn cached_reader(&self) -> Result<Reader> {
        if !self.settings.cache.enabled {
            return Err(
                CliError::usage("the cache is off").hint("leave out --no-cache, or set cache.enabled")
            );
        }
        if let Some(Some(reader)) = self.reader.get() {
            return Ok(reader.clone());
        }
        let reader = self.reader_with(self.open_cache()?);
        // Set already: by a run that went on without it. This one is as good.
        let _ = self.reader.set(Some(reader.clone()));
        Ok(reader)
    }

    /// The reader of a log: through the cache if there is one and the source is `cached`. To be asked for before any
    /// other reader, as the commands of a log do: a run has one.
    pub(crate) fn log_reader(&self, cached: bool) -> Reader {
        let options = self.settings.log_reader_options(self.engine.budget().total());
        let open = || match self.open_cache() {
            Ok(cache) => Some(Reader::new(self.engine.clone(), Some(cache), options.clone())),
            Err(error) => {
                tracing::warn!("reading without a cache: {}", printable(error.message()));
                None
            }
        };
        let wanted = cached && self.settings.cache.enabled;
        wanted
            .then(|| self.reader.get_or_init(open).clone())
            .flatten()
            .unwrap_or_else(|| Reader::new(self.engine.clone(), None, options.clone()))
    }

    /// The cache as the settings want it.
    pub(crate) fn open_cache(&self) -> Result<Cache> {
        Ok(Cache::open(
            self.settings.cache.options()?,
            Arc::new(SystemClock::new()),
        )?)
    }

    fn reader_with(&self, cache: Cache) -> Reader {
        let options = self.settings.reader_options(self.engine.budget().total());
        Reader::new(self.engine.clone(), Some(cache), options)
    }

    /// Opens a URL as typed.
    pub(crate) fn open(&self, url: &str) -> Result<(Location, Source)> {
        let location: Location = url.parse()?;
        let source = self.open_location(&location)?;
        Ok((location, source))
    }

    /// Opens what a URL means.
    pub(crate) fn open_location(&self, location: &Location) -> Result<Source> {
        if location.scheme() == Scheme::Rqbit {
            self.settings.check_rqbit_userpass()?;
        }
        Ok(self.opener.open(location)?)
    }

    /// The object that the URL names, ready to be read.
    pub(crate) fn target(&self, location: &Location, source: &Source) -> Target {
        self.target_at(location.scheme(), source, source.path.clone())
    }

    /// Another object of the same source.
    pub(crate) fn target_at(&self, scheme: Scheme, source: &Source, path: Path) -> Target {
        let config = self.settings.range_config(scheme, &source.profile);
        Target::at(source, path, Arc::new(config))
    }

    /// Runs a command's future until it is done or the user interrupts; then it is dropped, which removes temporary
    /// files and ends requests.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = runtime()?;
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = self.to_its_end(work) => Some(outcome),
                () = interrupted() => None,
            }
        });
        outcome.unwrap_or_else(|| {
            // What waits for the disk would be written before the cache closes: it is left open instead.
            std::mem::forget(self.reader.get().cloned());
            runtime.shutdown_timeout(LET_GO);
            Err(CliError::new(ErrorKind::Cancelled, "interrupted"))
        })
    }

    /// As [`Self::block_on_uncaught`], all on this thread.
    pub(crate) fn block_on_one<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(not_started)?.block_on(self.to_its_end(work))
    }

    /// As [`Self::block_on`], but an interrupt ends the process where it stands: for what leaves nothing behind and
    /// may be blocked in a pipe.
    pub(crate) fn block_on_uncaught<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        runtime()?.block_on(self.to_its_end(work))
    }

    /// The work, and then what it left for the disk: those bytes were paid for.
    async fn to_its_end<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = work.await;
        if let Some(Some(reader)) = self.reader.get() {
            reader.flush().await;
        }
        outcome
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(not_started)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn not_started(error: std::io::Error) -> CliError {
    CliError::new(error.kind().into(), format!("cannot start the runtime: {error}"))
}

/// SIGINT or SIGTERM.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
