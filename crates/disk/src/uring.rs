//! io_uring, without a thread of its own where a runtime can do.
//!
//! A read is submitted by the thread that asks for it. The kernel rings an eventfd when reads are done; the runtime
//! that waits for them has it among its sockets, reaps them ([`Driver`]) and wakes who waits, all on one thread. A
//! thread that only reaps costs two wake-ups of idle CPUs for each read, 25 µs each on the machine where this was
//! measured: a third of a read of 4 KiB (docs/decisions/0008-direct-io.md). Each runtime has its ring, because one
//! that is not polled must not keep the reads of another. Where there is no runtime a thread reaps.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use io_uring::{IoUring, opcode, types};
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};

use crate::engine::{Engine, EngineKind};
use crate::op::Op;
use crate::pool::{Pool, SLAB};
use crate::pread::Threads;

/// Reads that can be submitted before the kernel is told; it is told at each.
const ENTRIES: u32 = 256;

/// Reads that can be done before anybody reaps; more wait in the kernel.
const COMPLETIONS: u32 = 4096;

/// How often a submission is tried that the kernel has no memory for.
const PATIENCE: u32 = 1000;

/// How often one thread tells the kernel of others' reads before it goes on with its own work.
const ROUNDS: u32 = 8;

/// The user data of what only wakes a reaper.
const NUDGE: u64 = 0;

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
        let ring = Arc::new(Ring::new(self)?);
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
            let made = Ring::new(self).map(Arc::new).and_then(|ring| {
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

/// One ring of the kernel's.
struct Ring {
    ring: IoUring,
    event: OwnedFd,
    /// Held by who puts entries in.
    submitting: Mutex<()>,
    /// Entries that the kernel has not taken yet. Counted just before they are put in, so never fewer than there are.
    unsent: AtomicUsize,
    /// Held by who tells the kernel of them.
    telling: Mutex<()>,
    /// Held by who takes results out.
    reaping: Mutex<()>,
    /// Reads that the kernel has.
    in_flight: AtomicUsize,
    /// No more reads. Changes under `submitting`.
    closed: AtomicBool,
    /// Which slabs the kernel knows: one of `SLAB_*` each.
    slabs: Box<[AtomicU8]>,
    set: Weak<Shared>,
}

const SLAB_UNKNOWN: u8 = 0;
const SLAB_REGISTERED: u8 = 1;
const SLAB_REFUSED: u8 = 2;

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("in_flight", &self.in_flight)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Ring {
    fn new(set: &Arc<Shared>) -> io::Result<Self> {
        let ring = IoUring::builder().setup_cqsize(COMPLETIONS).build(ENTRIES)?;
        let event = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        let slabs = set.pool.upgrade().map_or(0, |pool| pool.most_slabs());
        // A table of buffers that are told one by one: what is told is pinned, so only what is in use.
        let known = slabs > 0
            && ring
                .submitter()
                .register_buffers_sparse(slabs as u32)
                .inspect_err(|error| tracing::debug!(%error, "no registered buffers"))
                .is_ok();
        let state = if known { SLAB_UNKNOWN } else { SLAB_REFUSED };
        Ok(Self {
            ring,
            event,
            submitting: Mutex::default(),
            unsent: AtomicUsize::new(0),
            telling: Mutex::default(),
            reaping: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            slabs: (0..slabs).map(|_| AtomicU8::new(state)).collect(),
            set: Arc::downgrade(set),
        })
    }

    /// Gives the kernel a read, or it back if the ring is closed.
    fn submit(&self, mut op: Box<Op>) -> Result<(), Box<Op>> {
        let registered = op.slab().filter(|slab| self.knows(*slab));
        let fd = types::Fd(op.file.file.as_raw_fd());
        let (at, memory) = op.target();
        let (start, len) = (memory.as_mut_ptr(), memory.len() as u32);
        let entry = match registered {
            Some(slab) => opcode::ReadFixed::new(fd, start, len, slab).offset(at).build(),
            None => opcode::Read::new(fd, start, len).offset(at).build(),
        };
        let mut guard = self.submitting();
        if self.closed.load(SeqCst) {
            return Err(op);
        }
        if registered.is_some() {
            op.disk.counters.registered_reads.fetch_add(1, Relaxed);
        }
        self.in_flight.fetch_add(1, SeqCst);
        // The kernel has the read from here on: `reap` makes a box of it again.
        let entry = entry.user_data(Box::into_raw(op) as u64);
        loop {
            self.unsent.fetch_add(1, SeqCst);
            // SAFETY: no other queue view exists while `submitting` is held. The entry's file and memory live until it is
            // reaped: the read in its user data owns them, and nobody drops that before.
            if unsafe { self.ring.submission_shared().push(&entry) }.is_ok() {
                break;
            }
            // Full of entries that the kernel did not take yet.
            self.unsent.fetch_sub(1, SeqCst);
            drop(guard);
            self.tell();
            std::thread::yield_now();
            guard = self.submitting();
        }
        drop(guard);
        self.tell();
        Ok(())
    }

    fn submitting(&self) -> MutexGuard<'_, ()> {
        self.submitting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the kernel of what is in the queue. One thread does it at a time and takes along what others put in
    /// meanwhile: they need not wait for it (with 32 reads of 4 KiB at a time on two threads, waiting for each other was
    /// a tenth of the CPU time).
    fn tell(&self) {
        let mut tries = 0;
        for _ in 0..ROUNDS {
            if self.unsent.load(SeqCst) == 0 {
                return;
            }
            // Whoever holds it looks again when he has let go.
            let Ok(telling) = self.telling.try_lock() else {
                return;
            };
            while self.unsent.load(SeqCst) > 0 && tries < PATIENCE {
                match self.call() {
                    Ok(()) => break,
                    Err(_) => {
                        tries += 1;
                        std::thread::yield_now();
                    }
                }
            }
            drop(telling);
        }
        // Enough for others. Once more for who found the lock taken: a reaper that waits in the kernel hears no bell.
        if let Err(error) = self.call() {
            tracing::debug!(%error, "the kernel takes no reads at the moment");
        }
        if self.unsent.load(SeqCst) > 0 {
            self.nudge();
        }
    }

    /// Calls the kernel: it takes what is in the queue, and gives results that it had no room for.
    fn call(&self) -> io::Result<()> {
        let taken = self.ring.submit()?;
        self.unsent.fetch_sub(taken, SeqCst);
        Ok(())
    }

    /// Whether the kernel knows a slab; tells it if it has not been told.
    fn knows(&self, slab: u16) -> bool {
        let Some(state) = self.slabs.get(usize::from(slab)) else {
            return false;
        };
        match state.load(SeqCst) {
            SLAB_REGISTERED => return true,
            SLAB_REFUSED => return false,
            _ => {}
        }
        let _guard = self.submitting();
        if state.load(SeqCst) != SLAB_UNKNOWN {
            return state.load(SeqCst) == SLAB_REGISTERED;
        }
        let Some(pool) = self.set.upgrade().and_then(|set| set.pool.upgrade()) else {
            return false;
        };
        let memory = libc::iovec {
            iov_base: pool.slab_start(slab).cast(),
            iov_len: SLAB,
        };
        // SAFETY: slabs live as long as their pool, and all reads into them own a piece of it.
        let told = unsafe {
            self.ring
                .submitter()
                .register_buffers_update(u32::from(slab), &[memory], None)
        };
        let now = match told {
            Ok(()) => SLAB_REGISTERED,
            Err(error) => {
                // Usually RLIMIT_MEMLOCK. Reads go on without, a little dearer.
                tracing::debug!(%error, slab, "a buffer is not registered");
                SLAB_REFUSED
            }
        };
        state.store(now, SeqCst);
        now == SLAB_REGISTERED
    }

    /// Finishes what the kernel is done with. Whether there was anything.
    fn reap(&self) -> bool {
        let done: Vec<(u64, i32)> = {
            let _guard = self.reaping.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: no other queue view exists while `reaping` is held.
            let queue = unsafe { self.ring.completion_shared() };
            queue.map(|entry| (entry.user_data(), entry.result())).collect()
        };
        for (data, result) in &done {
            if *data == NUDGE {
                continue;
            }
            // SAFETY: user data other than a nudge is a box that `submit` gave up, and each comes back once.
            let op = unsafe { Box::from_raw(*data as *mut Op) };
            op.finish(match usize::try_from(*result) {
                Ok(got) => Ok(got),
                Err(_) => Err(Errno::from_raw_os_error(-result)),
            });
            // After it, so that a ring is not thought empty while a read that goes on is between two submissions.
            self.in_flight.fetch_sub(1, SeqCst);
        }
        !done.is_empty()
    }

    /// Takes no more reads, and wakes the reaper.
    fn close(&self) {
        {
            let _guard = self.submitting();
            self.closed.store(true, SeqCst);
            let nop = opcode::Nop::new().build().user_data(NUDGE);
            self.unsent.fetch_add(1, SeqCst);
            // SAFETY: a no-op refers to no memory; `submitting` is held.
            if unsafe { self.ring.submission_shared().push(&nop) }.is_err() {
                // Full: whoever reaps sees that the ring is closed at the next result.
                self.unsent.fetch_sub(1, SeqCst);
            }
        }
        self.tell();
        self.nudge();
    }

    /// Wakes the driver.
    fn nudge(&self) {
        // Full means that it is about to wake.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether there were more results than the ring has room for.
    fn overflown(&self) -> bool {
        let _guard = self.submitting();
        // SAFETY: `submitting` is held.
        unsafe { self.ring.submission_shared() }.cq_overflow()
    }

    fn is_over(&self) -> bool {
        self.closed.load(SeqCst) && self.in_flight.load(SeqCst) == 0
    }

    /// Reaps on this thread until the ring is closed and empty: memory that the disk still writes to must not go.
    fn reap_until_closed(&self) {
        while !self.is_over() {
            // Takes along what could not be submitted before.
            match self.ring.submit_and_wait(1) {
                Ok(taken) => {
                    self.unsent.fetch_sub(taken, SeqCst);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "waiting for the ring");
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            self.reap();
        }
    }
}

/// The task that reaps a ring for its runtime.
struct Driver {
    ring: Arc<Ring>,
    set: Weak<Shared>,
}

impl Driver {
    async fn run(self, event: AsyncFd<OwnedFd>) {
        while !self.ring.is_over() {
            match event.readable().await {
                // The event is never read: each ring of the bell is an edge of its own.
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            }
            self.ring.reap();
            self.ring.tell();
            // What the kernel has kept for want of room in the ring it gives only when it is called, and without
            // ringing the bell.
            if self.ring.overflown() {
                // If it fails, the next round does it.
                let _ = self.ring.call();
                self.ring.nudge();
            }
        }
    }
}

impl Drop for Driver {
    /// The runtime ends, or the disk is not used any more.
    fn drop(&mut self) {
        self.ring.close();
        if let Some(set) = self.set.upgrade() {
            let mut rings = set.of_runtimes.write().unwrap_or_else(PoisonError::into_inner);
            rings.retain(|(_, ring)| ring.as_ref().is_none_or(|ring| !Arc::ptr_eq(ring, &self.ring)));
        }
        if self.ring.in_flight.load(SeqCst) > 0 {
            let ring = self.ring.clone();
            let reaper = std::thread::Builder::new()
                .name("forebay-ring".to_owned())
                .spawn(move || ring.reap_until_closed());
            if let Err(error) = reaper {
                tracing::warn!(%error, "reads are left to the kernel");
                // Its memory must outlive them.
                std::mem::forget(self.ring.clone());
            }
        }
    }
}
