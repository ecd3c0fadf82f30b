//! What changes segments: a commit, a compaction, retention.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use ulid::Ulid;

use super::super::rules::{
    self, CommitRow, CompactionRow, Failure, ObjectState, Running, SegmentRow, check_replaced, may_commit,
    repeat, rerun,
};
use super::error::Try;
use super::writer::Tx;
use super::{lease, objects, topics};
use crate::topic::TopicPartition;

/// Segments whose running maximum is corrected at a time.
const PAGE: i64 = 1000;

pub(super) fn upload(tx: &Tx<'_>, commit: &CommitRow) -> Try<()> {
    if repeat(commit.id, objects::row(tx, commit.id)?.as_ref(), commit.print)? {
        return Ok(());
    }
    let numbers = topics::all(tx, commit.segments.iter().map(|segment| &segment.at))?;
    for (segment, pid) in commit.segments.iter().zip(numbers) {
        let (epoch, owned, next_offset) = lease::standing(tx, pid)?;
        may_commit(segment, epoch, owned, next_offset)?;
        insert(tx, pid, segment, commit.id)?;
        count(tx, pid, 1, segment.length)?;
        tx.prepare_cached("UPDATE partitions SET next_offset = ? WHERE pid = ?")?
            .execute([segment.next_offset, pid])?;
    }
    let refs = commit.segments.len() as i64;
    objects::live(tx, commit.id, commit.size, &commit.etag, commit.print, refs)?;
    tx.changed()
}

pub(super) fn compaction(tx: &Tx<'_>, compaction: &CompactionRow) -> Try<()> {
    let segment = &compaction.segment;
    if repeat(
        compaction.id,
        objects::row(tx, compaction.id)?.as_ref(),
        compaction.print,
    )? {
        return Ok(());
    }
    let pid = topics::find(tx, &segment.at)?;
    let mut statement = tx.prepare_cached(
        "SELECT base_offset, next_offset, object, length FROM segments
         WHERE pid = ? AND base_offset >= ? AND base_offset < ? ORDER BY base_offset LIMIT ?",
    )?;
    let one_more = compaction.replaces.len() as i64 + 1;
    let rows = statement.query_map(
        params![pid, segment.base_offset, segment.next_offset, one_more],
        |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, Vec<u8>>(2)?,
                row.get::<_, i64>(3)?,
            ))
        },
    )?;
    let mut there = Vec::new();
    let mut bytes = 0i64;
    for row in rows {
        let (base, next, object, length) = row?;
        there.push((base, next, rules::ulid(&object)?));
        bytes = bytes.saturating_add(length);
    }
    check_replaced(compaction, &there)?;
    tx.prepare_cached("DELETE FROM segments WHERE pid = ? AND base_offset >= ? AND base_offset < ?")?
        .execute([pid, segment.base_offset, segment.next_offset])?;
    insert(tx, pid, segment, compaction.id)?;
    correct(tx, pid, segment.next_offset)?;
    count(
        tx,
        pid,
        1 - there.len() as i64,
        segment.length.saturating_sub(bytes),
    )?;
    unrefer(tx, there.iter().map(|(_, _, object)| *object))?;
    objects::live(
        tx,
        compaction.id,
        compaction.size,
        &compaction.etag,
        compaction.print,
        1,
    )?;
    tx.changed()
}

pub(super) fn advance(tx: &Tx<'_>, at: &TopicPartition, offset: u64) -> Try<u64> {
    let pid = topics::find(tx, at)?;
    let (log_start, next_offset): (i64, i64) = tx
        .prepare_cached("SELECT log_start, next_offset FROM partitions WHERE pid = ?")?
        .query_row([pid], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let offset = i64::try_from(offset).unwrap_or(i64::MAX).min(next_offset);
    if offset <= log_start {
        return Ok(rules::uint("a log start", log_start)?);
    }
    tx.prepare_cached("UPDATE partitions SET log_start = ? WHERE pid = ?")?
        .execute([offset, pid])?;
    // Segments lie in order and apart: all that begin below and end there are the first ones.
    let mut statement = tx.prepare_cached(
        "DELETE FROM segments WHERE pid = ?1 AND base_offset < ?2 AND next_offset <= ?2 RETURNING object, length",
    )?;
    let rows = statement.query_map([pid, offset], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
    })?;
    let mut objects = Vec::new();
    let mut bytes = 0i64;
    for row in rows {
        let (object, length) = row?;
        objects.push(rules::ulid(&object)?);
        bytes = bytes.saturating_add(length);
    }
    if !objects.is_empty() {
        count(tx, pid, -(objects.len() as i64), -bytes)?;
        unrefer(tx, objects.into_iter())?;
        correct(tx, pid, 0)?;
    }
    Ok(rules::uint("a log start", offset)?)
}

/// The greatest timestamp of all segments before an offset.
fn running(tx: &Tx<'_>, pid: i64, before: i64) -> Try<i64> {
    let found = tx
        .prepare_cached(
            "SELECT running_max_timestamp FROM segments WHERE pid = ? AND base_offset < ?
             ORDER BY base_offset DESC LIMIT 1",
        )?
        .query_row([pid, before], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(-1))
}

fn insert(tx: &Tx<'_>, pid: i64, segment: &SegmentRow, object: Ulid) -> Try<()> {
    let running = running(tx, pid, segment.base_offset)?.max(segment.max_timestamp);
    insert_row(tx, pid, segment, object, running)
}

pub(super) fn insert_row(tx: &Tx<'_>, pid: i64, segment: &SegmentRow, object: Ulid, running: i64) -> Try<()> {
    tx.prepare_cached(
        "INSERT INTO segments (pid, base_offset, next_offset, object, position, length, records, max_timestamp,
                               running_max_timestamp, epoch, batch_index)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        pid,
        segment.base_offset,
        segment.next_offset,
        object.to_bytes(),
        segment.position,
        segment.length,
        segment.records,
        segment.max_timestamp,
        running,
        segment.epoch,
        &segment.index[..]
    ])?;
    Ok(())
}

/// Sets the running maxima of the segments from an offset on right, as far as they are not.
fn correct(tx: &Tx<'_>, pid: i64, from: i64) -> Try<()> {
    let mut before = running(tx, pid, from)?;
    let mut from = from;
    let mut read = tx.prepare_cached(
        "SELECT base_offset, max_timestamp, running_max_timestamp FROM segments
         WHERE pid = ? AND base_offset >= ? ORDER BY base_offset LIMIT ?",
    )?;
    let mut write =
        tx.prepare_cached("UPDATE segments SET running_max_timestamp = ? WHERE pid = ? AND base_offset = ?")?;
    // Mostly the first one is right already, so the first page is short.
    let mut page = 1;
    loop {
        let rows = read.query_map([pid, from, page], |row| {
            Ok(Running {
                base_offset: row.get(0)?,
                max_timestamp: row.get(1)?,
                running: row.get(2)?,
            })
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        let (changed, next) = rerun(before, &rows);
        for (base, value) in changed {
            write.execute([value, pid, base])?;
        }
        let (Some(next), Some(last)) = (next, rows.last()) else {
            return Ok(());
        };
        before = next;
        from = last.base_offset + 1;
        page = PAGE;
    }
}

/// Adds to the counters of a partition.
fn count(tx: &Tx<'_>, pid: i64, segments: i64, bytes: i64) -> Try<()> {
    let have: i64 = tx
        .prepare_cached("SELECT bytes FROM partitions WHERE pid = ?")?
        .query_row([pid], |row| row.get(0))?;
    let bytes = have.checked_add(bytes).ok_or_else(|| {
        Failure::Said(rules::invalid(
            "a partition would have more bytes than can be counted",
        ))
    })?;
    tx.prepare_cached("UPDATE partitions SET segments = segments + ?, bytes = ? WHERE pid = ?")?
        .execute([segments, bytes, pid])?;
    Ok(())
}

/// One reference less for each; an object that has none left waits for its deletion from now on.
fn unrefer(tx: &Tx<'_>, objects: impl Iterator<Item = Ulid>) -> Try<()> {
    let mut times: BTreeMap<Ulid, i64> = BTreeMap::new();
    for object in objects {
        *times.entry(object).or_default() += 1;
    }
    let mut statement = tx.prepare_cached(
        "UPDATE objects SET refs = refs - ?2,
                state = CASE WHEN refs = ?2 THEN ?3 ELSE state END,
                since_ms = CASE WHEN refs = ?2 THEN ?4 ELSE since_ms END
         WHERE id = ?1",
    )?;
    for (object, times) in times {
        statement.execute(params![
            object.to_bytes(),
            times,
            ObjectState::Retired as i64,
            tx.now
        ])?;
    }
    Ok(())
}
