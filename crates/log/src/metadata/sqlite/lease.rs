//! Who may write.

use rusqlite::{OptionalExtension, params};
use ulid::Ulid;

use super::super::error::{MetadataError, Result};
use super::super::rules::{self, Claim, Failure, LeaseRow, claim, uint};
use super::super::store::Lease;
use super::error::Try;
use super::topics;
use super::writer::Tx;
use crate::topic::TopicPartition;

/// A writer whose last renewal ended so long ago is not remembered: its leases are over by the partitions' own rows.
const FORGET_MS: i64 = 3600 * 1000;

/// The outer result is the transaction's, the inner one the caller's: what is wanted is noted also when it fails.
pub(super) fn acquire(
    tx: &Tx<'_>,
    writer: Ulid,
    which: &[TopicPartition],
    ttl: i64,
) -> Try<Result<Vec<Lease>>> {
    let numbers = topics::all(tx, which.iter())?;
    let mut read = tx.prepare_cached(
        "SELECT p.epoch, p.next_offset, p.owner, p.lease_until_ms, p.lease_ttl_ms,
                coalesce(w.lease_until_ms, 0), coalesce(w.lease_ttl_ms, 0), p.clean
         FROM partitions p LEFT JOIN writers w ON w.id = p.owner WHERE p.pid = ?",
    )?;
    let mut leases = Vec::with_capacity(which.len());
    let mut held = None;
    let mut wanted = Vec::new();
    for (at, pid) in which.iter().zip(&numbers) {
        let (epoch, next_offset, owner, own, renewed, clean) = read.query_row([pid], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, Option<Vec<u8>>>(2)?,
                (row.get(3)?, row.get(4)?),
                (row.get(5)?, row.get(6)?),
                row.get(7)?,
            ))
        })?;
        let row = LeaseRow {
            owner: owner.map(|owner| rules::ulid(&owner)).transpose()?,
            own,
            renewed,
            clean,
        };
        match claim(&row, writer, tx.now) {
            Claim::Held { left_ms } => {
                wanted.push(*pid);
                held.get_or_insert(MetadataError::Held {
                    at: at.clone(),
                    left_ms,
                });
            }
            Claim::Free { clean, changes_hands } => {
                let epoch = epoch.checked_add(1);
                let epoch = epoch.ok_or_else(|| Failure::Wrong(format!("{at} has used up its epochs")))?;
                let lease = Lease {
                    at: at.clone(),
                    epoch: uint("an epoch", epoch)?,
                    next_offset: uint("an offset", next_offset)?,
                    clean,
                };
                leases.push((*pid, epoch, changes_hands, lease));
            }
        }
    }
    if let Some(held) = held {
        let mut note = tx.prepare_cached("UPDATE partitions SET wanted = 1 WHERE pid = ?")?;
        for pid in wanted {
            note.execute([pid])?;
        }
        return Ok(Err(held));
    }
    let mut give = tx.prepare_cached(
        "UPDATE partitions SET epoch = ?2, owner = ?3, lease_until_ms = ?4, lease_ttl_ms = ?5, clean = 0,
                wanted = CASE WHEN ?6 THEN 0 ELSE wanted END
         WHERE pid = ?1",
    )?;
    let mut given = Vec::with_capacity(leases.len());
    for (pid, epoch, changes_hands, lease) in leases {
        give.execute(params![
            pid,
            epoch,
            writer.to_bytes(),
            tx.now + ttl,
            ttl,
            changes_hands
        ])?;
        given.push(lease);
    }
    Ok(Ok(given))
}

pub(super) fn renew(tx: &Tx<'_>, writer: Ulid, ttl: i64) -> Try<Vec<TopicPartition>> {
    tx.prepare_cached("DELETE FROM writers WHERE lease_until_ms < ?")?
        .execute([tx.now.saturating_sub(FORGET_MS)])?;
    tx.prepare_cached(
        "INSERT INTO writers (id, lease_until_ms, lease_ttl_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET lease_until_ms = ?2, lease_ttl_ms = ?3",
    )?
    .execute(params![writer.to_bytes(), tx.now + ttl, ttl])?;
    let mut statement = tx.prepare_cached(
        "SELECT t.name, p.pid FROM partitions p JOIN topics t ON t.id = p.pid >> 32
         WHERE p.owner = ? AND p.wanted = 1 ORDER BY p.pid",
    )?;
    let rows = statement.query_map([writer.to_bytes()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    rows.map(|row| {
        let (topic, pid) = row?;
        Ok(TopicPartition::new(
            rules::topic_name(&topic)?,
            rules::partition_of(pid),
        ))
    })
    .collect()
}

pub(super) fn release(tx: &Tx<'_>, writer: Ulid, which: &[TopicPartition]) -> Try<()> {
    let numbers = topics::all(tx, which.iter())?;
    let mut give_back = tx.prepare_cached(
        "UPDATE partitions SET owner = NULL, clean = 1, wanted = 0 WHERE pid = ? AND owner = ?",
    )?;
    for pid in numbers {
        give_back.execute(params![pid, writer.to_bytes()])?;
    }
    Ok(())
}

/// The epoch, whether somebody holds it, and the next offset.
pub(super) fn standing(tx: &Tx<'_>, pid: i64) -> Try<(i64, bool, i64)> {
    let row = tx
        .prepare_cached("SELECT epoch, owner IS NOT NULL, next_offset FROM partitions WHERE pid = ?")?
        .query_row([pid], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    row.ok_or_else(|| Failure::Wrong(format!("partition {pid} has no row")))
}
