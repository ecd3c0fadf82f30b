//! Uploads, and objects that can be deleted.

use deadpool_postgres::{Client, Transaction};
use ulid::Ulid;

use super::super::rules::{self, Failure, ObjectRow, ObjectState, invalid, may_become_live};
use super::super::store::{DeadObject, Upload};
use super::NOW;
use super::error::Try;
use super::topics::{rows, run};

pub(super) async fn register(client: &Client, upload: &Upload) -> Try<()> {
    let id = upload.id.to_bytes();
    let sql = format!(
        "INSERT INTO objects (id, key, state, since_ms) VALUES ($1, $2, 0, {NOW}) ON CONFLICT DO NOTHING"
    );
    if run(client, &sql, &[&&id[..], &&*upload.key]).await? == 1 {
        return Ok(());
    }
    let known = rows(
        client,
        "SELECT state, key FROM objects WHERE id = $1",
        &[&&id[..]],
    )
    .await?;
    let Some(row) = known.first() else {
        return Err(rules::taken(&upload.key).into());
    };
    let state = ObjectState::stored(row.try_get(0)?)?;
    Ok(may_become_live(upload.id, state, row.try_get(1)?, &upload.key)?)
}

/// What is known of an object; nobody else changes it until the transaction ends.
pub(super) async fn lock(tx: &Transaction<'_>, id: Ulid) -> Try<Option<ObjectRow>> {
    let sql = "SELECT state, print FROM objects WHERE id = $1 FOR UPDATE";
    let found = rows(tx, sql, &[&&id.to_bytes()[..]]).await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    Ok(Some(ObjectRow {
        state: ObjectState::stored(row.try_get(0)?)?,
        print: row.try_get(1)?,
    }))
}

/// The upload is committed.
pub(super) async fn live(
    tx: &Transaction<'_>,
    id: Ulid,
    size: i64,
    etag: &str,
    print: i64,
    refs: i64,
) -> Try<()> {
    let sql = format!(
        "UPDATE objects SET state = 1, since_ms = {NOW}, size = $2, etag = $3, print = $4, refs = $5 WHERE id = $1"
    );
    run(tx, &sql, &[&&id.to_bytes()[..], &size, &etag, &print, &refs]).await?;
    Ok(())
}

pub(super) async fn expire(client: &Client, age: i64) -> Try<u64> {
    let sql = format!(
        "UPDATE objects SET state = 2, since_ms = {NOW} WHERE id IN (
             SELECT id FROM objects WHERE state = 0 AND since_ms <= {NOW} - $1::bigint ORDER BY id FOR UPDATE)"
    );
    run(client, &sql, &[&age]).await
}

pub(super) async fn abandon(client: &Client, id: Ulid) -> Try<()> {
    let sql = format!("UPDATE objects SET state = 2, since_ms = {NOW} WHERE id = $1 AND state = 0");
    run(client, &sql, &[&&id.to_bytes()[..]]).await?;
    Ok(())
}

pub(super) async fn dead(client: &Client, grace: i64, limit: i64) -> Try<Vec<DeadObject>> {
    // The time in a query of its own, so that it is a number that an index can be asked for.
    let sql = format!(
        "SELECT id, key FROM objects WHERE state >= 2 AND since_ms <= (SELECT {NOW} - $1::bigint)
         ORDER BY since_ms LIMIT $2"
    );
    let found = rows(client, &sql, &[&grace, &limit]).await?;
    found
        .iter()
        .map(|row| {
            Ok(DeadObject {
                id: rules::ulid(row.try_get(0)?)?,
                key: row.try_get::<_, &str>(1)?.into(),
            })
        })
        .collect()
}

pub(super) async fn forget(client: &mut Client, ids: &[Ulid]) -> Try<()> {
    let ids: Vec<Vec<u8>> = ids.iter().map(|id| id.to_bytes().to_vec()).collect();
    let tx = client.transaction().await?;
    let sql = "SELECT state, id FROM objects WHERE id = ANY ($1) ORDER BY id FOR UPDATE";
    for row in &rows(&tx, sql, &[&ids]).await? {
        if let ObjectState::Pending | ObjectState::Live = ObjectState::stored(row.try_get(0)?)? {
            return Err(Failure::Said(invalid(rules::not_dead(rules::ulid(
                row.try_get(1)?,
            )?))));
        }
    }
    run(&tx, "DELETE FROM objects WHERE id = ANY ($1)", &[&ids]).await?;
    tx.commit().await?;
    Ok(())
}
