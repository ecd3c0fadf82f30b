//! Which segment holds what. Each query is one round trip, a walk down an index and along its answer.

use deadpool_postgres::Client;
use tokio_postgres::Row;

use super::super::rules::FoundRow;
use super::super::store::SegmentInfo;
use super::error::Try;
use super::topics::{check, rows};
use crate::topic::TopicPartition;

/// The columns of [`row`]; the first one is for [`check`].
const COLUMNS: &str = "t.partitions, s.base_offset, s.next_offset, s.object, s.position, s.length, s.records,
    s.max_timestamp, s.epoch, s.batch_index, o.key, o.size, o.etag";
const OBJECT: &str = "LEFT JOIN objects o ON o.id = s.object";

fn row(row: &Row, at: &TopicPartition) -> Try<Option<SegmentInfo>> {
    let Some(base_offset) = row.try_get(1)? else {
        return Ok(None);
    };
    let found = FoundRow {
        base_offset,
        next_offset: row.try_get(2)?,
        object: row.try_get(3)?,
        position: row.try_get(4)?,
        length: row.try_get(5)?,
        records: row.try_get(6)?,
        max_timestamp: row.try_get(7)?,
        epoch: row.try_get(8)?,
        index: row.try_get(9)?,
        key: row.try_get(10)?,
        size: row.try_get(11)?,
        etag: row.try_get(12)?,
    };
    Ok(Some(found.info(at.clone())?))
}

async fn one(client: &Client, at: &TopicPartition, value: i64, rest: &str) -> Try<Option<SegmentInfo>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM topics t
         LEFT JOIN LATERAL (SELECT * FROM segments s WHERE s.pid = (t.id << 32) + $2 AND {rest} LIMIT 1) s ON true
         {OBJECT} WHERE t.name = $1"
    );
    let partition = i64::from(at.partition);
    let found = rows(client, &sql, &[&at.topic.as_str(), &partition, &value]).await?;
    check(found.first(), at)?;
    match found.first() {
        Some(found) => row(found, at),
        None => Ok(None),
    }
}

pub(super) async fn holding(client: &Client, at: &TopicPartition, offset: u64) -> Try<Option<SegmentInfo>> {
    let asked = i64::try_from(offset).unwrap_or(i64::MAX);
    let found = one(
        client,
        at,
        asked,
        "s.base_offset <= $3 ORDER BY s.base_offset DESC",
    )
    .await?;
    Ok(found.filter(|segment| offset < segment.next_offset))
}

pub(super) async fn next(client: &Client, at: &TopicPartition, offset: u64) -> Try<Option<SegmentInfo>> {
    let asked = i64::try_from(offset).unwrap_or(i64::MAX);
    let found = one(client, at, asked, "s.base_offset >= $3 ORDER BY s.base_offset").await?;
    Ok(found.filter(|segment| segment.base_offset >= offset))
}

pub(super) async fn at_time(
    client: &Client,
    at: &TopicPartition,
    timestamp: i64,
) -> Try<Option<SegmentInfo>> {
    let rest = "s.running_max_timestamp >= $3 ORDER BY s.running_max_timestamp, s.base_offset";
    // -1 stands for no timestamp, so nothing below 0 is one.
    one(client, at, timestamp.max(0), rest).await
}

pub(super) async fn from(
    client: &Client,
    wanted: &[(TopicPartition, u64)],
    limit: i64,
) -> Try<Vec<Vec<SegmentInfo>>> {
    let names: Vec<&str> = wanted.iter().map(|(at, _)| at.topic.as_str()).collect();
    let numbers: Vec<i64> = wanted.iter().map(|(at, _)| i64::from(at.partition)).collect();
    let offsets: Vec<i64> = wanted
        .iter()
        .map(|(_, offset)| i64::try_from(*offset).unwrap_or(i64::MAX))
        .collect();
    let sql = format!(
        "SELECT {COLUMNS}, w.n FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY w (name, partition, at, n)
         LEFT JOIN topics t ON t.name = w.name
         LEFT JOIN LATERAL (
             SELECT * FROM segments s WHERE s.pid = (t.id << 32) + w.partition AND s.base_offset >= coalesce(
                 (SELECT b.base_offset FROM segments b WHERE b.pid = (t.id << 32) + w.partition
                  AND b.base_offset <= w.at ORDER BY b.base_offset DESC LIMIT 1), w.at)
             AND s.next_offset > w.at ORDER BY s.base_offset LIMIT $4
         ) s ON true {OBJECT} ORDER BY w.n, s.base_offset"
    );
    let found = rows(client, &sql, &[&names, &numbers, &offsets, &limit]).await?;
    let mut all = vec![Vec::new(); wanted.len()];
    for found in &found {
        let n: i64 = found.try_get(13)?;
        let n = n as usize - 1;
        let at = &wanted[n].0;
        check(Some(found), at)?;
        all[n].extend(row(found, at)?);
    }
    Ok(all)
}
