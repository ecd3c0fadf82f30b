//! O_DIRECT on an open file.

use std::fs::File;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, Result};

#[cfg(target_os = "linux")]
const DIRECT: OFlags = OFlags::DIRECT;
/// There is none here.
#[cfg(not(target_os = "linux"))]
const DIRECT: OFlags = OFlags::empty();

/// Sets O_DIRECT on an open file. Not at its open: there a refusal could not be told from a name that is invalid.
///
/// # Errors
/// [`Errno::INVAL`] if its file system refuses, or the system knows no such flag.
pub fn ask_direct(file: &File) -> Result<()> {
    if DIRECT.is_empty() {
        return Err(Errno::INVAL);
    }
    fcntl_setfl(file, fcntl_getfl(file)? | DIRECT)
}

/// Takes it away: what follows goes through the page cache.
pub(crate) fn leave_direct(file: &File) -> Result<()> {
    fcntl_setfl(file, fcntl_getfl(file)? - DIRECT)
}

pub(crate) fn is_direct(file: &File) -> Result<bool> {
    Ok(!DIRECT.is_empty() && fcntl_getfl(file)?.contains(DIRECT))
}
