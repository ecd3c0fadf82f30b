//! Settings of sources. Plain data: who fills it (the command line reads environment and files) is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_disk::DiskOptions;
use forebay_types::MemoryBudget;

use crate::direct::DirectStoreOptions;
use crate::rqbit::RqbitOptions;
use crate::transport::TransportOptions;

/// How stores are reached.
#[derive(Clone, Default)]
pub struct SourceOptions {
    /// Settings of the cloud clients by the names of their environment variables in lower case (`aws_access_key_id`,
    /// `aws_endpoint_url`, `google_service_account`, `azure_storage_account_name`, …). Names that the client does not
    /// know are left out.
    pub cloud: BTreeMap<String, String>,
    /// Connections.
    pub transport: TransportOptions,
    /// Whether a put to a local file returns only when the disk has it.
    pub sync_writes: bool,
    /// How files are read and written past the page cache.
    pub direct: DirectStoreOptions,
    /// What all of them are read with.
    pub disk: DiskOptions,
    /// How torrents are read.
    pub rqbit: RqbitOptions,
    /// User and password for torrent clients whose URL has none, as `user:password`.
    pub rqbit_userpass: Option<String>,
    /// Who counts the memory that is kept for that.
    pub memory: Option<Arc<dyn MemoryBudget>>,
    /// Requests in flight in the whole process; 0 means the default of 64 (S3 answers about 90 MB/s on each).
    pub max_connections: usize,
}

impl SourceOptions {
    /// The cap on requests in flight.
    pub fn max_connections(&self) -> usize {
        if self.max_connections == 0 {
            64
        } else {
            self.max_connections
        }
    }
}

impl std::fmt::Debug for SourceOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: among the values are secrets.
        f.debug_struct("SourceOptions")
            .field("cloud", &self.cloud.keys().collect::<Vec<_>>())
            .field("transport", &self.transport)
            .field("sync_writes", &self.sync_writes)
            .field("direct", &self.direct)
            .field("disk", &self.disk)
            .field("rqbit", &self.rqbit)
            .field("max_connections", &self.max_connections())
            .finish()
    }
}
