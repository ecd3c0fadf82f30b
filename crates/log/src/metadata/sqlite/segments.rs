//! Which segment holds what. Each query is a walk down an index and along its answer.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::super::rules::FoundRow;
use super::super::store::SegmentInfo;
use super::error::Try;
use super::topics;
use crate::topic::TopicPartition;

/// The columns of [`row`], of segments `s` and objects `o`.
const COLUMNS: &str =
    "s.base_offset, s.next_offset, s.object, s.position, s.length, s.records, s.max_timestamp,
    s.epoch, s.batch_index, o.key, o.size, o.etag";
const FROM: &str = "FROM segments s LEFT JOIN objects o ON o.id = s.object";

fn row(row: &Row<'_>) -> rusqlite::Result<FoundRow> {
    Ok(FoundRow {
        base_offset: row.get(0)?,
        next_offset: row.get(1)?,
        object: row.get(2)?,
        position: row.get(3)?,
        length: row.get(4)?,
        records: row.get(5)?,
        max_timestamp: row.get(6)?,
        epoch: row.get(7)?,
        index: row.get(8)?,
        key: row.get(9)?,
        size: row.get(10)?,
        etag: row.get(11)?,
    })
}

fn one(db: &Connection, at: &TopicPartition, rest: &str, params: impl Params) -> Try<Option<SegmentInfo>> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} {FROM} {rest}"))?
        .query_row(params, row)
        .optional()?;
    Ok(found.map(|found| found.info(at.clone())).transpose()?)
}

/// An offset as it is compared: none that is stored is greater than the greatest number.
fn within(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// The last segment that begins at or before an offset.
pub(super) const HOLDING: &str = "WHERE s.pid = ? AND s.base_offset <= ? ORDER BY s.base_offset DESC LIMIT 1";
/// The first one that begins at or after it.
pub(super) const NEXT: &str = "WHERE s.pid = ? AND s.base_offset >= ? ORDER BY s.base_offset LIMIT 1";
/// The first one up to which a time is reached.
pub(super) const AT_TIME: &str = "WHERE s.pid = ?1 AND s.running_max_timestamp >= ?2
    ORDER BY s.running_max_timestamp, s.base_offset LIMIT 1";
/// Several from one on.
pub(super) const ALONG: &str = "WHERE s.pid = ? AND s.base_offset >= ? ORDER BY s.base_offset LIMIT ?";

pub(super) fn holding(db: &Connection, at: &TopicPartition, offset: u64) -> Try<Option<SegmentInfo>> {
    let pid = topics::find(db, at)?;
    let found = one(db, at, HOLDING, params![pid, within(offset)])?;
    Ok(found.filter(|segment| offset < segment.next_offset))
}

pub(super) fn next(db: &Connection, at: &TopicPartition, offset: u64) -> Try<Option<SegmentInfo>> {
    let pid = topics::find(db, at)?;
    let Ok(offset) = i64::try_from(offset) else {
        return Ok(None);
    };
    one(db, at, NEXT, params![pid, offset])
}

pub(super) fn at_time(db: &Connection, at: &TopicPartition, timestamp: i64) -> Try<Option<SegmentInfo>> {
    let pid = topics::find(db, at)?;
    // -1 stands for no timestamp, so nothing below 0 is one.
    one(db, at, AT_TIME, params![pid, timestamp.max(0)])
}

pub(super) fn from(
    db: &Connection,
    wanted: &[(TopicPartition, u64)],
    limit: i64,
) -> Try<Vec<Vec<SegmentInfo>>> {
    let numbers = topics::all(db, wanted.iter().map(|(at, _)| at))?;
    let mut holding = db.prepare_cached(
        "SELECT base_offset, next_offset FROM segments WHERE pid = ? AND base_offset <= ?
         ORDER BY base_offset DESC LIMIT 1",
    )?;
    let mut along = db.prepare_cached(&format!("SELECT {COLUMNS} {FROM} {ALONG}"))?;
    let mut all = Vec::with_capacity(wanted.len());
    for ((at, offset), pid) in wanted.iter().zip(numbers) {
        let Ok(offset) = i64::try_from(*offset) else {
            all.push(Vec::new());
            continue;
        };
        let before = holding
            .query_row([pid, offset], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        let first = before.map_or(offset, |(base, next)| if offset < next { base } else { offset });
        let rows = along.query_map(params![pid, first, limit], row)?;
        let found: Try<Vec<_>> = rows.map(|row| Ok(row?.info(at.clone())?)).collect();
        all.push(found?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
