use std::path::Path;
use std::process::Command;

use forebay_log::metadata::{MetadataStore, SqliteMetadataStore};
use forebay_types::ErrorKind;
use ulid::Ulid;

use crate::rig::{LONG, at, create, segment, write};

/// A file system of four megabytes, until it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "none"])
            .arg(dir.path())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("not run: file systems cannot be mounted here (it needs root)");
            return None;
        }
        Some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_is_told() {
    let Some(disk) = Small::mount() else { return };
    let store = SqliteMetadataStore::open(disk.path().join("log.db"))
        .await
        .unwrap();
    create(&store, "t", 1).await;
    let lease = store
        .acquire(Ulid::generate(), &[at("t", 0)], LONG)
        .await
        .unwrap()
        .remove(0);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let part = |n: u64| {
        let mut segment = segment(at("t", 0), lease.epoch, n, n + 1, 1);
        segment.index = vec![7; 50_000].into();
        vec![segment]
    };
    let mut done = 0;
    let error = loop {
        match write(&store, part(done)).await {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
        assert!(done < 1000, "four megabytes are never full");
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    assert!(done > 0);
    // Reads go on, and nothing that was committed is missing.
    let ends = store.partitions(&[at("t", 0)]).await.unwrap().remove(0);
    assert_eq!((ends.high_watermark, ends.segments), (done, done));
    for offset in 0..done {
        let found = store
            .find_segment_for_offset(&at("t", 0), offset)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.index, vec![7; 50_000]);
    }
    std::fs::remove_file(ballast).unwrap();
    write(&store, part(done)).await.unwrap();
    assert_eq!(
        store.partitions(&[at("t", 0)]).await.unwrap()[0].high_watermark,
        done + 1
    );
    drop(store);
}
