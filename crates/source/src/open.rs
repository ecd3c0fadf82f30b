//! From a URL to a store that can be read.

use std::path::{Component, PathBuf};
use std::sync::{Arc, OnceLock};

use forebay_disk::{Disk, EngineChoice};
use forebay_types::{ErrorKind, ObjectId, Origin, SystemClock, Version, printable};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, RetryConfig};
use url::Url;

use crate::cas::CasStore;
use crate::direct::DirectStore;
use crate::file::{FileStore, FileStoreError, FileStoreOptions};
use crate::http_store::HttpStore;
use crate::limit::ConnectionBudget;
use crate::location::{Location, Scheme};
use crate::meter::Meter;
use crate::options::SourceOptions;
use crate::profile::Profile;
use crate::read_only::ReadOnly;
use crate::rqbit::{Daemon, HttpDaemon, RqbitStore};
use crate::stack::{wrap, wrap_local};
use crate::transport::{Connector, Transport, TransportOptions};

/// Reads of torrents that may wait for a stream at a time; more wait before that.
const MAX_WAITING: usize = 1024;

/// Opens sources. All of one opener share a transport (connections) and a budget of requests in flight.
#[derive(Clone, Debug)]
pub struct Opener {
    options: Arc<SourceOptions>,
    budget: ConnectionBudget,
    transport: Arc<OnceLock<Transport>>,
    /// For torrent clients, which keep streams waiting.
    patient: Arc<OnceLock<Transport>>,
    disk: Arc<OnceLock<Disk>>,
}

/// A store that can be read, and what is known of it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The store, wrapped (see [`wrap`]).
    pub store: Arc<dyn ObjectStore>,
    /// What the URL names in it: an object, or a prefix.
    pub path: Path,
    /// Whether the URL says, by a final `/` or an empty key, that a prefix is meant.
    pub is_prefix: bool,
    /// Who it is.
    pub origin: Origin,
    /// How it likes to be read.
    pub profile: Profile,
    /// What was asked of it.
    pub meter: Arc<Meter>,
    lister: Lister,
}

/// Who knows how many names its listings left out.
#[derive(Clone, Debug)]
enum Lister {
    Wire(Transport),
    Web(HttpStore),
    Files(FileStore),
    /// The same, past the page cache.
    Direct(FileStore),
    Torrents(RqbitStore),
    Other,
}

/// An object that is a file of this machine, open for reading.
#[derive(Debug)]
pub struct LocalFile {
    /// The file.
    pub file: std::fs::File,
    /// Its version when it was opened.
    pub version: Version,
    /// Its bytes then.
    pub size: u64,
}

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting that the cloud client does not know, or cannot use.
    #[error("{location} cannot be opened: {source}")]
    Client {
        /// Which URL.
        location: String,
        /// What the client says.
        source: object_store::Error,
    },
    /// A key or path that cannot be addressed.
    #[error("'{name}' cannot be addressed in {location}: {why}")]
    Name {
        /// Which URL.
        location: String,
        /// The part of it.
        name: String,
        /// Why not.
        why: String,
    },
    /// A local path that is not usable.
    #[error("{path}: {source}")]
    Local {
        /// Which path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A way to read disks that this machine has not.
    #[error("direct reads by {engine} are not to be had here: {source}")]
    Disk {
        /// Which was insisted on.
        engine: EngineChoice,
        /// What the system says.
        source: std::io::Error,
    },
    /// A directory that is not usable.
    #[error(transparent)]
    File(#[from] FileStoreError),
}

impl OpenError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Client { .. } | Self::Name { .. } => ErrorKind::Invalid,
            Self::Local { source, .. } | Self::Disk { source, .. } => source.kind().into(),
            Self::File(error) => error.kind(),
        }
    }
}

impl Opener {
    /// An opener with its own connections and budget.
    pub fn new(options: SourceOptions) -> Self {
        let budget = ConnectionBudget::new(options.max_connections());
        Self {
            options: Arc::new(options),
            budget,
            transport: Arc::default(),
            patient: Arc::default(),
            disk: Arc::default(),
        }
    }

    /// The requests in flight of all its sources.
    pub fn budget(&self) -> &ConnectionBudget {
        &self.budget
    }

    /// The connections of all its remote sources.
    pub fn transport(&self) -> &Transport {
        self.transport
            .get_or_init(|| Transport::new(self.options.transport.clone()))
    }

    /// What all its files are read with past the page cache; made when the first one is opened.
    ///
    /// # Errors
    /// If an engine is insisted on that this machine has not.
    pub fn disk(&self) -> Result<&Disk, OpenError> {
        if let Some(disk) = self.disk.get() {
            return Ok(disk);
        }
        let disk = Disk::new(self.options.disk, self.options.memory.as_ref());
        let disk = disk.map_err(|source| OpenError::Disk {
            engine: self.options.disk.engine,
            source,
        })?;
        Ok(self.disk.get_or_init(|| disk))
    }

    /// Opens what `location` names. Sends nothing: whether the object exists, the first read tells.
    ///
    /// # Errors
    /// [`OpenError`], always before any request.
    pub fn open(&self, location: &Location) -> Result<Source, OpenError> {
        match location {
            Location::Bucket { scheme, bucket, key } => self.open_bucket(location, *scheme, bucket, key),
            Location::Web(url) => {
                let store = HttpStore::new(url.clone(), self.transport().clone());
                let store = store.with_budget(self.budget.clone());
                let origin = Origin::new(store.origin_url(), fingerprint(&store.scope()));
                let path = store.object_path();
                let lister = Lister::Web(store.clone());
                let store = Arc::new(ReadOnly(store));
                let is_prefix = location.is_prefix();
                Ok(self.source(store, path, is_prefix, origin, Profile::REMOTE, lister))
            }
            Location::File(path) | Location::Direct(path) => self.open_file(location, path),
            Location::Rqbit { api, path } => self.open_rqbit(location, api, path),
        }
    }

    /// A store of the caller's own, wrapped and budgeted as the others.
    pub fn adopt(&self, store: Arc<dyn ObjectStore>, path: Path, origin: Origin, profile: Profile) -> Source {
        self.source(store, path, false, origin, profile, Lister::Other)
    }

    /// The objects below the path of `source` by what is in them: see [`CasStore`]. Asks for nothing.
    pub fn open_cas(&self, source: &Source) -> (Source, CasStore) {
        let store = CasStore::new(source);
        let by_content = Source {
            // Wrapped already, below: a budget that is asked twice for one request waits for itself.
            store: Arc::new(ReadOnly(store.clone())),
            path: Path::ROOT,
            is_prefix: true,
            // The same content below two prefixes is read as two, for who may read the one may not read the other.
            origin: Origin::new(
                format!("cas:{}/{}", source.origin.url(), source.path),
                source.origin.scope(),
            ),
            profile: source.profile,
            meter: source.meter.clone(),
            lister: Lister::Other,
        };
        (by_content, store)
    }

    /// A new, empty store in memory.
    pub fn memory(&self) -> Source {
        let origin = Origin::new("memory://", "");
        self.source(
            Arc::new(InMemory::new()),
            Path::ROOT,
            true,
            origin,
            Profile::MEMORY,
            Lister::Other,
        )
    }

    fn source(
        &self,
        bare: Arc<dyn ObjectStore>,
        path: Path,
        is_prefix: bool,
        origin: Origin,
        profile: Profile,
        lister: Lister,
    ) -> Source {
        let meter = Arc::new(Meter::default());
        let store = match lister {
            Lister::Files(_) | Lister::Direct(_) => wrap_local(bare, meter.clone()),
            Lister::Wire(_) | Lister::Web(_) | Lister::Other => {
                wrap(bare, meter.clone(), self.budget.clone())
            }
            // Its streams are few by a rule of its own; what waits for one must not keep other sources waiting.
            Lister::Torrents(_) => wrap(bare, meter.clone(), ConnectionBudget::new(MAX_WAITING)),
        };
        Source {
            store,
            path,
            is_prefix,
            origin,
            profile,
            meter,
            lister,
        }
    }

    fn open_bucket(
        &self,
        location: &Location,
        scheme: Scheme,
        bucket: &str,
        key: &str,
    ) -> Result<Source, OpenError> {
        let client = |source| OpenError::Client {
            location: location.to_string(),
            source,
        };
        let bare_key = key.strip_suffix('/').unwrap_or(key);
        let name = |why: String| OpenError::Name {
            location: location.to_string(),
            name: printable(key).into_owned(),
            why,
        };
        let path = Path::parse(bare_key).map_err(|e| name(e.to_string()))?;
        if path.as_ref() != bare_key {
            return Err(name("it starts with '/'".to_owned()));
        }
        // Reads are resumed by the range engine, all else repeated by the transport.
        let no_retries = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let connector = Connector(self.transport().clone());
        let value = |name: &str| self.options.cloud.get(name).map(String::as_str);
        let (store, url, scope): (Arc<dyn ObjectStore>, String, &str) = match scheme {
            Scheme::Gcs => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(bucket)
                    .with_retry(no_retries)
                    .with_http_connector(connector);
                for (key, value) in cloud::<GoogleConfigKey>(&self.options, "google_") {
                    builder = builder.with_config(key, value);
                }
                let url = format!("gs://{bucket}@{}", value("google_base_url").unwrap_or_default());
                (
                    Arc::new(builder.build().map_err(client)?),
                    url,
                    value("google_service_account").unwrap_or_default(),
                )
            }
            Scheme::Azure => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_container_name(bucket)
                    .with_retry(no_retries)
                    .with_http_connector(connector);
                for (key, value) in cloud::<AzureConfigKey>(&self.options, "azure_") {
                    builder = builder.with_config(key, value);
                }
                let account = value("azure_storage_account_name").unwrap_or_default();
                let url = format!(
                    "az://{bucket}@{account}{}",
                    value("azure_storage_endpoint").unwrap_or_default()
                );
                (Arc::new(builder.build().map_err(client)?), url, account)
            }
            _ => {
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    .with_retry(no_retries)
                    .with_http_connector(connector);
                for (key, value) in cloud::<AmazonS3ConfigKey>(&self.options, "aws_") {
                    builder = builder.with_config(key, value);
                }
                let endpoint = value("aws_endpoint_url")
                    .or(value("aws_region"))
                    .unwrap_or_default();
                let url = format!("s3://{bucket}@{}", endpoint.trim_end_matches('/'));
                (
                    Arc::new(builder.build().map_err(client)?),
                    url,
                    value("aws_access_key_id").unwrap_or_default(),
                )
            }
        };
        let origin = Origin::new(url, fingerprint(scope));
        let lister = Lister::Wire(self.transport().clone());
        Ok(self.source(store, path, location.is_prefix(), origin, Profile::REMOTE, lister))
    }

    fn open_rqbit(&self, location: &Location, api: &Url, path: &str) -> Result<Source, OpenError> {
        let patient = || {
            Transport::new(TransportOptions {
                // A piece may be long in coming: the store itself knows how long a read waits.
                stall_timeout: self.options.rqbit.read_timeout.saturating_mul(2),
                ..self.options.transport.clone()
            })
        };
        let transport = self.patient.get_or_init(patient).clone();
        let daemon = HttpDaemon::new(api.clone(), self.options.rqbit_userpass.as_deref(), transport);
        let origin = Origin::new(daemon.origin_url(), fingerprint(&daemon.scope()));
        let bare_path = path.strip_suffix('/').unwrap_or(path);
        let name = |why: String| OpenError::Name {
            location: location.to_string(),
            name: printable(path).into_owned(),
            why,
        };
        let parsed = Path::parse(bare_path).map_err(|e| name(e.to_string()))?;
        if parsed.as_ref() != bare_path {
            return Err(name("it starts with '/'".to_owned()));
        }
        Ok(Source {
            path: parsed,
            is_prefix: location.is_prefix(),
            ..self.open_torrents(Arc::new(daemon), origin)
        })
    }

    /// All torrents of a client, whichever way it is spoken to. Sends nothing.
    pub fn open_torrents(&self, daemon: Arc<dyn Daemon>, origin: Origin) -> Source {
        let store = RqbitStore::new(daemon, self.options.rqbit, Arc::new(SystemClock::new()));
        let lister = Lister::Torrents(store.clone());
        self.source(
            Arc::new(ReadOnly(store)),
            Path::ROOT,
            true,
            origin,
            Profile::TORRENT,
            lister,
        )
    }

    fn open_file(&self, location: &Location, typed: &std::path::Path) -> Result<Source, OpenError> {
        let local = |path: &std::path::Path| {
            let path = printable(&path.to_string_lossy()).into_owned();
            move |source| OpenError::Local { path, source }
        };
        // The path that the user names is followed wherever it leads; what lies below it is not (FileStore).
        let (root, key) = match std::fs::canonicalize(typed) {
            Ok(found) if found.is_dir() => (found, String::new()),
            Ok(found) => split_file(&found)?,
            // Not there: perhaps it is to be written. Its nearest directory that exists becomes the root.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing(typed).map_err(local(typed))?
            }
            Err(error) => return Err(local(typed)(error)),
        };
        let name = |why: String| OpenError::Name {
            location: location.to_string(),
            name: printable(&key).into_owned(),
            why,
        };
        let path = Path::parse(&key).map_err(|e| name(e.to_string()))?;
        // The same file is the same object, whichever way it is read.
        let origin = Origin::new(format!("file://{}", root.display()), "");
        let is_prefix = key.is_empty() || location.is_prefix();
        if location.scheme() == Scheme::Direct {
            let store = DirectStore::open(&root, self.options.direct, self.disk()?)?;
            let lister = Lister::Direct(store.files().clone());
            return Ok(self.source(Arc::new(store), path, is_prefix, origin, Profile::DIRECT, lister));
        }
        let options = FileStoreOptions {
            sync_writes: self.options.sync_writes,
            ..FileStoreOptions::default()
        };
        let store = FileStore::open(&root, options)?;
        let lister = Lister::Files(store.clone());
        Ok(self.source(Arc::new(store), path, is_prefix, origin, Profile::FILE, lister))
    }
}

/// The settings of one cloud client. Names that it does not know are left out: the environment, where they usually
/// come from, is shared with other tools (`AWS_PAGER`, `AWS_PROFILE`, …).
fn cloud<'a, K: std::str::FromStr + 'a>(
    options: &'a SourceOptions,
    prefix: &'a str,
) -> impl Iterator<Item = (K, &'a String)> {
    options
        .cloud
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .filter_map(|(name, value)| {
            let key = name.parse().ok();
            if key.is_none() {
                tracing::debug!(name, "not a setting of the cloud client: left out");
            }
            Some((key?, value))
        })
}

/// Directory and name of an existing file.
fn split_file(found: &std::path::Path) -> Result<(PathBuf, String), OpenError> {
    let error = |why: &str| OpenError::Name {
        location: printable(&found.to_string_lossy()).into_owned(),
        name: found
            .file_name()
            .map(|n| printable(&n.to_string_lossy()).into_owned())
            .unwrap_or_default(),
        why: why.to_owned(),
    };
    let parent = found.parent().ok_or_else(|| error("it has no directory"))?;
    let name = found
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or_else(|| error("its name is not UTF-8"))?;
    Ok((parent.to_owned(), name.to_owned()))
}

/// The nearest existing directory above a path that does not exist, and the rest of the path.
fn missing(typed: &std::path::Path) -> std::io::Result<(PathBuf, String)> {
    let absolute = std::path::absolute(typed)?;
    if absolute.components().any(|c| c == Component::ParentDir) {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    for above in absolute.ancestors().skip(1) {
        if let Ok(root) = std::fs::canonicalize(above) {
            if !root.is_dir() {
                return Err(std::io::ErrorKind::NotADirectory.into());
            }
            let rest = absolute.strip_prefix(above).unwrap_or(&absolute);
            let rest = rest.to_str().ok_or(std::io::ErrorKind::InvalidFilename)?;
            return Ok((root, rest.to_owned()));
        }
    }
    Err(std::io::ErrorKind::NotFound.into())
}

/// A short name for a credential's public half: FNV-1a, so that maps and logs do not even show the key's id. Nothing for
/// nothing.
fn fingerprint(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

impl Source {
    /// Names that listings left out so far, because no path can hold them or nothing can be read there: of this tree,
    /// or of all remote sources of its opener.
    pub fn skipped_names(&self) -> u64 {
        match &self.lister {
            Lister::Wire(transport) => transport.meter().skipped_keys(),
            Lister::Web(store) => store.skipped(),
            Lister::Files(store) | Lister::Direct(store) => store.skipped(),
            Lister::Torrents(store) => store.skipped(),
            Lister::Other => 0,
        }
    }

    /// The torrents that it is; `None` if it is something else.
    pub fn torrents(&self) -> Option<&RqbitStore> {
        match &self.lister {
            Lister::Torrents(store) => Some(store),
            _ => None,
        }
    }

    /// Whether what the URL names can be listed, as far as one request tells; other stores than web servers always can.
    ///
    /// # Errors
    /// Why it cannot.
    ///
    /// # Cancel safety
    /// Dropping the future ends its request.
    pub async fn check_listing(&self) -> object_store::Result<()> {
        match &self.lister {
            Lister::Web(store) => store.check_listing().await,
            _ => Ok(()),
        }
    }

    /// Opens an object that is a file of this machine and may be read through its page cache; `None` if it is not. Blocks
    /// for a few system calls.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub fn open_local(&self, path: &Path) -> Option<Result<LocalFile, FileStoreError>> {
        let Lister::Files(store) = &self.lister else {
            return None;
        };
        let opened = store.inner.find(path).map(|found| LocalFile {
            version: version_of(&found.stamp.describe(path.clone())),
            size: found.stamp.size,
            file: found.file,
        });
        Some(opened)
    }

    /// The identity of the object that `meta` describes.
    pub fn object_id(&self, meta: &ObjectMeta) -> ObjectId {
        ObjectId {
            origin: self.origin.clone(),
            key: meta.location.as_ref().into(),
            version: version_of(meta),
            size: meta.size,
        }
    }
}

/// What tells this version of an object from the next, as far as the store says.
pub fn version_of(meta: &ObjectMeta) -> Version {
    let micros = meta.last_modified.timestamp_micros();
    match &meta.e_tag {
        Some(tag) => Version::ETag(tag.as_str().into()),
        // 1970 is what stores say that do not know (see HttpStore).
        None if micros != 0 => Version::Modified(micros),
        None => Version::Unknown,
    }
}
