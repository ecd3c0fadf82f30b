//! What the tests of direct stores share: stores on a disk and in memory, contents, and what the page cache has.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use bytes::Bytes;
use forebay_disk::{Disk, DiskOptions, EngineChoice};
use forebay_source::{DirectStore, DirectStoreOptions};
use object_store::path::Path as Key;
use tempfile::TempDir;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
const PAGE: usize = 4096;

/// A directory on the disk that the build is on.
pub(crate) fn on_disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

pub(crate) fn disk_with(engine: EngineChoice) -> Option<Disk> {
    let options = DiskOptions {
        engine,
        ..DiskOptions::default()
    };
    let disk = Disk::new(options, None);
    disk.inspect_err(|error| eprintln!("skipped: {engine}: {error}"))
        .ok()
}

pub(crate) fn disk() -> Disk {
    disk_with(EngineChoice::Auto).unwrap()
}

/// A disk of each engine that this machine has.
pub(crate) fn disks() -> Vec<Disk> {
    let all = [EngineChoice::IoUring, EngineChoice::Pread];
    all.into_iter().filter_map(disk_with).collect()
}

pub(crate) fn store_with(root: &Path, options: DirectStoreOptions) -> DirectStore {
    DirectStore::open(root, options, &disk()).unwrap()
}

pub(crate) fn store(root: &Path) -> DirectStore {
    store_with(root, DirectStoreOptions::default())
}

/// A store on the disk, in a directory that lives as long as the first of the pair.
pub(crate) fn fresh() -> (TempDir, DirectStore) {
    let dir = on_disk();
    let store = store(dir.path());
    (dir, store)
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Bytes that differ at every place: a misplaced unit shows.
pub(crate) fn contents(len: u64) -> Bytes {
    static ALL: Mutex<Bytes> = Mutex::new(Bytes::new());
    let mut all = ALL.lock().unwrap();
    if (all.len() as u64) < len {
        let words = (0..len.div_ceil(8)).flat_map(|word| {
            let mixed = (word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed ^ (mixed >> 29)).to_le_bytes()
        });
        *all = words.collect();
    }
    all.slice(..len as usize)
}

/// Which pages of a file the page cache has, and can be read from.
pub(crate) fn resident(path: &Path) -> Vec<bool> {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    if len == 0 {
        return Vec::new();
    }
    let mut pages = vec![0u8; len.div_ceil(PAGE)];
    // SAFETY: a mapping that nobody reads through, made and undone here; `pages` has a byte for each of its pages.
    unsafe {
        let null = std::ptr::null_mut();
        let at = libc::mmap(null, len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::mincore(at, len, pages.as_mut_ptr()), 0);
        assert_eq!(libc::munmap(at, len), 0);
    }
    pages.into_iter().map(|page| page & 1 == 1).collect()
}

/// How many pages of a file the page cache has, with those that mincore(2) does not tell of because only a part of them
/// is there (cachestat(2), Linux 6.5).
pub(crate) fn cached_pages(path: &Path) -> u64 {
    const CACHESTAT: libc::c_long = 451;
    let file = File::open(path).unwrap();
    let (range, mut told) = ([0u64; 2], [0u64; 5]);
    // SAFETY: both arrays have the layout of the structures that the call reads and writes.
    let done = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), told.as_mut_ptr(), 0) };
    let seen = resident(path).iter().filter(|page| **page).count() as u64;
    if done == 0 { told[0].max(seen) } else { seen }
}

/// Names that begin like temporary files, anywhere beneath `dir`.
pub(crate) fn temporaries(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let mine = entry.file_name().as_bytes().starts_with(b".forebay-tmp-");
            let is_dir = entry.file_type().unwrap().is_dir();
            usize::from(mine) + if is_dir { temporaries(&entry.path()) } else { 0 }
        })
        .sum()
}

/// How many descriptors of this process lead to a file, deleted or not.
pub(crate) fn descriptors_of(path: &Path) -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    fds.flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter(|link| {
            link.as_os_str()
                .as_bytes()
                .starts_with(path.as_os_str().as_bytes())
        })
        .count()
}

/// A process that runs one ignored test alone, under limits that a line of shell sets.
#[track_caller]
pub(crate) fn run_limited(limits: &str, test: &str) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "{limits}; exec \"$0\" --exact \"$1\" --ignored --nocapture"
        ))
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
