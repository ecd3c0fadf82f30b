//! Uploads, and objects that can be deleted.

use rusqlite::{Connection, OptionalExtension, params};
use ulid::Ulid;

use super::super::rules::{self, Failure, ObjectRow, ObjectState, invalid, may_become_live};
use super::super::store::{DeadObject, Upload};
use super::error::Try;
use super::writer::Tx;

pub(super) fn register(tx: &Tx<'_>, upload: &Upload) -> Try<()> {
    let known = tx
        .prepare_cached("SELECT state, key FROM objects WHERE id = ?")?
        .query_row([upload.id.to_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    if let Some((state, key)) = known {
        return Ok(may_become_live(
            upload.id,
            ObjectState::stored(state)?,
            &key,
            &upload.key,
        )?);
    }
    let inserted = tx
        .prepare_cached(
            "INSERT INTO objects (id, key, state, since_ms) VALUES (?, ?, 0, ?) ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![upload.id.to_bytes(), &*upload.key, tx.now])?;
    if inserted == 0 {
        return Err(rules::taken(&upload.key).into());
    }
    Ok(())
}

/// What is known of an object.
pub(super) fn row(db: &Connection, id: Ulid) -> Try<Option<ObjectRow>> {
    let found = db
        .prepare_cached("SELECT state, print FROM objects WHERE id = ?")?
        .query_row([id.to_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    let Some((state, print)) = found else {
        return Ok(None);
    };
    Ok(Some(ObjectRow {
        state: ObjectState::stored(state)?,
        print,
    }))
}

/// The upload is committed.
pub(super) fn live(tx: &Tx<'_>, id: Ulid, size: i64, etag: &str, print: i64, refs: i64) -> Try<()> {
    tx.prepare_cached(
        "UPDATE objects SET state = 1, since_ms = ?, size = ?, etag = ?, print = ?, refs = ? WHERE id = ?",
    )?
    .execute(params![tx.now, size, etag, print, refs, id.to_bytes()])?;
    Ok(())
}

pub(super) fn expire(tx: &Tx<'_>, age: i64) -> Try<u64> {
    let expired = tx
        .prepare_cached("UPDATE objects SET state = 2, since_ms = ? WHERE state = 0 AND since_ms <= ?")?
        .execute([tx.now, tx.now.saturating_sub(age)])?;
    Ok(expired as u64)
}

pub(super) fn abandon(tx: &Tx<'_>, id: Ulid) -> Try<()> {
    tx.prepare_cached("UPDATE objects SET state = 2, since_ms = ? WHERE id = ? AND state = 0")?
        .execute(params![tx.now, id.to_bytes()])?;
    Ok(())
}

pub(super) fn dead(db: &Connection, until: i64, limit: i64) -> Try<Vec<DeadObject>> {
    let mut statement = db.prepare_cached(
        "SELECT id, key FROM objects WHERE state >= 2 AND since_ms <= ? ORDER BY since_ms LIMIT ?",
    )?;
    let rows = statement.query_map([until, limit], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))
    })?;
    rows.map(|row| {
        let (id, key) = row?;
        Ok(DeadObject {
            id: rules::ulid(&id)?,
            key: key.into(),
        })
    })
    .collect()
}

pub(super) fn forget(tx: &Tx<'_>, ids: &[Ulid]) -> Try<()> {
    for id in ids {
        match row(tx, *id)?.map(|row| row.state) {
            Some(ObjectState::Pending | ObjectState::Live) => {
                return Err(Failure::Said(invalid(rules::not_dead(*id))));
            }
            Some(ObjectState::Dead | ObjectState::Retired) => {
                tx.prepare_cached("DELETE FROM objects WHERE id = ?")?
                    .execute([id.to_bytes()])?;
            }
            None => {}
        }
    }
    Ok(())
}
