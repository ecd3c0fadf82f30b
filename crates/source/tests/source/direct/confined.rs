//! Processes that have few descriptors.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use forebay_source::DirectStore;
use forebay_types::ErrorKind;
use object_store::ObjectStoreExt;

use super::world::*;
use crate::world::{kind, within};

const FILES: usize = 1000;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Fails unless it is the one error that too few descriptors may be.
fn assert_clear(error: &object_store::Error) {
    assert_eq!(kind(error), ErrorKind::LocalIo, "{error}");
    assert!(error.to_string().contains("Too many open files"), "{error}");
}

async fn read(store: &DirectStore, nth: usize) -> object_store::Result<()> {
    let got = store.get(&key(&nth.to_string())).await?.bytes().await?;
    assert!(got == contents(5000 + nth as u64), "{nth}: other bytes");
    Ok(())
}

fn fill(dir: &Path) {
    for nth in 0..FILES {
        std::fs::write(dir.join(nth.to_string()), contents(5000 + nth as u64)).unwrap();
    }
}

#[test]
fn a_thousand_gets_with_few_descriptors_succeed_or_say_why() {
    run_limited("ulimit -n 256", "direct::confined::a_thousand_gets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_thousand_gets_with_few_descriptors_succeed_or_say_why, in a limited process"]
async fn a_thousand_gets() {
    let dir = in_memory();
    fill(dir.path());
    for disk in disks() {
        let store = DirectStore::open(dir.path(), Default::default(), &disk).unwrap();
        read(&store, 0).await.unwrap();
        let before = descriptors();
        let get = |nth: usize| {
            let store = store.clone();
            tokio::spawn(async move { store.get(&key(&nth.to_string())).await })
        };
        // All of them held open at a time: that cannot be.
        let got = within(futures::future::join_all((0..FILES).map(get))).await;
        let (held, refused): (Vec<_>, Vec<_>) = got
            .into_iter()
            .enumerate()
            .map(|(nth, got)| (nth, got.unwrap()))
            .partition(|(_, got)| got.is_ok());
        assert!(held.len() > 100 && refused.len() >= FILES - 256, "{}", held.len());
        for (_, error) in refused {
            assert_clear(&error.unwrap_err());
        }
        for (nth, got) in held {
            let bytes = within(got.unwrap().bytes()).await.unwrap();
            assert!(bytes == contents(5000 + nth as u64), "{nth}: other bytes");
        }
        // Each read to its end at once: whoever finds no descriptor says so.
        let all = (0..FILES).map(|nth| {
            let store = store.clone();
            tokio::spawn(async move { read(&store, nth).await })
        });
        for ended in within(futures::future::join_all(all)).await {
            ended.unwrap().unwrap_or_else(|error| assert_clear(&error));
        }
        within(async {
            while descriptors() > before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        for nth in 0..FILES {
            read(&store, nth).await.unwrap();
        }
    }
}

#[test]
fn a_store_that_first_reads_when_no_descriptor_is_left_reads_later() {
    run_limited("ulimit -n 256", "direct::confined::no_descriptor_left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_store_that_first_reads_when_no_descriptor_is_left_reads_later, in a limited process"]
async fn no_descriptor_left() {
    let dir = in_memory();
    fill(dir.path());
    for free in 0..8 {
        for disk in disks() {
            let store = DirectStore::open(dir.path(), Default::default(), &disk).unwrap();
            let mut taken = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                taken.push(file);
            }
            taken.truncate(taken.len() - free);
            let first = within(read(&store, free)).await;
            let put = within(store.put(&key("put"), contents(5000).into())).await;
            drop(taken);
            for error in [first.err(), put.err()].into_iter().flatten() {
                assert_clear(&error);
            }
            for nth in 0..20 {
                within(read(&store, nth)).await.unwrap();
            }
            store.put(&key("put"), contents(5001).into()).await.unwrap();
            assert_eq!(temporaries(dir.path()), 0);
        }
    }
}
