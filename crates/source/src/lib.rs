//! Where bytes come from.
//!
//! A [`Location`] is a URL that somebody typed: `s3://bucket/key`, `https://host/file`, `/a/path`. [`Opener::open`]
//! turns it into a [`Source`]: an [`object_store::ObjectStore`] (object_store's clients for S3, GCS and Azure; our
//! own [`HttpStore`], [`FileStore`], [`DirectStore`] and [`RqbitStore`]), the [`object_store::path::Path`] meant in it, who it is ([`Origin`]), and a
//! [`Profile`] that says how it likes to be read. All that is remote speaks through one [`Transport`]. The store
//! comes wrapped as `stack.rs` shows: limited, metered, verified (metered alone on this machine). When a call fails, [`Fault::of`] reads from
//! the `object_store::Error` what the caller should do.
//!
//! Nothing here splits, caches or retries reads: that is for the range engine above.

mod cas;
mod direct;
mod fault;
mod file;
mod http_store;
mod kept;
mod limit;
mod location;
mod meter;
mod open;
mod options;
mod payload;
mod profile;
mod read_only;
mod rqbit;
mod stack;
mod transport;
mod verify;

pub use cas::{CasStore, Chunks};
pub use direct::{DirectStore, DirectStoreOptions};
pub use fault::Fault;
pub use file::{FileStore, FileStoreError, FileStoreOptions};
pub use forebay_types::Origin;
pub use http_store::{HttpStore, WholeBody};
pub use kept::Kept;
pub use limit::{ConnectionBudget, Limit};
pub use location::{Location, LocationError, Scheme};
pub use meter::{Meter, Metered};
pub use open::{LocalFile, OpenError, Opener, Source, version_of};
pub use options::SourceOptions;
pub use profile::Profile;
pub use read_only::{ReadOnly, ReadSource};
pub use rqbit::{
    Daemon, Details, FileBytes, FileFacts, Haves, InfoHash, Listed, Peers, RqbitOptions, RqbitStore, State,
    Stats, StreamStats, TorrentFault, TorrentFile,
};
pub use stack::{wrap, wrap_local};
pub use transport::{
    Body, Connector, EngineRead, Failure, FreshConnection, Service, Transport, TransportOptions, WireMeter,
    jitter, xml_element,
};
pub use verify::Verify;
