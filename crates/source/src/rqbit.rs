//! Torrents as an object store.
//!
//! A [`Daemon`] is asked: rqbit's HTTP server ([`http`]), or whatever else implements it. The [`catalog`] knows which
//! torrents it has and gives their files keys that any file system can hold ([`names`]). A read finds its file there and
//! becomes a [`ride`] in one of the few [`streams`] that the client has; it waits for pieces that are not here, and says
//! by a [`TorrentFault`] why they do not come. [`facts`] tell how far a file is.
//!
//! A torrent's content never changes, so info hash and index of a file are its version, and the client is asked for no
//! other. Writing is not possible.

mod catalog;
mod daemon;
mod facts;
mod http;
mod json;
mod names;
mod options;
mod places;
mod ride;
mod source;
mod stream;
mod streams;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forebay_types::{ByteRange, Clock, ErrorKind, printable};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, ObjectMeta, Result,
};
use tokio::time::Instant;

use crate::payload::satisfiable;
use crate::read_only::ReadSource;
use crate::transport::Failure;
use catalog::{Catalog, Entry, Found, Shelf};
use streams::Streams;

pub use daemon::{
    Daemon, Details, FileBytes, Haves, InfoHash, Listed, Peers, State, Stats, TorrentFault, TorrentFile,
};
pub use facts::FileFacts;
pub(crate) use http::HttpDaemon;
pub use options::RqbitOptions;
pub use streams::StreamStats;

/// Between two attempts to reach a client that is away.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// The torrents of a client as an object store. Reading only. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct RqbitStore {
    daemon: Arc<dyn Daemon>,
    catalog: Arc<Catalog>,
    streams: Streams,
    patience: Duration,
}

impl RqbitStore {
    /// The store of `daemon`. Asks for nothing yet.
    pub fn new(daemon: Arc<dyn Daemon>, options: RqbitOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog: Arc::new(Catalog::new(daemon.clone(), options.believed, clock.clone())),
            streams: Streams::new(daemon.clone(), options, clock),
            daemon,
            patience: options.read_timeout,
        }
    }

    /// What became of its streams so far.
    pub fn stream_stats(&self) -> StreamStats {
        self.streams.stats()
    }

    /// Files that its listings leave out: padding and links.
    pub(crate) fn skipped(&self) -> u64 {
        self.catalog.known().skipped()
    }

    /// Whether a file that was listed may be executed.
    pub(crate) fn is_executable(&self, location: &Path) -> bool {
        let shelf = self.catalog.known();
        shelf
            .find(location.as_ref())
            .is_some_and(|found| found.executable)
    }

    /// How far a file is, and its torrent.
    ///
    /// # Errors
    /// If there is no such file, or the client cannot tell.
    pub async fn file_facts(&self, location: &Path) -> Result<FileFacts> {
        let fail = |failure: Failure| failure.into_store_error(location.as_ref());
        let shelf = self.catalog.shelf().await.map_err(fail)?;
        let found = shelf
            .find(location.as_ref())
            .ok_or_else(|| fail(missing(&shelf, location)))?;
        let (span, hash, file) = (shelf.span(found), found.hash, found.file);
        facts::facts(&*self.daemon, span, hash, file).await.map_err(fail)
    }

    /// Which files there are, from a client that may be on its way back.
    async fn shelf(&self) -> Result<Arc<Shelf>, Failure> {
        let begun = Instant::now();
        loop {
            match self.catalog.shelf().await {
                Err(failure)
                    if matches!(failure.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut)
                        && begun.elapsed() + ASK_AGAIN < self.patience =>
                {
                    tracing::debug!(%failure, "the torrent client is asked again");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn find(&self, location: &Path) -> Result<Found, Failure> {
        let shelf = self.shelf().await?;
        let found = shelf.find(location.as_ref()).cloned();
        found.ok_or_else(|| missing(&shelf, location))
    }
}

/// There is no such file.
fn missing(shelf: &Shelf, location: &Path) -> Failure {
    if shelf.is_dir(location.as_ref()) {
        return Failure::Directory;
    }
    Failure::Status {
        status: 404,
        code: None,
        message: Some(format!(
            "no torrent has a file '{}'",
            printable(location.as_ref())
        )),
        retry_after: None,
    }
}

fn meta_of(location: Path, found: &Found) -> ObjectMeta {
    ObjectMeta {
        location,
        // 1970 stands for «nobody knows».
        last_modified: Default::default(),
        size: found.length,
        e_tag: Some(format!("\"{}-{}\"", found.hash, found.file)),
        version: None,
    }
}

/// No byte of the file is where the range begins.
fn unsatisfiable(length: u64) -> Failure {
    Failure::Status {
        status: 416,
        code: None,
        message: Some(format!("the file has {length} bytes")),
        retry_after: None,
    }
}

#[async_trait]
impl ReadSource for RqbitStore {
    const WHERE: &'static str = "in torrents";

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fail = |failure: Failure| failure.into_store_error(location.as_ref());
        let found = self.find(location).await.map_err(fail)?;
        let meta = meta_of(location.clone(), &found);
        options.check_preconditions(&meta)?;
        let range = if options.head {
            ByteRange::new(0, found.length)
        } else {
            satisfiable(options.range.as_ref(), found.length)
                .ok_or_else(|| fail(unsatisfiable(found.length)))?
        };
        let stream = if options.head || range.is_empty() {
            futures::stream::empty().boxed()
        } else {
            let path = location.clone();
            let ride = self.streams.read((found.hash, found.file), range, found.length);
            ride.into_stream()
                .map_err(move |failure| failure.into_store_error(path.as_ref()))
                .boxed()
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream),
            meta,
            range: range.into(),
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listed = async move {
            let shelf = this.shelf().await;
            let shelf = shelf.map_err(|failure| failure.into_store_error(prefix.as_ref()))?;
            // The first by itself: who looks whether there is anything wants no more, and a torrent may have 100,000.
            let pages = futures::stream::iter([(0, 1), (1, usize::MAX)]);
            Result::<_>::Ok(pages.flat_map(move |(skip, take)| {
                let files = shelf.below(prefix.as_ref()).skip(skip).take(take);
                // Every key is one that a path can have.
                let metas = files.filter_map(|(key, found)| Some(Ok(meta_of(Path::parse(key).ok()?, found))));
                futures::stream::iter(metas.collect::<Vec<_>>())
            }))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let shelf = self
            .shelf()
            .await
            .map_err(|failure| failure.into_store_error(prefix.as_ref()))?;
        let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
        for (key, entry) in shelf.level(prefix.as_ref()) {
            // Every key is one that a path can have.
            let Ok(path) = Path::parse(key) else { continue };
            match entry {
                Entry::File(found) => objects.push(meta_of(path, found)),
                Entry::Dir => common_prefixes.push(path),
            }
        }
        common_prefixes.sort_unstable();
        Ok(ListResult {
            common_prefixes,
            objects,
            extensions: Extensions::new(),
        })
    }
}

impl fmt::Display for RqbitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.daemon, f)
    }
}

impl fmt::Debug for RqbitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RqbitStore({self})")
    }
}
