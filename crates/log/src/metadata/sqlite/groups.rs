//! How far groups got.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::rules::{self, uint};
use super::super::store::{CommittedOffset, GroupInfo};
use super::error::Try;
use super::topics;
use super::writer::Tx;
use crate::topic::TopicPartition;

fn number(db: &Connection, group: &str) -> Try<Option<i64>> {
    Ok(db
        .prepare_cached("SELECT id FROM consumer_groups WHERE name = ?")?
        .query_row([group], |row| row.get(0))
        .optional()?)
}

type OffsetRow = (i64, Option<String>, i64);

fn offset_row(row: &Row<'_>) -> rusqlite::Result<OffsetRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn offset((offset, metadata, committed_ms): OffsetRow) -> Try<CommittedOffset> {
    Ok(CommittedOffset {
        offset: uint("a committed offset", offset)?,
        metadata,
        committed_ms,
    })
}

pub(super) fn committed(
    db: &Connection,
    group: &str,
    which: &[TopicPartition],
) -> Try<Vec<Option<CommittedOffset>>> {
    let numbers = topics::all(db, which.iter())?;
    let Some(group) = number(db, group)? else {
        return Ok(vec![None; which.len()]);
    };
    let mut statement = db.prepare_cached(
        "SELECT next_offset, metadata, committed_ms FROM group_offsets WHERE group_id = ? AND pid = ?",
    )?;
    let mut found = Vec::with_capacity(which.len());
    for pid in numbers {
        let row = statement.query_row([group, pid], offset_row).optional()?;
        found.push(row.map(offset).transpose()?);
    }
    Ok(found)
}

pub(super) fn commit(tx: &Tx<'_>, group: &str, offsets: &[(TopicPartition, u64, Option<String>)]) -> Try<()> {
    let numbers = topics::all(tx, offsets.iter().map(|(at, ..)| at))?;
    if offsets.is_empty() {
        return Ok(());
    }
    let rows = offsets.iter().zip(numbers).map(|((_, offset, metadata), pid)| {
        Ok((
            pid,
            rules::int("an offset", *offset)?,
            metadata.as_deref(),
            tx.now,
        ))
    });
    let rows: Try<Vec<_>> = rows.collect();
    insert(tx, group, &rows?)
}

/// Notes partition, offset, metadata and time.
pub(super) fn insert(tx: &Tx<'_>, group: &str, offsets: &[(i64, i64, Option<&str>, i64)]) -> Try<()> {
    let group: i64 = tx
        .prepare_cached(
            "INSERT INTO consumer_groups (name, partitions, committed_ms) VALUES (?1, 0, ?2)
             ON CONFLICT (name) DO UPDATE SET committed_ms = max(committed_ms, ?2) RETURNING id",
        )?
        .query_row(
            params![
                group,
                offsets.iter().map(|(.., at)| *at).max().unwrap_or_default()
            ],
            |row| row.get(0),
        )?;
    let mut known = tx.prepare_cached("SELECT 1 FROM group_offsets WHERE group_id = ? AND pid = ?")?;
    let mut note = tx.prepare_cached(
        "INSERT INTO group_offsets (group_id, pid, next_offset, metadata, committed_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET next_offset = ?3, metadata = ?4, committed_ms = ?5",
    )?;
    let mut new = 0i64;
    for (pid, offset, metadata, at) in offsets {
        if !known.exists([group, *pid])? {
            new += 1;
        }
        note.execute(params![group, pid, offset, metadata, at])?;
    }
    tx.prepare_cached("UPDATE consumer_groups SET partitions = partitions + ? WHERE id = ?")?
        .execute([new, group])?;
    Ok(())
}

pub(super) fn list(db: &Connection, after: Option<&str>, limit: i64) -> Try<Vec<GroupInfo>> {
    let mut statement = db.prepare_cached(
        "SELECT name, partitions, committed_ms FROM consumer_groups WHERE name > ? ORDER BY name LIMIT ?",
    )?;
    let rows = statement.query_map(params![after.unwrap_or(""), limit], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?))
    })?;
    rows.map(|row| {
        let (name, partitions, committed_ms) = row?;
        Ok(GroupInfo {
            name,
            partitions: uint("a number of partitions", partitions)?,
            committed_ms,
        })
    })
    .collect()
}

pub(super) fn offsets(db: &Connection, group: &str) -> Try<Vec<(TopicPartition, CommittedOffset)>> {
    let Some(group) = number(db, group)? else {
        return Ok(Vec::new());
    };
    let mut statement = db.prepare_cached(
        "SELECT g.next_offset, g.metadata, g.committed_ms, t.name, g.pid
         FROM group_offsets g JOIN topics t ON t.id = g.pid >> 32 WHERE g.group_id = ?",
    )?;
    let rows = statement.query_map([group], |row| {
        Ok((offset_row(row)?, row.get::<_, String>(3)?, row.get::<_, i64>(4)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (row, topic, pid) = row?;
        let at = TopicPartition::new(rules::topic_name(&topic)?, rules::partition_of(pid));
        found.push((at, offset(row)?));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

pub(super) fn delete(tx: &Tx<'_>, group: &str) -> Try<bool> {
    let Some(number) = number(tx, group)? else {
        return Ok(false);
    };
    tx.prepare_cached("DELETE FROM group_offsets WHERE group_id = ?")?
        .execute([number])?;
    tx.prepare_cached("DELETE FROM consumer_groups WHERE id = ?")?
        .execute([number])?;
    Ok(true)
}
