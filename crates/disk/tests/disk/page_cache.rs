//! Direct reads leave the page cache as it was.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use forebay_disk::Wanted;
use forebay_types::ByteRange;
use rustix::fs::{Advice, fadvise};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::mounted::Mounted;
use crate::world::*;

const PAGE: u64 = 4096;
const SIZE: u64 = 4 * MIB + 5 * PAGE;

/// Which pages of a file the page cache has.
pub(crate) fn resident(path: &Path) -> Vec<bool> {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    let mut pages = vec![0u8; len.div_ceil(PAGE as usize)];
    // SAFETY: a mapping that nobody reads through, made and undone here; `pages` has a byte for each of its pages.
    unsafe {
        let at = mmap(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ,
            MapFlags::SHARED,
            &file,
            0,
        )
        .unwrap();
        assert_eq!(libc::mincore(at, len, pages.as_mut_ptr()), 0);
        munmap(at, len).unwrap();
    }
    pages.into_iter().map(|page| page & 1 == 1).collect()
}

/// Empties the page cache of a file, then reads its first `bytes` through it, without reading ahead.
fn make_resident(path: &Path, bytes: u64) {
    let file = File::open(path).unwrap();
    // A page that somebody looks at right now (writeback, reclaim) is passed over.
    for _ in 0..100 {
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        if resident(path).iter().all(|page| !page) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fadvise(&file, 0, None, Advice::Random).unwrap();
    file.read_exact_at(&mut vec![0; bytes as usize], 0).unwrap();
}

/// Pages that are resident after all of the file was read directly, of those that were and of those that were not.
fn after_reading(dir: &Path, resident_bytes: u64) -> Vec<(usize, usize, usize)> {
    let bytes = contents(SIZE);
    let path = file(dir, "f", &bytes);
    let ranges: Vec<_> = (0..100).map(|nth| ByteRange::at(nth * 50_001, 50_001)).collect();
    let mut seen = Vec::new();
    for engine in engines() {
        make_resident(&path, resident_bytes);
        let before = resident(&path);
        let disk = disk(engine);
        let file = open(&disk, &path, Wanted::default());
        check_all(&file, &bytes, &ranges);
        check_all(&file, &bytes, &[ByteRange::new(0, SIZE)]);
        let after = resident(&path);
        let stayed = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| **before && **after)
            .count();
        let came = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| !**before && **after)
            .count();
        seen.push((before.iter().filter(|page| **page).count(), stayed, came));
    }
    seen
}

fn assert_untouched(dir: &Path) {
    for (before, stayed, came) in after_reading(dir, 0) {
        assert_eq!(
            (before, stayed, came),
            (0, 0, 0),
            "a direct read filled the page cache"
        );
    }
    // The kernel may want a few pages back meanwhile, for others of this machine; not each time.
    let stays = (0..5).any(|_| {
        after_reading(dir, SIZE / 2)
            .into_iter()
            .all(|(before, stayed, came)| {
                assert_eq!(came, 0, "a direct read filled the page cache");
                // Large folios may have brought a few more pages than half.
                stayed == before && (SIZE / 2 / PAGE..SIZE / PAGE).contains(&(before as u64))
            })
    });
    assert!(stays, "a direct read emptied the page cache");
}

#[test]
fn the_disk_of_the_build_keeps_its_page_cache() {
    finishes(|| {
        let dir = on_disk();
        let path = file(dir.path(), "probe", &contents(PAGE));
        make_resident(&path, 0);
        if resident(&path) != [false] {
            eprintln!("skipped: what is in memory stays there");
            return;
        }
        assert_untouched(dir.path());
    });
}

#[test]
fn ext4_keeps_its_page_cache() {
    finishes(|| {
        let Some(mounted) = Mounted::new("ext4", 512, &["-q"], "rw") else {
            return;
        };
        assert_untouched(mounted.path());
    });
}

#[test]
fn xfs_keeps_its_page_cache() {
    finishes(|| {
        let Some(mounted) = Mounted::new("xfs", 512, &["-q", "-f"], "rw") else {
            return;
        };
        assert_untouched(mounted.path());
    });
}

#[test]
fn btrfs_keeps_its_page_cache_too_where_it_reads_directly() {
    finishes(|| {
        let Some(mounted) = Mounted::new("btrfs", 4096, &["-q", "-f"], "nodatasum") else {
            return;
        };
        assert_untouched(mounted.path());
    });
}
