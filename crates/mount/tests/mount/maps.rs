//! Memory maps of files.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// Where a part of a file begins, and how long it is, for [`a_process_that_maps`].
const PART: &str = "FOREBAY_TEST_MAP";

/// What a mapping shows of a file, in a process of its own.
///
/// Where a file is read directly (FOPEN_DIRECT_IO), mapping it waits for its pages that are on their way, and the kernel
/// holds the memory map of the process for as long. Who serves the mount in the same process then waits for that as soon
/// as its allocator grows, and never sends the page.
pub(crate) fn read_mapped(file: &File, offset: u64, len: usize) -> Vec<u8> {
    let mut seen = tempfile::tempfile().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "maps::a_process_that_maps", "--ignored", "--nocapture"])
        .env(PART, format!("{offset} {len}"))
        .stdin(file.try_clone().unwrap())
        .stdout(Stdio::null())
        .stderr(seen.try_clone().unwrap())
        .status()
        .unwrap();
    let mut bytes = Vec::new();
    seen.rewind().unwrap();
    seen.read_to_end(&mut bytes).unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Which bytes of a file are changed, and to what, for [`a_process_that_changes_a_mapping`].
const CHANGE: &str = "FOREBAY_TEST_MAP_CHANGE";

/// Changes `len` bytes of a file by a shared mapping, in a process of its own. They are on their way when it returns, or there.
pub(crate) fn change_mapped(file: &File, offset: u64, len: usize, to: u8) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "maps::a_process_that_changes_a_mapping", "--ignored"])
        .env(CHANGE, format!("{offset} {len} {to}"))
        .stdin(file.try_clone().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
#[ignore = "a process that a test starts"]
fn a_process_that_changes_a_mapping() {
    #[expect(clippy::disallowed_methods, reason = "how the process knows what to change")]
    let change = std::env::var(CHANGE).unwrap();
    let numbers: Vec<u64> = change.split(' ').map(|number| number.parse().unwrap()).collect();
    let (offset, len) = (numbers[0], numbers[1] as usize);
    // SAFETY: a new mapping at a place of the kernel's choice.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            std::io::stdin().as_raw_fd(),
            offset as libc::off_t,
        )
    };
    assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: the mapping is ours, and as long as that.
    unsafe { std::ptr::write_bytes(at.cast::<u8>(), numbers[2] as u8, len) };
    // SAFETY: as above.
    let synced = unsafe { libc::msync(at, len, libc::MS_SYNC) };
    assert_eq!(synced, 0, "{}", std::io::Error::last_os_error());
}

#[test]
#[ignore = "a process that a test starts"]
fn a_process_that_maps() {
    #[expect(clippy::disallowed_methods, reason = "how the process knows its part")]
    let part = std::env::var(PART).unwrap();
    let (offset, len) = part.split_once(' ').unwrap();
    let file = File::from(
        std::os::fd::AsFd::as_fd(&std::io::stdin())
            .try_clone_to_owned()
            .unwrap(),
    );
    let map = Map::new(
        &file,
        offset.parse().unwrap(),
        len.parse().unwrap(),
        libc::MAP_SHARED,
    );
    std::io::stderr().write_all(&map).unwrap();
}

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
