//! Who may write.

use std::collections::HashMap;

use deadpool_postgres::{Client, Transaction};
use ulid::Ulid;

use super::super::error::{MetadataError, Result};
use super::super::rules::{self, Claim, Failure, LeaseRow, claim, uint};
use super::super::store::Lease;
use super::NOW;
use super::error::Try;
use super::topics::{self, rows, run};
use crate::topic::TopicPartition;

/// A writer whose last renewal ended so long ago is not remembered: its leases are over by the partitions' own rows.
const FORGET_MS: i64 = 3600 * 1000;

struct Locked {
    epoch: i64,
    next_offset: i64,
    owner: Option<Ulid>,
    own: (i64, i64),
    clean: bool,
}

/// The outer result is the transaction's, the inner one the caller's: what is wanted is noted also when it fails.
pub(super) async fn acquire(
    client: &mut Client,
    writer: Ulid,
    which: &[TopicPartition],
    ttl: i64,
) -> Try<Result<Vec<Lease>>> {
    let tx = client.transaction().await?;
    let numbers = topics::all(&tx, which.iter()).await?;
    let locked = lock(&tx, &numbers).await?;
    let owners: Vec<Vec<u8>> = locked
        .values()
        .filter_map(|row| Some(row.owner?.to_bytes().to_vec()))
        .collect();
    // Read when the locks are held: waiting for them takes time.
    let sql = format!(
        "SELECT now.ms, w.id, w.lease_until_ms, w.lease_ttl_ms FROM (SELECT {NOW} AS ms) now
         LEFT JOIN writers w ON w.id = ANY ($1)"
    );
    let mut now = 0;
    let mut renewals: HashMap<Ulid, (i64, i64)> = HashMap::new();
    for row in &rows(&tx, &sql, &[&owners]).await? {
        now = row.try_get(0)?;
        if let Some(id) = row.try_get::<_, Option<&[u8]>>(1)? {
            renewals.insert(rules::ulid(id)?, (row.try_get(2)?, row.try_get(3)?));
        }
    }
    let mut leases = Vec::with_capacity(which.len());
    let mut held = None;
    let mut wanted = Vec::new();
    let (mut epochs, mut changed) = (Vec::new(), Vec::new());
    for (at, pid) in which.iter().zip(&numbers) {
        let Some(row) = locked.get(pid) else {
            return Err(Failure::Wrong(format!("{at} has no row")));
        };
        let facts = LeaseRow {
            owner: row.owner,
            own: row.own,
            renewed: row
                .owner
                .and_then(|owner| renewals.get(&owner).copied())
                .unwrap_or_default(),
            clean: row.clean,
        };
        match claim(&facts, writer, now) {
            Claim::Held { left_ms } => {
                wanted.push(*pid);
                held.get_or_insert(MetadataError::Held {
                    at: at.clone(),
                    left_ms,
                });
            }
            Claim::Free { clean, changes_hands } => {
                let epoch = row.epoch.checked_add(1);
                let epoch = epoch.ok_or_else(|| Failure::Wrong(format!("{at} has used up its epochs")))?;
                epochs.push(epoch);
                changed.push(changes_hands);
                leases.push(Lease {
                    at: at.clone(),
                    epoch: uint("an epoch", epoch)?,
                    next_offset: uint("an offset", row.next_offset)?,
                    clean,
                });
            }
        }
    }
    if let Some(held) = held {
        run(
            &tx,
            "UPDATE partitions SET wanted = true WHERE pid = ANY ($1)",
            &[&wanted],
        )
        .await?;
        tx.commit().await?;
        return Ok(Err(held));
    }
    run(
        &tx,
        "UPDATE partitions p SET epoch = u.epoch, owner = $4, lease_until_ms = $5, lease_ttl_ms = $6, clean = false,
                wanted = p.wanted AND NOT u.changed
         FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) u (pid, epoch, changed) WHERE p.pid = u.pid",
        &[&numbers, &epochs, &changed, &&writer.to_bytes()[..], &(now + ttl), &ttl],
    )
    .await?;
    tx.commit().await?;
    Ok(Ok(leases))
}

async fn lock(tx: &Transaction<'_>, numbers: &[i64]) -> Try<HashMap<i64, Locked>> {
    let found = rows(
        tx,
        "SELECT pid, epoch, next_offset, owner, lease_until_ms, lease_ttl_ms, clean FROM partitions
         WHERE pid = ANY ($1) ORDER BY pid FOR UPDATE",
        &[&numbers],
    )
    .await?;
    let mut locked = HashMap::with_capacity(found.len());
    for row in &found {
        let owner: Option<&[u8]> = row.try_get(3)?;
        locked.insert(
            row.try_get(0)?,
            Locked {
                epoch: row.try_get(1)?,
                next_offset: row.try_get(2)?,
                owner: owner.map(rules::ulid).transpose()?,
                own: (row.try_get(4)?, row.try_get(5)?),
                clean: row.try_get(6)?,
            },
        );
    }
    Ok(locked)
}

pub(super) async fn renew(client: &mut Client, writer: Ulid, ttl: i64) -> Try<Vec<TopicPartition>> {
    let tx = client.transaction().await?;
    let writer = writer.to_bytes();
    let sql = format!(
        "INSERT INTO writers (id, lease_until_ms, lease_ttl_ms) VALUES ($1, {NOW} + $2::bigint, $2)
         ON CONFLICT (id) DO UPDATE
         SET lease_until_ms = excluded.lease_until_ms, lease_ttl_ms = excluded.lease_ttl_ms"
    );
    run(&tx, &sql, &[&&writer[..], &ttl]).await?;
    // Not one that another writer is at this moment.
    let sql = format!(
        "DELETE FROM writers WHERE id IN (SELECT id FROM writers WHERE lease_until_ms < {NOW} - $1::bigint
                                          FOR UPDATE SKIP LOCKED)"
    );
    run(&tx, &sql, &[&FORGET_MS]).await?;
    let sql = "SELECT t.name, p.pid FROM partitions p JOIN topics t ON t.id = p.pid >> 32
               WHERE p.owner = $1 AND p.wanted ORDER BY p.pid";
    let wanted: Try<Vec<_>> = rows(&tx, sql, &[&&writer[..]])
        .await?
        .iter()
        .map(|row| {
            let topic = rules::topic_name(row.try_get(0)?)?;
            Ok(TopicPartition::new(topic, rules::partition_of(row.try_get(1)?)))
        })
        .collect();
    tx.commit().await?;
    wanted
}

pub(super) async fn release(client: &mut Client, writer: Ulid, which: &[TopicPartition]) -> Try<()> {
    let tx = client.transaction().await?;
    let numbers = topics::all(&tx, which.iter()).await?;
    let writer = writer.to_bytes();
    lock(&tx, &numbers).await?;
    let sql = "UPDATE partitions SET owner = NULL, clean = true, wanted = false WHERE pid = ANY ($1) AND owner = $2";
    run(&tx, sql, &[&numbers, &&writer[..]]).await?;
    tx.commit().await?;
    Ok(())
}
