use forebay_log::metadata::MetadataStore;
use forebay_testkit::within;

use super::PostgresRig;
use crate::rig::{Rig, at};

/// What lookups read does not grow with the number of segments: pages that the server touched, counted by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_touch_a_few_pages_however_many_segments_there_are() {
    let Some(rig) = PostgresRig::own().await else {
        return;
    };
    within(async {
        let store = rig.store().await;
        store.restore(&crate::figures::many(20_000), false).await.unwrap();
        let client = rig.client().await;
        for table in ["segments", "objects", "topics"] {
            client
                .batch_execute(&format!("VACUUM ANALYZE {table}"))
                .await
                .unwrap();
        }
        let t = at("t", 0);
        let touched = "SELECT (sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read))::bigint
                       FROM pg_statio_user_tables WHERE relname IN ('segments', 'objects')";
        let scans = "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables WHERE relname = 'segments'";
        let count = async |sql: &str| {
            // A session reports what it did when it ends its work, at most once a second.
            tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
            store.topics(None, 1).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            rig.number(sql).await
        };
        let (before, scanned) = (count(touched).await, rig.number(scans).await);
        for n in 0..200u64 {
            let offset = n * 1000 + 7;
            assert!(store.find_segment_for_offset(&t, offset).await.unwrap().is_some());
            assert!(
                store
                    .next_segment(&t, offset)
                    .await
                    .unwrap()
                    .is_some_and(|s| s.base_offset >= offset)
            );
            assert!(
                store
                    .find_segment_for_timestamp(&t, (n * 100) as i64)
                    .await
                    .unwrap()
                    .is_some()
            );
            assert_eq!(
                store.segments_from(&[(t.clone(), offset)], 2).await.unwrap()[0].len(),
                2
            );
        }
        let after = count(touched).await;
        assert!(after > before, "nothing was counted");
        let each = (after - before) / 800;
        assert!(each <= 24, "{each} pages for each lookup");
        assert_eq!(rig.number(scans).await, scanned, "rows read without an index");
    })
    .await;
}
