//! A mount that is written: what is written lies in a directory of its own.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_reader::Reader;
use forebay_types::SystemClock;
use forebay_vfs::Tree;
use forebay_vfs::merged::{Merged, MergedOptions};
use forebay_vfs::overlay::{OverlayError, Upper};

use crate::args::MountArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// Where what is written over `base` is kept.
///
/// # Errors
/// If nobody says where, or it cannot be made.
pub(super) fn dir(session: &Session, args: &MountArgs, base: &str) -> Result<PathBuf> {
    if let Some(dir) = &args.overlay_dir {
        return Ok(dir.clone());
    }
    let dir = session.settings.overlay.dir_for(base)?;
    if let Some(root) = dir.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(|e| CliError::local(root, "make", &e))?;
    }
    Ok(dir)
}

/// Opens the overlay over `tree`, which is that of `base`, as it may be shown. What a commit put below, over what can
/// change (`is_changing`), it lets go of.
///
/// # Errors
/// Its directory cannot be used, or is in use, or belongs to something else.
pub(super) fn open(
    dir: &Path,
    base: &str,
    is_changing: bool,
    (tree, reader): (Tree, Reader),
) -> Result<Merged> {
    let clock = Arc::new(SystemClock::new());
    let upper = match is_changing {
        true => Upper::open_with_ledger(dir, base, clock),
        false => Upper::open(dir, base, clock),
    };
    let upper = upper.map_err(|e| refused(&e))?;
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let merged = Merged::new(tree, upper, reader, MergedOptions::of(user, group));
    let names = merged
        .settle()
        .map_err(|e| CliError::new(e.kind(), e.to_string()))?;
    if names > 0 {
        tracing::info!(
            names,
            "what was committed is let go of: it is seen as it is below"
        );
    }
    Ok(merged)
}

fn refused(error: &OverlayError) -> CliError {
    CliError::new(error.kind(), error.to_string())
}
