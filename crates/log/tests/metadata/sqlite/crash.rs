use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use forebay_log::metadata::{MetadataStore, SqliteMetadataStore};
use ulid::Ulid;

use crate::rig::{LONG, Rig, SqliteRig, at, check, create, segment, write};

/// Set for the process that is killed.
const PATH: &str = "FOREBAY_TEST_CRASH_STORE";

/// Not a test of its own: what the other one runs and kills. It says each offset after its commit returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committing_process() {
    #[expect(clippy::disallowed_methods, reason = "how the killed process knows its part")]
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let store = SqliteMetadataStore::open(&path).await.unwrap();
    let t = at("t", 0);
    let mut from = store.partitions(std::slice::from_ref(&t)).await.unwrap()[0].high_watermark;
    let short = Duration::from_millis(1);
    let writer = Ulid::generate();
    let lease = loop {
        match store.acquire(writer, std::slice::from_ref(&t), short).await {
            Ok(mut leases) => break leases.remove(0),
            Err(_) => tokio::time::sleep(short).await,
        }
    };
    loop {
        write(
            &store,
            vec![segment(t.clone(), lease.epoch, from, from + 3, from as i64)],
        )
        .await
        .unwrap();
        from += 3;
        println!("\ncommitted {from}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_committed_is_there() {
    let rig = SqliteRig::new();
    let store = rig.open().await;
    create(&*store, "t", 1).await;
    for round in 0..4u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::crash::committing_process", "--nocapture"])
            .env(PATH, &rig.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0u64;
        let mut count = 0;
        for line in lines {
            let line = line.unwrap();
            if let Some(offset) = line.strip_prefix("committed ") {
                told = offset.parse().unwrap();
                count += 1;
                if count == 5 + round * 7 {
                    // SIGKILL, while the next one is on its way.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(count >= 5 + round * 7, "it ended by itself after {count}");
        for store in [&store, &rig.open().await] {
            let end = store.partitions(&[at("t", 0)]).await.unwrap()[0].high_watermark;
            assert!(
                end >= told && end.is_multiple_of(3),
                "{told} were told, {end} are there"
            );
            for offset in (0..end).step_by(3) {
                let found = store
                    .find_segment_for_offset(&at("t", 0), offset)
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!((found.base_offset, found.next_offset), (offset, offset + 3));
            }
        }
        check(&rig).await;
    }
    let lease = store
        .acquire(Ulid::generate(), &[at("t", 0)], LONG)
        .await
        .unwrap()
        .remove(0);
    assert!(!lease.clean);
}
