//! Topics and the ends of their partitions.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::error::MetadataError;
use super::super::rules::{self, EndsRow, TopicRow, pid};
use super::super::store::{PartitionInfo, TopicConfig, TopicInfo};
use super::error::Try;
use super::writer::Tx;
use crate::topic::{TopicName, TopicPartition};

pub(super) fn create(tx: &Tx<'_>, name: &TopicName, partitions: u32, config: &TopicConfig) -> Try<TopicInfo> {
    let row = TopicRow {
        name: name.as_str().to_owned(),
        partitions: i64::from(partitions),
        config: TopicRow::config(config)?,
        created_ms: tx.now,
    };
    if number(tx, name)?.is_some() {
        return Err(MetadataError::TopicExists { topic: name.clone() }.into());
    }
    let id: i64 = tx
        .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM topics")?
        .query_row([], |row| row.get(0))?;
    insert(tx, id, &row)?;
    Ok(row.info()?)
}

/// The topic's row and its empty partitions.
pub(super) fn insert(tx: &Tx<'_>, id: i64, row: &TopicRow) -> Try<()> {
    tx.prepare_cached(
        "INSERT INTO topics (id, name, partitions, config, created_ms) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![id, row.name, row.partitions, row.config, row.created_ms])?;
    tx.prepare_cached(
        "WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < ?1 + ?2)
         INSERT INTO partitions (pid) SELECT n FROM n",
    )?
    .execute(params![pid(id, 0), row.partitions])?;
    Ok(())
}

fn topic_row(row: &Row<'_>) -> rusqlite::Result<TopicRow> {
    Ok(TopicRow {
        name: row.get(0)?,
        partitions: row.get(1)?,
        config: row.get(2)?,
        created_ms: row.get(3)?,
    })
}

pub(super) fn one(db: &Connection, name: &TopicName) -> Try<Option<TopicInfo>> {
    let row = db
        .prepare_cached("SELECT name, partitions, config, created_ms FROM topics WHERE name = ?")?
        .query_row([name.as_str()], topic_row)
        .optional()?;
    Ok(row.map(TopicRow::info).transpose()?)
}

pub(super) fn list(db: &Connection, after: Option<&TopicName>, limit: i64) -> Try<Vec<TopicInfo>> {
    let mut statement = db.prepare_cached(
        "SELECT name, partitions, config, created_ms FROM topics WHERE name > ? ORDER BY name LIMIT ?",
    )?;
    let rows = statement.query_map(params![after.map_or("", TopicName::as_str), limit], topic_row)?;
    rows.map(|row| Ok(row?.info()?)).collect()
}

/// A topic's number and how many partitions it has.
pub(super) fn number(db: &Connection, name: &TopicName) -> Try<Option<(i64, u32)>> {
    let row = db
        .prepare_cached("SELECT id, partitions FROM topics WHERE name = ?")?
        .query_row([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row
        .map(|(id, count)| rules::partitions(count).map(|count| (id, count)))
        .transpose()?)
}

/// The number of one partition.
pub(super) fn find(db: &Connection, at: &TopicPartition) -> Try<i64> {
    Ok(all(db, std::iter::once(at))?[0])
}

/// The numbers of partitions, in their order. Each topic is looked up once.
pub(super) fn all<'a>(db: &Connection, which: impl Iterator<Item = &'a TopicPartition>) -> Try<Vec<i64>> {
    let mut topics: HashMap<&TopicName, (i64, u32)> = HashMap::new();
    let mut numbers = Vec::with_capacity(which.size_hint().0);
    for at in which {
        let (topic, partitions) = match topics.get(&at.topic) {
            Some(known) => *known,
            None => {
                let found = number(db, &at.topic)?.ok_or_else(|| MetadataError::UnknownTopic {
                    topic: at.topic.clone(),
                })?;
                topics.insert(&at.topic, found);
                found
            }
        };
        rules::has(at, partitions)?;
        numbers.push(pid(topic, at.partition));
    }
    Ok(numbers)
}

const ENDS: &str = "log_start, next_offset, segments, bytes, epoch";

fn ends_row(row: &Row<'_>, from: usize) -> rusqlite::Result<EndsRow> {
    Ok(EndsRow {
        log_start: row.get(from)?,
        next_offset: row.get(from + 1)?,
        segments: row.get(from + 2)?,
        bytes: row.get(from + 3)?,
        epoch: row.get(from + 4)?,
    })
}

pub(super) fn partitions(db: &Connection, which: Vec<TopicPartition>) -> Try<Vec<PartitionInfo>> {
    let numbers = all(db, which.iter())?;
    let mut statement = db.prepare_cached(&format!("SELECT {ENDS} FROM partitions WHERE pid = ?"))?;
    let mut found = Vec::with_capacity(which.len());
    for (at, number) in which.into_iter().zip(numbers) {
        found.push(statement.query_row([number], |row| ends_row(row, 0))?.info(at)?);
    }
    Ok(found)
}

pub(super) fn partitions_of(db: &Connection, topic: &TopicName) -> Try<Vec<PartitionInfo>> {
    let Some((id, count)) = number(db, topic)? else {
        return Err(MetadataError::UnknownTopic { topic: topic.clone() }.into());
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT pid, {ENDS} FROM partitions WHERE pid >= ? AND pid < ? ORDER BY pid"
    ))?;
    let rows = statement.query_map([pid(id, 0), pid(id + 1, 0)], |row| {
        Ok((row.get::<_, i64>(0)?, ends_row(row, 1)?))
    })?;
    let mut found = Vec::with_capacity(count as usize);
    for row in rows {
        let (pid, ends) = row?;
        found.push(ends.info(TopicPartition::new(topic.clone(), rules::partition_of(pid)))?);
    }
    Ok(found)
}
