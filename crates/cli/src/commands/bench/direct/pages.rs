//! What the page cache has of a file when a run begins.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Advice;

use super::scratch::in_background;
use crate::exit::{CliError, Result};

/// What a run finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing of the file.
    Cold,
    /// All of it.
    Warm,
    /// Whatever there is.
    AsItIs,
}

/// A share of the file that may stay behind and is not worth a word.
const STAYS: f64 = 0.01;

/// Sees to it.
pub(super) async fn prepare(path: &Path, before: Before) -> Result<()> {
    if before == Before::AsItIs {
        return Ok(());
    }
    let path = path.to_owned();
    let work = move || {
        let sees_to_it = || -> io::Result<()> {
            let mut file = File::open(&path)?;
            drop_from_cache(&file)?;
            say_what_stays(resident(&file)?);
            if before == Before::Warm {
                io::copy(&mut file, &mut io::sink())?;
            }
            Ok(())
        };
        sees_to_it().map_err(|e| CliError::local(&path, "drop from the page cache", &e))
    };
    in_background(work).await?
}

/// Writes out what is dirty, which stays otherwise, and drops the rest.
pub(in crate::commands::bench) fn drop_from_cache(file: &File) -> io::Result<()> {
    rustix::fs::fdatasync(file)?;
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
    Ok(())
}

/// Once: it is no mistake of the run, but its figures are of another thing.
fn say_what_stays(share: f64) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if share >= STAYS && !SAID.swap(true, Ordering::Relaxed) {
        let percent = share * 100.0;
        tracing::warn!("{percent:.0} % of the file stay in the page cache: runs that should be cold are not");
    }
}

/// The share of a file that the page cache has. Files of others count as there: the kernel does not tell.
fn resident(file: &File) -> io::Result<f64> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if len == 0 {
        return Ok(0.0);
    }
    let mapping = Mapping::new(file, len)?;
    let pages = mapping.resident()?;
    let there = pages.iter().filter(|page| *page & 1 == 1).count();
    Ok(there as f64 / pages.len() as f64)
}

/// A file mapped to be asked about, never to be read.
struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    fn new(file: &File, len: usize) -> io::Result<Self> {
        let fd = std::os::fd::AsRawFd::as_raw_fd(file);
        // SAFETY: a new mapping where the kernel likes; nothing refers to its memory, which is not touched.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, len })
    }

    /// A byte for each page; its lowest bit is set if the page cache has it.
    fn resident(&self) -> io::Result<Vec<u8>> {
        let mut pages = vec![0_u8; self.len.div_ceil(rustix::param::page_size())];
        // SAFETY: the mapping is ours, and `pages` has a byte for each of its pages.
        let told = unsafe { libc::mincore(self.start, self.len, pages.as_mut_ptr()) };
        if told == 0 {
            Ok(pages)
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this length, and unmapped once.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_written_is_there_until_it_is_dropped() {
        // Not where temporary files go: that may be memory.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(resident(&file).unwrap(), 0.0, "no byte at all");
        file.write_all(&vec![7; 1 << 20]).unwrap();
        assert!(resident(&file).unwrap() > 0.99);
        drop_from_cache(&file).unwrap();
        assert!(resident(&file).unwrap() < STAYS);
    }
}
