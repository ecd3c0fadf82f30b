//! What the settings file, the environment and the flags say together.
//!
//! Later wins: built-in defaults, then `forebay.toml` (in the XDG configuration directory, or where `--config` says),
//! then `FOREBAY_<TABLE>_<KEY>`, then flags. Every key stands in [`KEYS`] once, with how it is read and shown; an
//! unknown one is an error that names the nearest known one.

mod cache;
mod direct;
mod file;
mod keys;
mod log;
mod mount;
mod old;
mod overlay;
mod readahead;
mod rqbit;
mod torrent;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_mount::MountOptions;
use forebay_range::{EngineOptions, FileSystemConfig, GateOptions, RangeEngineConfig};
use forebay_reader::ReaderOptions;
use forebay_source::{Profile, Scheme, SourceOptions, TransportOptions};
use forebay_types::{ByteSize, printable};

use crate::args::Global;
use crate::aws_profile;
use crate::env::{Env, Secret};
use crate::exit::{CliError, Result};

pub(crate) use cache::{CacheSettings, existing};
pub(crate) use direct::DirectSettings;
pub(crate) use keys::{KEYS, Key};
pub(crate) use log::{LogMetadata, LogSettings, LogStore, acks, compression, days, time};
pub(crate) use mount::MountSettings;
pub(crate) use old::{PREFIX as OLD_PREFIX, variable as old_variable};
pub(crate) use overlay::OverlaySettings;
pub(crate) use readahead::ReadAheadSettings;
pub(crate) use rqbit::RqbitSettings;
pub(crate) use torrent::TorrentSettings;
pub(crate) use value::Kind;

/// How `config show` calls [`Settings::rqbit_userpass`]: as its variable, in lower case.
const RQBIT_USERPASS: &str = "rqbit_http_basic_auth_userpass";

/// All settings in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) range: RangeSettings,
    pub(crate) cache: CacheSettings,
    pub(crate) readahead: ReadAheadSettings,
    pub(crate) http: HttpSettings,
    pub(crate) file: FileSettings,
    pub(crate) mount: MountSettings,
    pub(crate) overlay: OverlaySettings,
    pub(crate) direct: DirectSettings,
    pub(crate) rqbit: RqbitSettings,
    pub(crate) torrent: TorrentSettings,
    pub(crate) log: LogSettings,
    /// Settings of the cloud clients, by lower-case name of their environment variable.
    cloud: BTreeMap<String, String>,
    /// User and password for torrent clients whose URL has none.
    rqbit_userpass: Option<Secret>,
    /// Where each setting came from, by `table.key`.
    origins: BTreeMap<&'static str, Origin>,
    /// The settings file that would be read, and whether it was there.
    settings_file: Option<(PathBuf, bool)>,
}

/// `[range]`: how remote objects are read. `None` is the default of the kind of source.
#[derive(Clone, Debug)]
pub(crate) struct RangeSettings {
    pub(crate) chunk_size: Option<ByteSize>,
    pub(crate) max_concurrent_ranges: Option<usize>,
    pub(crate) min_split_size: Option<ByteSize>,
    pub(crate) enable_range_engine: bool,
    pub(crate) memory_budget: Option<ByteSize>,
    pub(crate) max_connections: usize,
    pub(crate) min_connections: usize,
    pub(crate) stall_timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) hedge: bool,
    pub(crate) ask_early: bool,
}

impl Default for RangeSettings {
    fn default() -> Self {
        let (config, gate) = (RangeEngineConfig::default(), GateOptions::default());
        Self {
            chunk_size: None,
            max_concurrent_ranges: None,
            min_split_size: None,
            enable_range_engine: true,
            memory_budget: None,
            max_connections: gate.max,
            min_connections: gate.min,
            stall_timeout: config.stall_timeout,
            max_retries: config.max_retries,
            hedge: config.hedge,
            ask_early: config.ask_early,
        }
    }
}

/// `[http]`: connections to all remote sources.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) read_buffer: ByteSize,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let options = TransportOptions::default();
        Self {
            connect_timeout: options.connect_timeout,
            idle_timeout: options.idle_timeout,
            read_buffer: ByteSize(options.read_buffer as u64),
            ca_file: options.extra_roots,
        }
    }
}

/// `[file]`: local files.
#[derive(Clone, Debug)]
pub(crate) struct FileSettings {
    pub(crate) sync_writes: bool,
    pub(crate) enable_range_engine: bool,
    pub(crate) chunk_size: ByteSize,
    pub(crate) max_concurrent_ranges: usize,
    pub(crate) min_split_size: ByteSize,
}

impl Default for FileSettings {
    fn default() -> Self {
        let config = FileSystemConfig::default();
        Self {
            sync_writes: config.sync_writes,
            enable_range_engine: config.enable_range_engine,
            chunk_size: ByteSize(config.range_engine.chunk_size),
            max_concurrent_ranges: config.range_engine.max_concurrent_ranges,
            min_split_size: ByteSize(config.range_engine.min_split_size),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// Another setting that stands for several.
    Preset,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// An option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset => f.write_str(direct::PRESET),
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Env(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Settings {
    /// Reads everything there is.
    ///
    /// # Errors
    /// A file that cannot be read or understood, an unknown key, a value that makes no sense: each with the place.
    pub(crate) fn load(env: &Env, global: &Global) -> Result<Self> {
        let mut settings = Self {
            cloud: env.cloud.clone(),
            rqbit_userpass: env.rqbit_userpass.clone(),
            ..Self::default()
        };
        file::apply(&mut settings, env, global)?;
        keys::apply_env(&mut settings, env)?;
        keys::apply_flags(&mut settings, global)?;
        if settings.cache.dir.is_none() {
            settings.cache.dir = env.cache_home.as_ref().map(|home| home.join("forebay"));
        }
        let state_dir = env.state_home.as_ref().map(|home| home.join("forebay"));
        settings.overlay.state_dir.clone_from(&state_dir);
        settings.log.state_dir = state_dir;
        aws_profile::fill(&mut settings.cloud, env)?;
        Ok(settings)
    }

    /// Where the value of `key` came from.
    pub(crate) fn origin(&self, key: &Key) -> &Origin {
        self.origins.get(key.name).unwrap_or_else(|| self.unsaid(key))
    }

    /// The settings file that would be read, and whether it was there.
    pub(crate) fn settings_file(&self) -> Option<(&Path, bool)> {
        self.settings_file
            .as_ref()
            .map(|(path, found)| (path.as_path(), *found))
    }

    /// The names of the clients' settings that are set in the environment. Their values are never shown.
    pub(crate) fn cloud_names(&self) -> impl Iterator<Item = &str> {
        let rqbit = self.rqbit_userpass.is_some().then_some(RQBIT_USERPASS);
        self.cloud.keys().map(String::as_str).chain(rqbit)
    }

    /// Refuses what torrent clients cannot be told as user and password.
    ///
    /// # Errors
    /// That there is no colon in it, without showing it.
    pub(crate) fn check_rqbit_userpass(&self) -> Result<()> {
        match &self.rqbit_userpass {
            Some(pair) if !pair.0.contains(':') => Err(CliError::usage(
                "the environment variable RQBIT_HTTP_BASIC_AUTH_USERPASS has no colon between user and password",
            )
            .hint("write it as USER:PASSWORD, as rqbit itself wants it, or unset it")),
            _ => Ok(()),
        }
    }

    /// How sources are reached; whose memory budget counts is for the caller to say.
    pub(crate) fn source_options(&self) -> SourceOptions {
        SourceOptions {
            cloud: self.cloud.clone(),
            transport: TransportOptions {
                connect_timeout: self.http.connect_timeout,
                idle_timeout: self.http.idle_timeout,
                read_buffer: usize::try_from(self.http.read_buffer.bytes()).unwrap_or(usize::MAX),
                // What the other tools of a machine trust, ours should.
                extra_roots: self
                    .http
                    .ca_file
                    .clone()
                    .or_else(|| Some(self.cloud.get("aws_ca_bundle")?.into())),
                ..TransportOptions::default()
            },
            sync_writes: self.files().sync_writes,
            direct: self.direct().store(),
            disk: self.direct.disk(),
            // Who counts memory is made when the settings are known.
            memory: None,
            rqbit: self.rqbit.options(self.readahead.readahead_size),
            rqbit_userpass: self.rqbit_userpass.as_ref().map(|pair| pair.0.clone()),
            max_connections: self.range.max_connections,
        }
    }

    /// How the log's bucket is reached: what is acknowledged is on the disk, whatever other puts do.
    pub(crate) fn log_source_options(&self) -> SourceOptions {
        let options = self.source_options();
        SourceOptions {
            sync_writes: true,
            direct: forebay_source::DirectStoreOptions {
                sync_writes: true,
                ..options.direct
            },
            ..options
        }
    }

    /// How the log's segments are read: each key is written once, so nobody has to be asked whether it is still the same.
    pub(crate) fn log_reader_options(&self, memory_budget: u64) -> ReaderOptions {
        let mut options = self.reader_options(memory_budget);
        options.freshness = forebay_reader::Freshness::Never;
        options.read_ahead.enabled = self.log.prefetch_enabled;
        options
    }

    /// Where the buckets of a kind of source are, as far as the settings of its client say.
    pub(crate) fn endpoint(&self, scheme: Scheme) -> String {
        let names: &[&str] = match scheme {
            Scheme::S3 => &["aws_endpoint_url"],
            Scheme::Gcs => &["google_base_url"],
            Scheme::Azure => &["azure_storage_account_name", "azure_storage_endpoint"],
            Scheme::Http | Scheme::File | Scheme::Direct | Scheme::Rqbit => &[],
        };
        let values = names.iter().filter_map(|name| self.cloud.get(*name));
        let values: Vec<&str> = values.map(|value| value.trim_end_matches('/')).collect();
        values.join(" ")
    }

    /// What all reads may use together.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        let usual = EngineOptions::fitting_memory();
        EngineOptions {
            memory_budget: self
                .range
                .memory_budget
                .map_or(usual.memory_budget, ByteSize::bytes),
            gate: self.gate_options(),
        }
    }

    /// How reads go through the cache, where bytes on their way may take `memory_budget`.
    pub(crate) fn reader_options(&self, memory_budget: u64) -> ReaderOptions {
        ReaderOptions {
            freshness: self.cache.freshness(),
            read_ahead: self.readahead.config(memory_budget),
            by_extension: self.readahead.by_extension.clone(),
            verify: self.mount.verify,
        }
    }

    /// Whether an option of the command line turned the cache off, for this run only.
    pub(crate) fn says_no_cache(&self) -> bool {
        matches!(self.origins.get("cache.enabled"), Some(Origin::Flag(_)))
    }

    pub(crate) fn gate_options(&self) -> GateOptions {
        GateOptions {
            max: self.range.max_connections,
            min: self.range.min_connections,
        }
    }

    /// How local files are read and written through the page cache.
    pub(crate) fn files(&self) -> FileSystemConfig {
        let usual = FileSystemConfig::default();
        FileSystemConfig {
            sync_writes: self.file.sync_writes,
            enable_range_engine: self.file.enable_range_engine,
            range_engine: RangeEngineConfig {
                chunk_size: self.file.chunk_size.bytes(),
                max_concurrent_ranges: self.file.max_concurrent_ranges,
                min_split_size: self.file.min_split_size.bytes(),
                ..self.patience(&usual.range_engine)
            },
            ..usual
        }
    }

    /// How local files are read and written past the page cache.
    pub(crate) fn direct(&self) -> FileSystemConfig {
        let direct = &self.direct;
        FileSystemConfig {
            direct_io: direct.direct_io,
            alignment: direct.alignment.map(ByteSize::bytes),
            min_io_size: direct.min_io_size.bytes(),
            sync_writes: direct.sync_writes,
            enable_range_engine: direct.enable_range_engine,
            range_engine: RangeEngineConfig {
                chunk_size: direct.chunk_size.bytes(),
                max_concurrent_ranges: direct.max_concurrent_ranges,
                min_split_size: direct.min_split_size.bytes(),
                ..self.patience(&FileSystemConfig::direct().range_engine)
            },
        }
    }

    /// How objects of a kind of source are read.
    pub(crate) fn range_config(&self, scheme: Scheme, profile: &Profile) -> RangeEngineConfig {
        match scheme {
            Scheme::File => return self.files().effective(),
            Scheme::Direct => return self.direct().effective(),
            Scheme::Rqbit => return self.rqbit.range_config(self.range.chunk_size, profile),
            Scheme::S3 | Scheme::Gcs | Scheme::Azure | Scheme::Http => {}
        }
        let (range, base) = (
            &self.range,
            self.patience(&RangeEngineConfig::for_profile(profile)),
        );
        let min_split = range.min_split_size.map_or(base.min_split_size, ByteSize::bytes);
        RangeEngineConfig {
            chunk_size: range.chunk_size.map_or(base.chunk_size, ByteSize::bytes),
            max_concurrent_ranges: range.max_concurrent_ranges.unwrap_or(base.max_concurrent_ranges),
            min_split_size: if range.enable_range_engine {
                min_split
            } else {
                u64::MAX
            },
            hedge: range.hedge,
            ask_early: range.ask_early,
            ..base
        }
    }

    /// How `source`, as it may be shown, is mounted.
    pub(crate) fn mount_options(&self, scheme: Scheme, source: String, allow_other: bool) -> MountOptions {
        let options = self.mount.options(source, allow_other);
        match scheme {
            Scheme::Rqbit => MountOptions {
                read_timeout: self.rqbit.mount_timeout(options.read_timeout),
                ..options
            },
            _ => options,
        }
    }

    /// With what holds for sources of any kind.
    fn patience(&self, config: &RangeEngineConfig) -> RangeEngineConfig {
        RangeEngineConfig {
            stall_timeout: self.range.stall_timeout,
            max_retries: self.range.max_retries,
            ..config.clone()
        }
    }
}
