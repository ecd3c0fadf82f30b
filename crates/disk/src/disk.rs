//! Everything that reads of one machine's disks share.

use std::fs::File;
use std::io;
use std::sync::Arc;

use forebay_types::{ByteSize, MemoryBudget};

use crate::engine::{Engine, EngineChoice, EngineKind, choose};
use crate::file::{DirectFile, Wanted};
use crate::pool::Pool;
use crate::stats::{Counters, DiskStats};
use crate::write::DirectWriter;

/// How disks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Which engine.
    pub engine: EngineChoice,
    /// Threads of the pread engine; each has one read under way.
    pub threads: usize,
    /// Bytes of buffers that are kept to be used again.
    pub pool_size: u64,
}

impl Default for DiskOptions {
    /// 32 threads: as many reads as one disk can use. 64 MiB: sixteen buffers of 4 MiB, of which four in flight are
    /// at the ceiling of a disk.
    fn default() -> Self {
        Self {
            engine: EngineChoice::Auto,
            threads: 32,
            pool_size: ByteSize::mib(64).bytes(),
        }
    }
}

/// An engine and a pool of buffers. Clones share them; one for a process is right.
#[derive(Clone, Debug)]
pub struct Disk {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) pool: Pool,
    pub(crate) counters: Counters,
    why_not_rings: Option<String>,
}

impl Disk {
    /// Chooses the engine by trying it, and makes an empty pool whose size is set aside in `budget`.
    ///
    /// # Errors
    /// If an engine is insisted on that this machine has not.
    pub fn new(options: DiskOptions, budget: Option<&Arc<dyn MemoryBudget>>) -> io::Result<Self> {
        let pool = Pool::new(options.pool_size, budget);
        let (engine, why_not_rings) = choose(options.engine, options.threads, &pool)?;
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                pool,
                counters: Counters::default(),
                why_not_rings,
            }),
        })
    }

    /// Takes over an open file. With `wanted.direct` it should have been opened with O_DIRECT: one that was not, or
    /// that the kernel says cannot be read so, counts as refused and is read through the page cache.
    ///
    /// # Errors
    /// If the file cannot be asked what it is.
    pub fn open(&self, file: File, wanted: Wanted) -> io::Result<DirectFile> {
        DirectFile::new(self.shared.clone(), file, wanted)
    }

    /// Takes over a new file, open for writing, and sets O_DIRECT on it if `wanted.direct`. One that refuses is written
    /// through the page cache.
    ///
    /// # Errors
    /// If the file cannot be asked what it is.
    pub fn write(&self, file: File, wanted: Wanted) -> io::Result<DirectWriter> {
        DirectWriter::new(self.shared.clone(), file, wanted)
    }

    /// The engine that serves.
    pub fn engine(&self) -> EngineKind {
        self.shared.engine.kind()
    }

    /// Why it is not io_uring, if that was tried.
    pub fn why_not_rings(&self) -> Option<&str> {
        self.shared.why_not_rings.as_deref()
    }

    /// Its buffers.
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Figures so far.
    pub fn stats(&self) -> DiskStats {
        self.shared
            .counters
            .snapshot(self.shared.engine.kind(), self.shared.pool.stats())
    }
}
