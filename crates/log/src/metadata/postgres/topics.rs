//! Topics and the ends of their partitions.

use std::collections::HashMap;

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use ulid::Ulid;

use super::super::error::MetadataError;
use super::super::rules::{self, EndsRow, Failure, TopicRow, pid};
use super::super::store::{PartitionInfo, TopicConfig, TopicInfo};
use super::NOW;
use super::error::Try;
use crate::topic::{TopicName, TopicPartition};

/// The rows that a statement answers, prepared once for each connection.
pub(super) async fn rows(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Try<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// How many rows a statement changed.
pub(super) async fn run(client: &impl GenericClient, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Try<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

const ONE: &str = "SELECT name, partitions, config, created_ms FROM topics WHERE name = $1";
const LIST: &str =
    "SELECT name, partitions, config, created_ms FROM topics WHERE name > $1 ORDER BY name LIMIT $2";

fn topic_row(row: &Row) -> Try<TopicRow> {
    Ok(TopicRow {
        name: row.try_get(0)?,
        partitions: row.try_get(1)?,
        config: row.try_get(2)?,
        created_ms: row.try_get(3)?,
    })
}

pub(super) async fn create(
    client: &mut Client,
    name: &TopicName,
    partitions: u32,
    config: &TopicConfig,
    token: Ulid,
) -> Try<TopicInfo> {
    let tx = client.transaction().await?;
    let token = token.to_bytes();
    let made = rows(
        &tx,
        &format!(
            "INSERT INTO topics (name, partitions, config, created_ms, token) VALUES ($1, $2, $3, {NOW}, $4)
             ON CONFLICT (name) DO NOTHING RETURNING id"
        ),
        &[
            &name.as_str(),
            &i64::from(partitions),
            &TopicRow::config(config)?,
            &&token[..],
        ],
    )
    .await?;
    if let Some(row) = made.first() {
        empty(&tx, row.try_get(0)?, i64::from(partitions)).await?;
    } else {
        // An attempt of this call may have made it.
        let own = "SELECT 1 FROM topics WHERE name = $1 AND token = $2";
        if rows(&tx, own, &[&name.as_str(), &&token[..]]).await?.is_empty() {
            return Err(MetadataError::TopicExists { topic: name.clone() }.into());
        }
    }
    let found = rows(&tx, ONE, &[&name.as_str()]).await?;
    tx.commit().await?;
    match found.first() {
        Some(row) => Ok(topic_row(row)?.info()?),
        None => Err(Failure::Wrong(format!(
            "topic {name} is not there after it was made"
        ))),
    }
}

/// The empty partitions of a topic.
pub(super) async fn empty(tx: &impl GenericClient, topic: i64, partitions: i64) -> Try<()> {
    let sql = "INSERT INTO partitions (pid) SELECT n FROM generate_series($1::bigint, $2::bigint) n";
    let first = pid(topic, 0);
    run(tx, sql, &[&first, &(first + partitions - 1)]).await?;
    Ok(())
}

pub(super) async fn one(client: &Client, name: &TopicName) -> Try<Option<TopicInfo>> {
    let found = rows(client, ONE, &[&name.as_str()]).await?;
    found.first().map(|row| Ok(topic_row(row)?.info()?)).transpose()
}

pub(super) async fn list(client: &Client, after: Option<&TopicName>, limit: i64) -> Try<Vec<TopicInfo>> {
    let after = after.map_or("", TopicName::as_str);
    let found = rows(client, LIST, &[&after, &limit]).await?;
    found.iter().map(|row| Ok(topic_row(row)?.info()?)).collect()
}

/// The numbers of partitions, in their order, in one round trip.
pub(super) async fn all(
    client: &impl GenericClient,
    which: impl Iterator<Item = &TopicPartition> + Clone + Send,
) -> Try<Vec<i64>> {
    let mut names: Vec<&str> = which.clone().map(|at| at.topic.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let found = rows(
        client,
        "SELECT name, id, partitions FROM topics WHERE name = ANY ($1)",
        &[&names],
    )
    .await?;
    let mut topics: HashMap<&str, (i64, u32)> = HashMap::new();
    for row in &found {
        topics.insert(
            row.try_get(0)?,
            (row.try_get(1)?, rules::partitions(row.try_get(2)?)?),
        );
    }
    which
        .map(|at| {
            let known = topics.get(at.topic.as_str());
            let (topic, partitions) = known.ok_or_else(|| MetadataError::UnknownTopic {
                topic: at.topic.clone(),
            })?;
            rules::has(at, *partitions)?;
            Ok(pid(*topic, at.partition))
        })
        .collect()
}

/// Whether a topic's row (number of partitions first, `NULL` if there is no topic) has a partition.
pub(super) fn check(row: Option<&Row>, at: &TopicPartition) -> Try<()> {
    let unknown = || MetadataError::UnknownTopic {
        topic: at.topic.clone(),
    };
    let count: Option<i64> = row.ok_or_else(unknown)?.try_get(0)?;
    Ok(rules::has(at, rules::partitions(count.ok_or_else(unknown)?)?)?)
}

fn ends_row(row: &Row, from: usize) -> Try<EndsRow> {
    Ok(EndsRow {
        log_start: row.try_get(from)?,
        next_offset: row.try_get(from + 1)?,
        segments: row.try_get(from + 2)?,
        bytes: row.try_get(from + 3)?,
        epoch: row.try_get(from + 4)?,
    })
}

pub(super) async fn partitions(client: &Client, which: &[TopicPartition]) -> Try<Vec<PartitionInfo>> {
    let names: Vec<&str> = which.iter().map(|at| at.topic.as_str()).collect();
    let numbers: Vec<i64> = which.iter().map(|at| i64::from(at.partition)).collect();
    let found = rows(
        client,
        "SELECT t.partitions, p.log_start, p.next_offset, p.segments, p.bytes, p.epoch
         FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY w (name, partition, n)
         LEFT JOIN topics t ON t.name = w.name
         LEFT JOIN partitions p ON p.pid = (t.id << 32) + w.partition AND w.partition < t.partitions
         ORDER BY w.n",
        &[&names, &numbers],
    )
    .await?;
    let mut ends = Vec::with_capacity(which.len());
    for (at, row) in which.iter().zip(&found) {
        check(Some(row), at)?;
        ends.push(ends_row(row, 1)?.info(at.clone())?);
    }
    Ok(ends)
}

pub(super) async fn partitions_of(client: &Client, topic: &TopicName) -> Try<Vec<PartitionInfo>> {
    let found = rows(
        client,
        "SELECT p.pid, p.log_start, p.next_offset, p.segments, p.bytes, p.epoch
         FROM topics t JOIN partitions p ON p.pid >= t.id << 32 AND p.pid < (t.id + 1) << 32
         WHERE t.name = $1 ORDER BY p.pid",
        &[&topic.as_str()],
    )
    .await?;
    if found.is_empty() {
        return Err(MetadataError::UnknownTopic { topic: topic.clone() }.into());
    }
    found
        .iter()
        .map(|row| {
            let at = TopicPartition::new(topic.clone(), rules::partition_of(row.try_get(0)?));
            Ok(ends_row(row, 1)?.info(at)?)
        })
        .collect()
}
