//! File systems and devices that refuse O_DIRECT: everything works, through the page cache, and it is counted.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use forebay_disk::Wanted;
use object_store::ObjectStoreExt;

use super::mounted::{Loop, Mounted};
use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_refuses_is_written_through_the_page_cache_and_counted() {
    // The journal has the data too, so nothing goes past the page cache, and statx says so.
    let Some(mounted) = Mounted::ext4(24 * MIB, "data=journal") else {
        return;
    };
    let store = store(&mounted.path());
    let all = contents(5 * MIB + 3);
    store.put(&key("put"), all.clone().into()).await.unwrap();
    let mut parts = store.put_multipart(&key("parts")).await.unwrap();
    let written = [all.slice(..1_000_001), all.slice(1_000_001..)].map(|part| parts.put_part(part.into()));
    futures::future::try_join_all(written).await.unwrap();
    parts.complete().await.unwrap();
    let stats = store.disk().stats();
    assert_eq!(
        (stats.refused_files, stats.direct_written, stats.buffered_written),
        (2, 0, 2 * all.len() as u64)
    );
    for name in ["put", "parts"] {
        assert!(
            cached_pages(&mounted.path().join(name)) > 0,
            "that is where it is"
        );
        assert!(store.get(&key(name)).await.unwrap().bytes().await.unwrap() == all);
    }
    let stats = store.disk().stats();
    assert_eq!((stats.refused_files, stats.direct_bytes), (4, 0));
}

/// Gives a loop device other sectors while it is open.
fn set_sector(device: &Path, bytes: u64) {
    const LOOP_SET_BLOCK_SIZE: libc::Ioctl = 0x4C09;
    let device = File::open(device).unwrap();
    // SAFETY: this request takes a number and no pointer.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_BLOCK_SIZE, bytes) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_device_that_refuses_later_is_written_through_the_page_cache_from_then_on() {
    let Some(device) = Loop::new(MIB) else { return };
    let all = contents(20 * 512 + 100);
    let disk = disk();
    let file = OpenOptions::new().write(true).open(device.device()).unwrap();
    let wanted = Wanted {
        alignment: Some(512),
        min_io_size: 512,
        ..Wanted::default()
    };
    let writer = disk.write(file, wanted).unwrap();
    assert_eq!((writer.is_direct(), writer.geometry().unit), (true, 512));
    let write = |start: usize, end: usize| {
        let mut buffer = writer.buffer(end - start).unwrap();
        buffer.as_mut().copy_from_slice(&all[start..end]);
        writer.write(buffer.as_ref(), start as u64).unwrap();
    };
    write(0, 3 * 512);
    assert_eq!(disk.stats().direct_written, 3 * 512);
    // From here on a write of 512 bytes is EINVAL, as on some file systems for some files.
    set_sector(device.device(), 4096);
    write(3 * 512, 4 * 512);
    write(4 * 512, 20 * 512);
    writer.write_end(&all[20 * 512..], 20 * 512).unwrap();
    assert!(!writer.is_direct());
    let stats = disk.stats();
    assert_eq!(
        (stats.refused_files, stats.direct_written, stats.buffered_written),
        (1, 3 * 512, 17 * 512 + 100)
    );
    writer.file().sync_all().unwrap();
    assert!(std::fs::read(device.image()).unwrap()[..all.len()] == all);
}
