//! A manifest into a file, or to standard output.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use indicatif::ProgressBar;

use crate::commands::get::dest::{self, Staged};
use crate::exit::{CliError, Result};
use crate::session::Session;

/// Bytes between two moments at which an interrupt is noticed.
const PIECE: usize = 1 << 20;

/// Refuses early what could not be written: nobody wants to hash for an hour first.
pub(super) fn check(file: &str) -> Result<()> {
    if file.ends_with('/') || Path::new(file).is_dir() {
        let file = forebay_types::printable(file);
        return Err(CliError::usage(format!("{file} is a directory")).hint("name the file in it"));
    }
    dest::resolve(Some(file), "").map(|_| ())
}

/// Writes `bytes` into a temporary file beside `file`, which gets the name when it is whole.
pub(super) fn file(session: &Session, file: &str, bytes: &[u8]) -> Result<()> {
    let (directory, name) = dest::resolve(Some(file), "")?;
    session.block_on(async {
        directory.check_free(&name, false)?;
        let staged = directory.stage(&name, bytes.len() as u64)?;
        write(&staged, bytes).await?;
        staged.finish(false)
    })
}

async fn write(staged: &Staged, bytes: &[u8]) -> Result<()> {
    let sink = staged.sink(ProgressBar::hidden());
    let mut offset = 0;
    for piece in bytes.chunks(PIECE) {
        sink.write_at(offset, piece)
            .map_err(|error| staged.explain(forebay_reader::ReadError::Sink(std::sync::Arc::new(error))))?;
        offset += piece.len() as u64;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Writes `bytes` to standard output, as they are.
pub(super) fn stdout(bytes: &[u8]) -> Result<()> {
    let failed = |e: std::io::Error| CliError::stdout(&e);
    let mut out = File::from(rustix::io::dup(rustix::stdio::stdout()).map_err(|e| failed(e.into()))?);
    out.write_all(bytes).map_err(failed)
}
