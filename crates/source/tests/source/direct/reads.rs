//! Reads past the page cache: one version of a file, or an error.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use forebay_source::{DirectStore, Kept};
use forebay_types::ErrorKind;
use futures::StreamExt;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt};

use super::world::*;
use crate::world::{kind, within};

/// To be changed in place, as a foreign program would.
fn open(file: &Path) -> File {
    OpenOptions::new().write(true).open(file).unwrap()
}

/// A file that was written long ago, so that a change now is later whatever the steps of the file system's clock.
fn old_file(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    open(path).sync_all().unwrap();
    open(path).set_modified(std::time::UNIX_EPOCH).unwrap();
}

const SIZE: u64 = 20 * MIB + 5;

/// Something done to a file while it is read.
type Change = fn(&Path) -> std::io::Result<()>;

/// What another program may do to a file in place.
const CHANGES: [(&str, Change); 5] = [
    ("append", |file| open(file).write_all_at(b"more", SIZE)),
    ("truncate", |file| open(file).set_len(17 * MIB + 5)),
    ("empty", |file| open(file).set_len(0)),
    ("overwrite", |file| open(file).write_all_at(b"other", 17 * MIB)),
    ("overwrite what is being read", |file| {
        open(file).write_all_at(b"other", 4 * MIB)
    }),
];

/// What leaves the file that is read as it is.
const REPLACED: [(&str, Change); 2] = [
    ("replace", |file| {
        let other = file.with_extension("new");
        std::fs::write(&other, vec![1; SIZE as usize])?;
        std::fs::rename(other, file)
    }),
    ("delete", |file| std::fs::remove_file(file)),
];

/// Reads the first piece of a file, lets `change` happen, and collects the rest.
async fn stream_across(store: &DirectStore, path: &Path, change: Change) -> (usize, Option<ErrorKind>) {
    old_file(path, &contents(SIZE));
    let mut stream = store.get(&key("f")).await.unwrap().into_stream();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.len() as u64, 4 * MIB);
    let mut got = first.to_vec();
    change(path).unwrap();
    while let Some(piece) = within(stream.next()).await {
        match piece {
            Ok(piece) => got.extend_from_slice(&piece),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error ends the stream");
                assert!(got == contents(got.len() as u64), "bytes of the other version");
                return (got.len(), Some(kind(&error)));
            }
        }
    }
    assert!(got == contents(SIZE), "other bytes, and no error");
    (got.len(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_under_its_stream_ends_in_an_error_of_its_own() {
    for disk in disks() {
        let dir = on_disk();
        let store = DirectStore::open(dir.path(), Default::default(), &disk).unwrap();
        for (name, change) in CHANGES {
            let (got, error) = stream_across(&store, &dir.path().join("f"), change).await;
            assert_eq!(error, Some(ErrorKind::Changed), "{name} was not noticed");
            assert_eq!(
                got as u64,
                4 * MIB,
                "{name}: bytes after the change were handed out"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_or_deleted_is_streamed_to_its_old_end() {
    for disk in disks() {
        let dir = on_disk();
        let path = dir.path().join("f");
        let store = DirectStore::open(dir.path(), Default::default(), &disk).unwrap();
        for (name, change) in REPLACED {
            let (got, error) = stream_across(&store, &path, change).await;
            assert_eq!((got as u64, error), (SIZE, None), "{name}");
            gone(&path).await;
        }
    }
}

/// Waits until no descriptor of a file is left: a read that was given up ends when the disk is done with it.
async fn gone(path: &Path) {
    within(async {
        while descriptors_of(path) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The requests of one read, as the range engine makes them: the first tells the version, the others insist on it.
#[derive(Default)]
struct OneRead {
    kept: Kept,
    tag: Option<String>,
}

impl OneRead {
    async fn request(
        &mut self,
        store: &DirectStore,
        range: std::ops::Range<u64>,
    ) -> object_store::Result<GetResult> {
        let mut options = GetOptions::new()
            .with_range(Some(GetRange::Bounded(range)))
            .with_if_match(self.tag.clone());
        options.extensions.insert(self.kept.clone());
        let got = store.get_opts(&key("f"), options).await?;
        self.tag.clone_from(&got.meta.e_tag);
        Ok(got)
    }

    async fn read(
        &mut self,
        store: &DirectStore,
        range: std::ops::Range<u64>,
    ) -> object_store::Result<Bytes> {
        within(self.request(store, range).await?.bytes()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_of_one_read_are_of_the_file_that_the_first_one_opened() {
    for (name, change) in REPLACED {
        let (dir, store) = fresh();
        let path = dir.path().join("f");
        old_file(&path, &contents(SIZE));
        let mut read = OneRead::default();
        let first = read.read(&store, 0..5000).await.unwrap();
        assert!(first == contents(5000));
        assert_eq!(descriptors_of(&path), 1, "it is kept for the next request");
        change(&path).unwrap();
        let rest = read.read(&store, 5000..SIZE).await.unwrap();
        assert!(rest == contents(SIZE)[5000..], "{name}");
        let again = read.request(&store, 4095..9 * MIB).await.unwrap();
        assert_eq!(descriptors_of(&path), 1, "{name}: opened again");
        // What is still being read outlives the read that asked for it.
        drop(read);
        assert!(again.bytes().await.unwrap() == contents(SIZE)[4095..9 * MIB as usize]);
        gone(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_between_the_requests_of_one_read_is_an_error() {
    let (dir, store) = fresh();
    let path = dir.path().join("f");
    for (name, change) in CHANGES {
        old_file(&path, &contents(SIZE));
        let mut read = OneRead::default();
        read.read(&store, 0..5000).await.unwrap();
        change(&path).unwrap();
        for range in [0..1, 4 * MIB - 1..4 * MIB + 1, 17 * MIB..SIZE, SIZE - 1..SIZE] {
            let error = read.read(&store, range).await.unwrap_err();
            assert_eq!(kind(&error), ErrorKind::Changed, "{name}: {error}");
        }
        drop(read);
        gone(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_brings_no_file_along_is_told_that_its_version_is_gone() {
    let (dir, store) = fresh();
    let path = dir.path().join("f");
    for (name, change) in [REPLACED[0], CHANGES[0], CHANGES[3]] {
        old_file(&path, &contents(SIZE));
        let mut read = OneRead::default();
        read.read(&store, 0..5000).await.unwrap();
        let mut other = OneRead {
            tag: read.tag.clone(),
            ..OneRead::default()
        };
        assert!(other.read(&store, 0..5000).await.is_ok());
        let mut late = OneRead {
            tag: read.tag.clone(),
            ..OneRead::default()
        };
        change(&path).unwrap();
        let error = late.read(&store, 0..1).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Changed, "{name}: {error}");
        assert!(
            matches!(error, object_store::Error::Precondition { .. }),
            "{name}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_one_version_share_its_descriptor_and_those_of_the_next_have_another() {
    let (dir, store) = fresh();
    let path = dir.path().join("f");
    old_file(&path, &contents(SIZE));
    let gets = |many: usize| {
        futures::future::try_join_all((0..many).map({
            let store = store.clone();
            move |_| {
                let store = store.clone();
                async move { store.get(&key("f")).await }
            }
        }))
    };
    let first = gets(20).await.unwrap();
    assert_eq!(descriptors_of(&path), 1);
    REPLACED[0].1(&path).unwrap();
    let second = gets(5).await.unwrap();
    assert_eq!(descriptors_of(&path), 2);
    for got in second {
        assert!(got.bytes().await.unwrap() == vec![1; SIZE as usize]);
    }
    for got in first.into_iter().take(3) {
        assert!(got.bytes().await.unwrap() == contents(SIZE));
    }
    gone(&path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_are_given_up_leave_neither_descriptors_nor_memory() {
    for disk in disks() {
        let dir = on_disk();
        let path = dir.path().join("f");
        old_file(&path, &contents(SIZE));
        let store = DirectStore::open(dir.path(), Default::default(), &disk).unwrap();
        for nth in 0..50 {
            let mut stream = store.get(&key("f")).await.unwrap().into_stream();
            if nth % 2 == 0 {
                stream.next().await.unwrap().unwrap();
            }
        }
        gone(&path).await;
        within(async {
            while store.disk().stats().pool.in_use + store.disk().stats().pool.apart > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_overlap_are_each_what_was_asked_for() {
    for disk in disks() {
        let dir = on_disk();
        let all = contents(9 * MIB + 1);
        old_file(&dir.path().join("f"), &all);
        let store = DirectStore::open(dir.path(), Default::default(), &disk).unwrap();
        let mut ranges: Vec<_> = (0..300)
            .map(|nth| (nth * 1009, nth * 1009 + 1 + nth * 13 % 9000))
            .map(|(start, end)| start..end)
            .collect();
        // Across two borders between pieces, all of it, and to behind the end.
        ranges.extend([
            4 * MIB - 1..8 * MIB + 1,
            0..9 * MIB + 1,
            9 * MIB..9 * MIB + 1,
            9 * MIB - 5..u64::MAX,
        ]);
        ranges.extend(vec![4095..4097; 20]);
        let got = within(store.get_ranges(&key("f"), &ranges)).await.unwrap();
        assert_eq!(got.len(), ranges.len());
        for (range, got) in ranges.iter().zip(got) {
            let expected = &all[range.start as usize..all.len().min(range.end as usize)];
            assert!(got == expected, "{range:?}");
        }
        assert_eq!(store.disk().stats().buffered_bytes, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_file_is_read_at_its_far_end_and_never_as_a_whole() {
    const TIB: u64 = 1 << 40;
    let (dir, store) = fresh();
    let file = File::create(dir.path().join("f")).unwrap();
    file.set_len(TIB).unwrap();
    file.write_all_at(b"the end", TIB - 7).unwrap();
    let last = GetOptions::new().with_range(Some(GetRange::Suffix(9)));
    let last = store.get_opts(&key("f"), last).await.unwrap();
    assert_eq!((last.meta.size, last.range.clone()), (TIB, TIB - 9..TIB));
    assert_eq!(last.bytes().await.unwrap(), b"\0\0the end"[..]);
    let ranges = [TIB / 2..TIB / 2 + 3, TIB - 1..TIB + 10];
    let got = store.get_ranges(&key("f"), &ranges).await.unwrap();
    assert_eq!(got, [&b"\0\0\0"[..], b"d"]);
    let all = std::slice::from_ref(&(0..TIB));
    let error = within(store.get_ranges(&key("f"), all)).await.unwrap_err();
    assert!(error.to_string().contains("does not fit into memory"), "{error}");
    assert_eq!(kind(&error), ErrorKind::LocalIo);
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_reads_take_nothing_from_the_page_cache_and_add_nothing() {
    let (dir, store) = fresh();
    let path = dir.path().join("f");
    let all = contents(9 * MIB + 1);
    old_file(&path, &all);
    let file = File::open(&path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    if resident(&path).contains(&true) {
        return eprintln!("skipped: what is in memory stays there");
    }
    // Half of it, and a page of the rest.
    file.read_exact_at(&mut vec![0; 4 * MIB as usize], 0).unwrap();
    file.read_exact_at(&mut [0], 7 * MIB).unwrap();
    let before = resident(&path);
    assert!(before.contains(&true) && before.contains(&false));
    let got = store.get(&key("f")).await.unwrap().bytes().await.unwrap();
    assert!(got == all);
    let ranges: Vec<_> = (0..90)
        .map(|nth| nth * 100_001..nth * 100_001 + 100_001)
        .collect();
    for (range, got) in ranges
        .iter()
        .zip(store.get_ranges(&key("f"), &ranges).await.unwrap())
    {
        assert!(got == all[range.start as usize..range.end as usize], "{range:?}");
    }
    assert!(resident(&path) == before, "the page cache has changed");
    assert_eq!(store.disk().stats().buffered_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_has_not_yet_written_to_the_disk_is_read() {
    let (dir, store) = fresh();
    let all = contents(5 * MIB + 9);
    // Not synced: for now it is in the page cache alone.
    std::fs::write(dir.path().join("f"), &all).unwrap();
    let got = store.get(&key("f")).await.unwrap().bytes().await.unwrap();
    assert!(got == all);
}
