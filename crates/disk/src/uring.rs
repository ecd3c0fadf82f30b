//! io_uring, without a thread of its own where a runtime can do.
//!
//! A read is submitted by the thread that asks for it. The kernel rings an eventfd when reads are done; the runtime
//! that waits for them has it among its sockets, reaps them ([`Driver`]) and wakes who waits, all on one thread. A
//! thread that only reaps costs two wake-ups of idle CPUs for each read, 25 µs each on the machine where this was
//! measured: a third of a read of 4 KiB (docs/decisions/0008-direct-io.md). Each runtime has its ring, because one
//! that is not polled must not keep the reads of another. Where there is no runtime a thread reaps.

mod driver;
mod ring;

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use io_uring::{IoUring, opcode};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};

use crate::engine::{Engine, EngineKind};
use crate::op::Op;
use crate::pool::Pool;
use crate::pread::Threads;
use driver::Driver;
use ring::{COMPLETIONS, ENTRIES, Ring};

/// A ring for each runtime, and one with a thread for callers without.
#[derive(Debug)]
pub(crate) struct Rings {
    shared: Arc<Shared>,
    /// For when the machine has rings but none for us any more: no descriptors, no locked memory.
    without: Threads,
}

#[derive(Debug)]
struct Shared {
    pool: Weak<crate::pool::Shared>,
    /// `None` for a runtime that has no I/O driver, or no eventfd left.
    of_runtimes: RwLock<Vec<(Id, Option<Arc<Ring>>)>>,
    /// Held by who makes one of them.
    making: Mutex<()>,
    apart: OnceLock<Option<Arc<Ring>>>,
}

impl Rings {
    /// Tries whether the kernel lets this process have rings that can do what is needed. Asked is not enough:
    /// sandboxes refuse what the version promises.
    pub(crate) fn probe(pool: &Pool, threads: usize) -> io::Result<Self> {
        // As large as they will be: their memory may be limited.
        let mut ring: IoUring = IoUring::builder().setup_cqsize(COMPLETIONS).build(ENTRIES)?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        for code in [opcode::Read::CODE, opcode::ReadFixed::CODE, opcode::Nop::CODE] {
            if !probe.is_supported(code) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("the kernel's io_uring has no operation {code}"),
                ));
            }
        }
        let nop = opcode::Nop::new().build().user_data(7);
        // SAFETY: a no-op refers to no memory.
        unsafe { ring.submission().push(&nop) }.map_err(io::Error::other)?;
        ring.submit_and_wait(1)?;
        match ring.completion().next() {
            Some(done) if done.user_data() == 7 && done.result() >= 0 => {}
            other => return Err(io::Error::other(format!("a no-op of io_uring came to {other:?}"))),
        }
        Ok(Self {
            shared: Arc::new(Shared {
                pool: Arc::downgrade(&pool.shared),
                of_runtimes: RwLock::default(),
                making: Mutex::default(),
                apart: OnceLock::new(),
            }),
            without: Threads::new(threads),
        })
    }
}

impl Engine for Rings {
    fn kind(&self) -> EngineKind {
        EngineKind::IoUring
    }

    fn reaper(&self) -> Option<Id> {
        Handle::try_current().ok().map(|runtime| runtime.id())
    }

    fn start(&self, op: Box<Op>) {
        let of_runtime = Handle::try_current()
            .ok()
            .and_then(|runtime| self.shared.of(&runtime));
        let op = match of_runtime {
            Some(ring) => match ring.submit(op) {
                Ok(()) => return,
                // Its runtime is ending.
                Err(op) => op,
            },
            None => op,
        };
        let left = match self.shared.apart() {
            Some(ring) => ring.submit(op).err(),
            None => Some(op),
        };
        if let Some(op) = left {
            self.without.start(op);
        }
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        let of_runtimes = self
            .shared
            .of_runtimes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let of_runtimes = of_runtimes.iter().filter_map(|(_, ring)| ring.as_ref());
        for ring in of_runtimes.chain(self.shared.apart.get().into_iter().flatten()) {
            ring.close();
        }
    }
}

impl Shared {
    /// The ring of a runtime, made when it first reads.
    fn of(self: &Arc<Self>, runtime: &Handle) -> Option<Arc<Ring>> {
        let id = runtime.id();
        let find = |rings: &[(Id, Option<Arc<Ring>>)]| {
            rings
                .iter()
                .find(|(other, _)| *other == id)
                .map(|(_, ring)| ring.clone())
        };
        if let Some(ring) = find(&self.of_runtimes.read().unwrap_or_else(PoisonError::into_inner)) {
            return ring;
        }
        let _guard = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = find(&self.of_runtimes.read().unwrap_or_else(PoisonError::into_inner)) {
            return ring;
        }
        // Not under the lock of the list: a runtime that is ending drops the driver right away, and that looks into it.
        let ring = self.driven(runtime).inspect_err(|error| {
            tracing::debug!(%error, "this runtime cannot reap: a thread does it");
        });
        let mut rings = self.of_runtimes.write().unwrap_or_else(PoisonError::into_inner);
        rings.push((id, ring.as_ref().ok().cloned()));
        drop(rings);
        ring.ok()
    }

    /// A ring that `runtime` reaps.
    fn driven(self: &Arc<Self>, runtime: &Handle) -> io::Result<Arc<Ring>> {
        let ring = Arc::new(Ring::new(&self.pool)?);
        let event = ring.event.try_clone()?;
        // A runtime without an I/O driver answers with a panic.
        let event = std::panic::catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: an `OwnedFd` is the same open descriptor until it is dropped, which `AsyncFd` does itself.
            unsafe { AsyncFd::register_with_interest(event, Interest::READABLE) }
        }))
        .map_err(|_| io::Error::other("the runtime has no I/O driver"))??;
        let driver = Driver {
            ring: ring.clone(),
            set: Arc::downgrade(self),
        };
        runtime.spawn(driver.run(event));
        Ok(ring)
    }

    /// The ring for callers outside of runtimes.
    fn apart(self: &Arc<Self>) -> Option<Arc<Ring>> {
        let make = || {
            let made = Ring::new(&self.pool).map(Arc::new).and_then(|ring| {
                let reaper = ring.clone();
                std::thread::Builder::new()
                    .name("forebay-ring".to_owned())
                    .spawn(move || reaper.reap_until_closed())?;
                Ok(ring)
            });
            made.inspect_err(|error| tracing::warn!(%error, "no ring to read with: threads do it"))
                .ok()
        };
        self.apart.get_or_init(make).clone()
    }
}
