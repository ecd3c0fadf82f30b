//! Any range of any file, against a plain read.

use std::os::unix::fs::OpenOptionsExt;

use forebay_disk::{Disk, DiskOptions, EngineChoice, MAX_READ, Wanted};
use forebay_types::ByteRange;

fn content(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_what_a_plain_read_gives() {
    for engine in [EngineChoice::IoUring, EngineChoice::Pread] {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        let bytes = content(9_000_001);
        std::fs::write(&path, &bytes).unwrap();
        let disk = Disk::new(
            DiskOptions {
                engine,
                ..DiskOptions::default()
            },
            None,
        )
        .unwrap();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .unwrap();
        let file = disk.open(file, Wanted::default()).unwrap();
        assert!(file.is_direct());
        for (start, end) in [
            (0, 1),
            (0, 4096),
            (1, 4097),
            (4095, 4096),
            (0, 9_000_001),
            (8_999_999, 9_000_001),
            (5, 5),
        ] {
            let mut got = Vec::new();
            for piece in file.pieces(ByteRange::new(start, end), MAX_READ) {
                got.extend_from_slice(&file.read(piece).await.unwrap());
            }
            assert!(
                got == bytes[start as usize..end as usize],
                "{start}-{end} {engine}"
            );
        }
        println!("{:?}", disk.stats());
    }
}
