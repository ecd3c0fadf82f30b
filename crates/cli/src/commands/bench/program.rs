//! Programs that are started and measured, this one among them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use forebay_types::{Clock, ErrorKind, SystemClock};

use super::direct;
use super::peers::children_cpu_seconds;
use super::sample::Sample;
use super::worker::own_executable;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// This program with the user's settings, but a cache of its own in which `size` bytes have room.
pub(super) fn forebay(session: &Session, cache: &Path, size: u64) -> Result<Command> {
    let mut command = Command::new(own_executable()?);
    if let Some(config) = &session.config_flag {
        command.arg("--config").arg(config);
    }
    let size = size.saturating_mul(4);
    command.arg("--quiet").arg("--cache-dir").arg(cache);
    command.arg("--cache-size").arg(format!("{size}B"));
    Ok(command)
}

/// A program from its start to its end.
pub(super) fn whole(command: &mut Command, what: &str) -> Result<Sample> {
    let clock = SystemClock::new();
    let cpu = children_cpu_seconds();
    let status = command
        .stdout(Stdio::null())
        .status()
        .map_err(|e| lost(what, &e))?;
    if !status.success() {
        return Err(lost(what, &status));
    }
    Ok(timed(clock.now().as_secs_f64(), children_cpu_seconds() - cpu))
}

/// A sample of something that is not reading.
pub(super) fn timed(seconds: f64, cpu_seconds: f64) -> Sample {
    Sample {
        seconds,
        cpu_seconds,
        p50_ms: Some(seconds * 1e3),
        ..Sample::default()
    }
}

pub(super) fn lost(what: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Unavailable, format!("{what}: {error}"))
}

/// What the kernel has of a file is dropped.
pub(super) fn drop_pages(path: &Path) -> Result<()> {
    let dropped = std::fs::File::open(path).and_then(|file| direct::drop_from_cache(&file));
    dropped.map_err(|e| CliError::local(path, "drop from the page cache", &e))
}

/// The largest file below a directory.
pub(super) fn largest(dir: &Path) -> Option<PathBuf> {
    let below = std::fs::read_dir(dir).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        if path.is_dir() { largest(&path) } else { Some(path) }
    });
    below.max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len()))
}
