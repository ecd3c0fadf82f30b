//! Who talks to the kernel: one small trait, two engines, chosen by trying.

use std::fmt;

use crate::op::Op;
use crate::pread::Threads;

/// Carries out reads. [`Op::finish`] is called once for each, from whatever thread.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// Which one.
    fn kind(&self) -> EngineKind;

    /// The runtime that has to be polled for a read to come to its end that is begun here and now; `None` if it does
    /// by itself.
    fn reaper(&self) -> Option<tokio::runtime::Id> {
        None
    }

    /// Begins a read. Does not wait for the disk.
    fn start(&self, op: Box<Op>);
}

/// The engines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// The kernel's rings: a read is submitted where it is asked for, and reaped by the runtime that waits for it.
    IoUring,
    /// A pool of threads that wait in pread(2).
    Pread,
}

/// Which engine to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineChoice {
    /// io_uring if the kernel lets us, else threads.
    #[default]
    Auto,
    /// io_uring, or an error.
    IoUring,
    /// Threads.
    Pread,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Pread => "pread",
        })
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Pread => "pread",
        })
    }
}

/// The engine that `choice` comes to on this machine, and why it is not io_uring if that was tried.
///
/// # Errors
/// If io_uring was insisted on and cannot be had.
pub(crate) fn choose(
    choice: EngineChoice,
    threads: usize,
    pool: &crate::Pool,
) -> std::io::Result<(Box<dyn Engine>, Option<String>)> {
    if choice == EngineChoice::Pread {
        return Ok((Box::new(Threads::new(threads)), None));
    }
    match ring(pool, threads) {
        Ok(rings) => Ok((rings, None)),
        Err(error) if choice == EngineChoice::IoUring => Err(error),
        Err(error) => {
            tracing::info!(%error, "no io_uring here: direct reads go through threads");
            Ok((Box::new(Threads::new(threads)), Some(error.to_string())))
        }
    }
}

#[cfg(target_os = "linux")]
fn ring(pool: &crate::Pool, threads: usize) -> std::io::Result<Box<dyn Engine>> {
    Ok(Box::new(crate::uring::Rings::probe(pool, threads)?))
}

#[cfg(not(target_os = "linux"))]
fn ring(_: &crate::Pool, _: usize) -> std::io::Result<Box<dyn Engine>> {
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "io_uring is a part of Linux",
    ))
}
