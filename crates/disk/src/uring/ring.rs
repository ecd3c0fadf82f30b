//! One ring of the kernel's: reads go in, results come out.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use io_uring::{IoUring, opcode, types};
use rustix::event::EventfdFlags;
use rustix::io::Errno;

use crate::op::Op;
use crate::pool::{SLAB, Shared as Pool};

/// Reads that can be submitted before the kernel is told; it is told at each.
pub(super) const ENTRIES: u32 = 256;

/// Reads that can be done before anybody reaps; more wait in the kernel.
pub(super) const COMPLETIONS: u32 = 4096;

/// How often a submission is tried that the kernel has no memory for.
const PATIENCE: u32 = 1000;

/// How often one thread tells the kernel of others' reads before it goes on with its own work.
const ROUNDS: u32 = 8;

/// The user data of what only wakes a reaper.
const NUDGE: u64 = 0;

/// One ring of the kernel's.
pub(super) struct Ring {
    ring: IoUring,
    /// Rung when reads are done; the driver has it among its runtime's sockets.
    pub(super) event: OwnedFd,
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
    pool: Weak<Pool>,
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
    pub(super) fn new(pool: &Weak<Pool>) -> io::Result<Self> {
        let ring = IoUring::builder().setup_cqsize(COMPLETIONS).build(ENTRIES)?;
        let event = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        let slabs = pool.upgrade().map_or(0, |pool| pool.most_slabs());
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
            pool: pool.clone(),
        })
    }

    /// Gives the kernel a read, or it back if the ring is closed.
    pub(super) fn submit(&self, mut op: Box<Op>) -> Result<(), Box<Op>> {
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
    pub(super) fn tell(&self) {
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
    pub(super) fn call(&self) -> io::Result<()> {
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
        let Some(pool) = self.pool.upgrade() else {
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
    pub(super) fn reap(&self) -> bool {
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
    pub(super) fn close(&self) {
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
    pub(super) fn nudge(&self) {
        // Full means that it is about to wake.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    /// Whether there were more results than the ring has room for.
    pub(super) fn overflown(&self) -> bool {
        let _guard = self.submitting();
        // SAFETY: `submitting` is held.
        unsafe { self.ring.submission_shared() }.cq_overflow()
    }

    /// Whether the kernel has reads of it.
    pub(super) fn has_reads(&self) -> bool {
        self.in_flight.load(SeqCst) > 0
    }

    /// Whether it is closed and empty.
    pub(super) fn is_over(&self) -> bool {
        self.closed.load(SeqCst) && self.in_flight.load(SeqCst) == 0
    }

    /// Reaps on this thread until the ring is closed and empty: memory that the disk still writes to must not go.
    pub(super) fn reap_until_closed(&self) {
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
