//! Everything anew.

use deadpool_postgres::{Client, Transaction};
use ulid::Ulid;

use super::super::error::MetadataError;
use super::super::rules::{Failure, RestorePlan, int};
use super::NOW;
use super::error::Try;
use super::topics::{empty, rows, run};
use super::{commit, groups};

/// Rows of one statement.
const CHUNK: usize = 2000;

pub(super) async fn run_all(
    client: &mut Client,
    plan: &RestorePlan,
    replace: bool,
    token: Ulid,
    store: &str,
    channel: &str,
) -> Try<()> {
    let tx = client.transaction().await?;
    tx.batch_execute(
        "SET LOCAL statement_timeout TO 0; SET LOCAL lock_timeout TO '30s';
         LOCK TABLE objects, topics, partitions IN ACCESS EXCLUSIVE MODE",
    )
    .await?;
    // An attempt of this call may have done it.
    let token = token.to_bytes();
    if !rows(&tx, "SELECT 1 FROM restored WHERE token = $1", &[&&token[..]])
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let known = rows(&tx, "SELECT count(*) FROM topics", &[]).await?;
    let known: i64 = match known.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    if known > 0 && !replace {
        return Err(Failure::Said(MetadataError::NotEmpty {
            store: store.to_owned(),
            topics: known.unsigned_abs(),
        }));
    }
    tx.batch_execute(
        "DELETE FROM group_offsets; DELETE FROM consumer_groups; DELETE FROM segments; DELETE FROM partitions;
         DELETE FROM writers; DELETE FROM topics; DELETE FROM restored",
    )
    .await?;
    if replace {
        tx.batch_execute("DELETE FROM objects").await?;
    }
    topics(&tx, plan).await?;
    objects(&tx, plan).await?;
    segments(&tx, plan).await?;
    for (group, offsets) in &plan.groups {
        let numbers: Vec<i64> = offsets.iter().map(|(pid, _)| *pid).collect();
        let values: Result<Vec<i64>, _> = offsets
            .iter()
            .map(|(_, one)| int("an offset", one.offset))
            .collect();
        let notes: Vec<Option<&str>> = offsets.iter().map(|(_, one)| one.metadata.as_deref()).collect();
        let times: Vec<i64> = offsets.iter().map(|(_, one)| one.committed_ms).collect();
        groups::insert(&tx, group, &numbers, &values?, &notes, Some(&times)).await?;
    }
    run(&tx, "INSERT INTO restored VALUES ($1)", &[&&token[..]]).await?;
    commit::tell(&tx, channel).await?;
    tx.commit().await?;
    Ok(())
}

async fn topics(tx: &Transaction<'_>, plan: &RestorePlan) -> Try<()> {
    for (n, topic) in plan.topics.iter().enumerate() {
        let id = n as i64 + 1;
        run(
            tx,
            "INSERT INTO topics (id, name, partitions, config, created_ms) VALUES ($1, $2, $3, $4, $5)",
            &[
                &id,
                &topic.name,
                &topic.partitions,
                &topic.config,
                &topic.created_ms,
            ],
        )
        .await?;
        empty(tx, id, topic.partitions).await?;
    }
    let next = plan.topics.len() as i64 + 1;
    rows(
        tx,
        "SELECT setval(pg_get_serial_sequence('topics', 'id'), $1, false)",
        &[&next],
    )
    .await?;
    // A writer of before may still have something on its way.
    run(tx, "UPDATE partitions SET clean = false", &[]).await?;
    let ends: Vec<_> = plan.partitions.iter().collect();
    for ends in ends.chunks(CHUNK) {
        let column = |of: fn(&super::super::rules::EndsRow) -> i64| -> Vec<i64> {
            ends.iter().map(|(_, ends)| of(ends)).collect()
        };
        let numbers: Vec<i64> = ends.iter().map(|(pid, _)| **pid).collect();
        run(
            tx,
            "UPDATE partitions p SET log_start = u.a, next_offset = u.b, segments = u.c, bytes = u.d, epoch = u.e
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
                  u (pid, a, b, c, d, e) WHERE p.pid = u.pid",
            &[
                &numbers,
                &column(|ends| ends.log_start),
                &column(|ends| ends.next_offset),
                &column(|ends| ends.segments),
                &column(|ends| ends.bytes),
                &column(|ends| ends.epoch),
            ],
        )
        .await?;
    }
    Ok(())
}

async fn objects(tx: &Transaction<'_>, plan: &RestorePlan) -> Try<()> {
    for objects in plan.objects.chunks(CHUNK) {
        let ids: Vec<Vec<u8>> = objects.iter().map(|one| one.id.to_bytes().to_vec()).collect();
        let keys: Vec<&str> = objects.iter().map(|one| &*one.key).collect();
        let tags: Vec<&str> = objects.iter().map(|one| &*one.etag).collect();
        let sizes: Vec<i64> = objects.iter().map(|one| one.size).collect();
        let refs: Vec<i64> = objects.iter().map(|one| one.refs).collect();
        // An upload that nobody committed here is one that the bucket has.
        run(
            tx,
            "DELETE FROM objects WHERE id = ANY ($1) OR key = ANY ($2)",
            &[&ids, &keys],
        )
        .await?;
        let sql = format!(
            "INSERT INTO objects (id, key, etag, size, refs, state, since_ms)
             SELECT u.id, u.key, u.etag, u.size, u.refs, 1, {NOW}
             FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) u (id, key, etag, size, refs)"
        );
        run(tx, &sql, &[&ids, &keys, &tags, &sizes, &refs]).await?;
    }
    Ok(())
}

async fn segments(tx: &Transaction<'_>, plan: &RestorePlan) -> Try<()> {
    for segments in plan.segments.chunks(CHUNK) {
        let column = |of: fn(&super::super::rules::RestoredSegment) -> i64| -> Vec<i64> {
            segments.iter().map(of).collect()
        };
        let objects: Vec<Vec<u8>> = segments
            .iter()
            .map(|one| one.object.to_bytes().to_vec())
            .collect();
        let indices: Vec<&[u8]> = segments.iter().map(|one| &one.row.index[..]).collect();
        run(
            tx,
            "INSERT INTO segments (pid, base_offset, next_offset, position, length, records, max_timestamp,
                                   running_max_timestamp, epoch, object, batch_index)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                  $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[], $11::bytea[])",
            &[
                &column(|one| one.pid),
                &column(|one| one.row.base_offset),
                &column(|one| one.row.next_offset),
                &column(|one| one.row.position),
                &column(|one| one.row.length),
                &column(|one| one.row.records),
                &column(|one| one.row.max_timestamp),
                &column(|one| one.running),
                &column(|one| one.row.epoch),
                &objects,
                &indices,
            ],
        )
        .await?;
    }
    Ok(())
}
