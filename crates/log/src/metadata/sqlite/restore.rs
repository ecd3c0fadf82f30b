//! Everything anew.

use rusqlite::params;

use super::super::error::MetadataError;
use super::super::rules::{ObjectState, RestorePlan, int};
use super::error::Try;
use super::writer::Tx;
use super::{commit, groups, topics};

pub(super) fn run(tx: &Tx<'_>, plan: &RestorePlan, replace: bool) -> Try<()> {
    let known: i64 = tx
        .prepare_cached("SELECT count(*) FROM topics")?
        .query_row([], |row| row.get(0))?;
    if known > 0 && !replace {
        return Err(MetadataError::NotEmpty {
            store: tx.name().to_owned(),
            topics: known.unsigned_abs(),
        }
        .into());
    }
    tx.execute_batch(
        "DELETE FROM group_offsets; DELETE FROM consumer_groups; DELETE FROM segments; DELETE FROM partitions;
         DELETE FROM writers; DELETE FROM topics;",
    )?;
    if replace {
        tx.execute_batch("DELETE FROM objects")?;
    }
    for (n, topic) in plan.topics.iter().enumerate() {
        topics::insert(tx, n as i64 + 1, topic)?;
    }
    // A writer of before may still have something on its way.
    tx.execute_batch("UPDATE partitions SET clean = 0")?;
    for (pid, ends) in &plan.partitions {
        tx.prepare_cached(
            "UPDATE partitions SET log_start = ?, next_offset = ?, segments = ?, bytes = ?, epoch = ? WHERE pid = ?",
        )?
        .execute([ends.log_start, ends.next_offset, ends.segments, ends.bytes, ends.epoch, *pid])?;
    }
    for object in &plan.objects {
        // An upload that nobody committed here is one that the bucket has.
        tx.prepare_cached("DELETE FROM objects WHERE id = ? OR key = ?")?
            .execute(params![object.id.to_bytes(), &*object.key])?;
        tx.prepare_cached(
            "INSERT INTO objects (id, key, state, since_ms, refs, size, etag) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            object.id.to_bytes(),
            &*object.key,
            ObjectState::Live as i64,
            tx.now,
            object.refs,
            object.size,
            &*object.etag
        ])?;
    }
    for segment in &plan.segments {
        commit::insert_row(tx, segment.pid, &segment.row, segment.object, segment.running)?;
    }
    for (group, offsets) in &plan.groups {
        let rows = offsets.iter().map(|(pid, committed)| {
            let offset = int("an offset", committed.offset)?;
            Ok((
                *pid,
                offset,
                committed.metadata.as_deref(),
                committed.committed_ms,
            ))
        });
        let rows: Try<Vec<_>> = rows.collect();
        groups::insert(tx, group, &rows?)?;
    }
    tx.changed()
}
