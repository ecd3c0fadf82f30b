//! How far groups got.

use deadpool_postgres::{Client, Transaction};
use tokio_postgres::Row;

use super::super::rules::{self, uint};
use super::super::store::{CommittedOffset, GroupInfo};
use super::NOW;
use super::error::Try;
use super::topics::{self, check, rows, run};
use crate::topic::TopicPartition;

fn offset(row: &Row, from: usize) -> Try<Option<CommittedOffset>> {
    let Some(offset) = row.try_get::<_, Option<i64>>(from)? else {
        return Ok(None);
    };
    Ok(Some(CommittedOffset {
        offset: uint("a committed offset", offset)?,
        metadata: row.try_get(from + 1)?,
        committed_ms: row.try_get(from + 2)?,
    }))
}

pub(super) async fn committed(
    client: &Client,
    group: &str,
    which: &[TopicPartition],
) -> Try<Vec<Option<CommittedOffset>>> {
    let names: Vec<&str> = which.iter().map(|at| at.topic.as_str()).collect();
    let numbers: Vec<i64> = which.iter().map(|at| i64::from(at.partition)).collect();
    let found = rows(
        client,
        "SELECT t.partitions, g.next_offset, g.metadata, g.committed_ms
         FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY w (name, partition, n)
         LEFT JOIN topics t ON t.name = w.name
         LEFT JOIN group_offsets g ON g.group_id = (SELECT id FROM consumer_groups WHERE name = $1)
                                  AND g.pid = (t.id << 32) + w.partition
         ORDER BY w.n",
        &[&group, &names, &numbers],
    )
    .await?;
    which
        .iter()
        .zip(&found)
        .map(|(at, row)| {
            check(Some(row), at)?;
            offset(row, 1)
        })
        .collect()
}

pub(super) async fn commit(
    client: &mut Client,
    group: &str,
    offsets: &[(TopicPartition, u64, Option<String>)],
) -> Try<()> {
    let tx = client.transaction().await?;
    let numbers = topics::all(&tx, offsets.iter().map(|(at, ..)| at)).await?;
    if offsets.is_empty() {
        return Ok(());
    }
    let values: Result<Vec<i64>, _> = offsets
        .iter()
        .map(|(_, offset, _)| rules::int("an offset", *offset))
        .collect();
    let notes: Vec<Option<&str>> = offsets.iter().map(|(.., note)| note.as_deref()).collect();
    insert(&tx, group, &numbers, &values?, &notes, None).await?;
    tx.commit().await?;
    Ok(())
}

/// Notes offsets, with the times given or the present one.
pub(super) async fn insert(
    tx: &Transaction<'_>,
    group: &str,
    numbers: &[i64],
    offsets: &[i64],
    notes: &[Option<&str>],
    times: Option<&[i64]>,
) -> Try<()> {
    let newest = times.map(|times| times.iter().copied().max().unwrap_or_default());
    // Its row is locked from here on: two commits of one group come one after the other.
    let sql = format!(
        "INSERT INTO consumer_groups (name, partitions, committed_ms) VALUES ($1, 0, coalesce($2, {NOW}))
         ON CONFLICT (name) DO UPDATE
         SET committed_ms = greatest(consumer_groups.committed_ms, excluded.committed_ms) RETURNING id"
    );
    let found = rows(tx, &sql, &[&group, &newest]).await?;
    let id: i64 = match found.first() {
        Some(row) => row.try_get(0)?,
        None => return Err(rules::Failure::Wrong(format!("group {group} has no row"))),
    };
    let times: Vec<Option<i64>> = match times {
        Some(times) => times.iter().map(|time| Some(*time)).collect(),
        None => vec![None; numbers.len()],
    };
    let sql = "SELECT count(*) FROM group_offsets WHERE group_id = $1 AND pid = ANY ($2)";
    let known: i64 = match rows(tx, sql, &[&id, &numbers]).await?.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    let sql = format!(
        "INSERT INTO group_offsets (group_id, pid, next_offset, metadata, committed_ms)
         SELECT $1, u.pid, u.next, u.note, coalesce(u.time, {NOW})
         FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[]) u (pid, next, note, time)
         ON CONFLICT (group_id, pid) DO UPDATE SET next_offset = excluded.next_offset,
             metadata = excluded.metadata, committed_ms = excluded.committed_ms"
    );
    run(tx, &sql, &[&id, &numbers, &offsets, &notes, &times]).await?;
    let new = numbers.len() as i64 - known;
    run(
        tx,
        "UPDATE consumer_groups SET partitions = partitions + $2 WHERE id = $1",
        &[&id, &new],
    )
    .await?;
    Ok(())
}

pub(super) async fn list(client: &Client, after: Option<&str>, limit: i64) -> Try<Vec<GroupInfo>> {
    let sql =
        "SELECT name, partitions, committed_ms FROM consumer_groups WHERE name > $1 ORDER BY name LIMIT $2";
    let found = rows(client, sql, &[&after.unwrap_or(""), &limit]).await?;
    found
        .iter()
        .map(|row| {
            Ok(GroupInfo {
                name: row.try_get(0)?,
                partitions: uint("a number of partitions", row.try_get(1)?)?,
                committed_ms: row.try_get(2)?,
            })
        })
        .collect()
}

pub(super) async fn offsets(client: &Client, group: &str) -> Try<Vec<(TopicPartition, CommittedOffset)>> {
    let sql = "SELECT t.name, g.pid, g.next_offset, g.metadata, g.committed_ms
               FROM consumer_groups c JOIN group_offsets g ON g.group_id = c.id JOIN topics t ON t.id = g.pid >> 32
               WHERE c.name = $1 ORDER BY t.name, g.pid";
    let mut all = Vec::new();
    for row in &rows(client, sql, &[&group]).await? {
        let at = TopicPartition::new(
            rules::topic_name(row.try_get(0)?)?,
            rules::partition_of(row.try_get(1)?),
        );
        all.extend(offset(row, 2)?.map(|offset| (at, offset)));
    }
    Ok(all)
}

pub(super) async fn delete(client: &mut Client, group: &str) -> Try<bool> {
    let tx = client.transaction().await?;
    let found = rows(
        &tx,
        "SELECT id FROM consumer_groups WHERE name = $1 FOR UPDATE",
        &[&group],
    )
    .await?;
    let Some(row) = found.first() else {
        return Ok(false);
    };
    let id: i64 = row.try_get(0)?;
    run(&tx, "DELETE FROM group_offsets WHERE group_id = $1", &[&id]).await?;
    run(&tx, "DELETE FROM consumer_groups WHERE id = $1", &[&id]).await?;
    tx.commit().await?;
    Ok(true)
}
