//! What commands work with.

use std::path::PathBuf;
use std::sync::Arc;

use forebay_range::{EngineOptions, RangeEngine, RangeEngineConfig, Target};
use forebay_source::{Location, Opener, Scheme, Source};
use forebay_types::{ErrorKind, SystemClock};
use object_store::path::Path;

use crate::exit::{CliError, Result};
use crate::output::Output;
use crate::settings::Settings;

/// Opener, engine and output of one run.
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) opener: Opener,
    pub(crate) engine: RangeEngine,
    pub(crate) output: Output,
    /// `--config`, for helper processes that are to read the same settings.
    pub(crate) config_flag: Option<PathBuf>,
}

impl Session {
    pub(crate) fn new(settings: Settings, output: Output, config_flag: Option<PathBuf>) -> Self {
        let opener = Opener::new(settings.source_options());
        let options = EngineOptions {
            memory_budget: settings.range.memory_budget.bytes(),
            gate: settings.gate_options(),
        };
        let engine = RangeEngine::with_options(
            RangeEngineConfig::default(),
            options,
            Arc::new(SystemClock::new()),
        );
        Self {
            settings,
            opener,
            engine,
            output,
            config_flag,
        }
    }

    /// Opens a URL as typed.
    pub(crate) fn open(&self, url: &str) -> Result<(Location, Source)> {
        let location: Location = url.parse()?;
        let source = self.opener.open(&location)?;
        Ok((location, source))
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
        self.block_on_uncaught(async {
            tokio::select! {
                outcome = work => outcome,
                () = interrupted() => Err(CliError::new(ErrorKind::Cancelled, "interrupted")),
            }
        })
    }

    /// As [`Self::block_on`], but an interrupt ends the process where it stands: for what leaves nothing behind and
    /// may be blocked in a pipe.
    pub(crate) fn block_on_uncaught<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| CliError::new(e.kind().into(), format!("cannot start the runtime: {e}")))?;
        runtime.block_on(work)
    }
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
