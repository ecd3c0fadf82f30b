//! Memory maps of files.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::AsRawFd;

/// A part of a file, mapped. The file may be closed meanwhile.
pub(crate) struct Map {
    at: *mut libc::c_void,
    len: usize,
}

impl Map {
    /// `len` bytes from `offset` on; `flags` are `MAP_SHARED` or `MAP_PRIVATE`, and what goes with them.
    pub(crate) fn new(file: &File, offset: u64, len: usize, flags: i32) -> Self {
        let protection = if flags & libc::MAP_PRIVATE != 0 {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        // SAFETY: a new mapping at a place of the kernel's choice.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                flags,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self { at, len }
    }

    /// Says how it will be read.
    pub(crate) fn advise(&self, advice: i32) {
        // SAFETY: the mapping is ours; none of the kinds of advice that tests give takes bytes away that were changed.
        let advised = unsafe { libc::madvise(self.at, self.len, advice) };
        assert_eq!(advised, 0, "{}", std::io::Error::last_os_error());
    }

    /// Changes a byte of a private mapping.
    pub(crate) fn set(&mut self, at: usize, byte: u8) {
        assert!(at < self.len);
        // SAFETY: inside the mapping, which is private and may be written to; nobody else has it.
        unsafe { self.at.cast::<u8>().add(at).write(byte) };
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`, and no test makes its file shorter.
        unsafe { std::slice::from_raw_parts(self.at.cast(), self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more.
        unsafe { libc::munmap(self.at, self.len) };
    }
}
