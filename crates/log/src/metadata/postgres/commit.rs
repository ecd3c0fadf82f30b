//! What changes segments: a commit, a compaction, retention.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::{Client, Transaction};
use ulid::Ulid;

use super::super::rules::{
    self, CommitRow, CompactionRow, Failure, Running, SegmentRow, check_replaced, may_commit, repeat, rerun,
};
use super::NOW;
use super::error::Try;
use super::objects;
use super::topics::{self, rows, run};
use crate::topic::TopicPartition;

/// Segments whose running maximum is corrected at a time.
const PAGE: i64 = 1000;

pub(super) async fn upload(client: &mut Client, commit: &CommitRow, channel: &str) -> Try<()> {
    let tx = client.transaction().await?;
    if repeat(
        commit.id,
        objects::lock(&tx, commit.id).await?.as_ref(),
        commit.print,
    )? {
        return Ok(());
    }
    let numbers = topics::all(&tx, commit.segments.iter().map(|segment| &segment.at)).await?;
    let locked = rows(
        &tx,
        "SELECT pid, epoch, owner IS NOT NULL, next_offset FROM partitions WHERE pid = ANY ($1) ORDER BY pid FOR UPDATE",
        &[&numbers],
    )
    .await?;
    let mut standing: HashMap<i64, (i64, bool, i64)> = HashMap::with_capacity(locked.len());
    for row in &locked {
        standing.insert(
            row.try_get(0)?,
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?),
        );
    }
    for (segment, pid) in commit.segments.iter().zip(&numbers) {
        let Some((epoch, owned, next_offset)) = standing.get(pid).copied() else {
            return Err(Failure::Wrong(format!("{} has no row", segment.at)));
        };
        may_commit(segment, epoch, owned, next_offset)?;
    }
    // A statement of its own, after the locks: it sees what whoever held them before committed.
    insert(
        &tx,
        &numbers,
        &commit.segments.iter().collect::<Vec<_>>(),
        commit.id,
    )
    .await?;
    let next: Vec<i64> = commit
        .segments
        .iter()
        .map(|segment| segment.next_offset)
        .collect();
    let lengths: Vec<i64> = commit.segments.iter().map(|segment| segment.length).collect();
    run(
        &tx,
        "UPDATE partitions p SET next_offset = u.next, segments = p.segments + 1, bytes = p.bytes + u.length
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) u (pid, next, length) WHERE p.pid = u.pid",
        &[&numbers, &next, &lengths],
    )
    .await?;
    let refs = commit.segments.len() as i64;
    objects::live(&tx, commit.id, commit.size, &commit.etag, commit.print, refs).await?;
    tell(&tx, channel).await?;
    tx.commit().await?;
    Ok(())
}

/// Tells all who listen, when the transaction is committed.
pub(super) async fn tell(tx: &Transaction<'_>, channel: &str) -> Try<()> {
    rows(tx, "SELECT pg_notify($1, '')", &[&channel]).await?;
    Ok(())
}

pub(super) async fn compaction(client: &mut Client, compaction: &CompactionRow, channel: &str) -> Try<()> {
    let tx = client.transaction().await?;
    let segment = &compaction.segment;
    let known = objects::lock(&tx, compaction.id).await?;
    if repeat(compaction.id, known.as_ref(), compaction.print)? {
        return Ok(());
    }
    let pid = find_locked(&tx, &segment.at).await?.0;
    let one_more = compaction.replaces.len() as i64 + 1;
    let found = rows(
        &tx,
        "SELECT base_offset, next_offset, object, length FROM segments
         WHERE pid = $1 AND base_offset >= $2 AND base_offset < $3 ORDER BY base_offset LIMIT $4",
        &[&pid, &segment.base_offset, &segment.next_offset, &one_more],
    )
    .await?;
    let mut there = Vec::new();
    let mut bytes = 0i64;
    for row in &found {
        there.push((row.try_get(0)?, row.try_get(1)?, rules::ulid(row.try_get(2)?)?));
        bytes = bytes.saturating_add(row.try_get(3)?);
    }
    check_replaced(compaction, &there)?;
    let sql = "DELETE FROM segments WHERE pid = $1 AND base_offset >= $2 AND base_offset < $3";
    run(&tx, sql, &[&pid, &segment.base_offset, &segment.next_offset]).await?;
    insert(&tx, &[pid], &[segment], compaction.id).await?;
    correct(&tx, pid, segment.next_offset).await?;
    let more = segment.length.saturating_sub(bytes);
    count(&tx, pid, 1 - there.len() as i64, more).await?;
    unrefer(&tx, there.iter().map(|(_, _, object)| *object)).await?;
    objects::live(
        &tx,
        compaction.id,
        compaction.size,
        &compaction.etag,
        compaction.print,
        1,
    )
    .await?;
    tell(&tx, channel).await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn advance(client: &mut Client, at: &TopicPartition, offset: u64) -> Try<u64> {
    let tx = client.transaction().await?;
    let (pid, log_start, next_offset) = find_locked(&tx, at).await?;
    let offset = i64::try_from(offset).unwrap_or(i64::MAX).min(next_offset);
    if offset <= log_start {
        return Ok(rules::uint("a log start", log_start)?);
    }
    run(
        &tx,
        "UPDATE partitions SET log_start = $2 WHERE pid = $1",
        &[&pid, &offset],
    )
    .await?;
    // Segments lie in order and apart: all that begin below and end there are the first ones.
    let dropped = rows(
        &tx,
        "DELETE FROM segments WHERE pid = $1 AND base_offset < $2 AND next_offset <= $2 RETURNING object, length",
        &[&pid, &offset],
    )
    .await?;
    let mut objects = Vec::with_capacity(dropped.len());
    let mut bytes = 0i64;
    for row in &dropped {
        objects.push(rules::ulid(row.try_get(0)?)?);
        bytes = bytes.saturating_add(row.try_get(1)?);
    }
    if !objects.is_empty() {
        count(&tx, pid, -(objects.len() as i64), -bytes).await?;
        unrefer(&tx, objects.into_iter()).await?;
        correct(&tx, pid, 0).await?;
    }
    tx.commit().await?;
    Ok(rules::uint("a log start", offset)?)
}

/// A partition's number, log start and next offset, its row locked.
async fn find_locked(tx: &Transaction<'_>, at: &TopicPartition) -> Try<(i64, i64, i64)> {
    let pid = topics::all(tx, std::iter::once(at)).await?[0];
    let sql = "SELECT log_start, next_offset FROM partitions WHERE pid = $1 FOR UPDATE";
    match rows(tx, sql, &[&pid]).await?.first() {
        Some(row) => Ok((pid, row.try_get(0)?, row.try_get(1)?)),
        None => Err(Failure::Wrong(format!("{at} has no row"))),
    }
}

/// New segments of one object, their running maxima by those before.
async fn insert(tx: &Transaction<'_>, numbers: &[i64], segments: &[&SegmentRow], object: Ulid) -> Try<()> {
    let column = |of: fn(&SegmentRow) -> i64| -> Vec<i64> { segments.iter().map(|one| of(one)).collect() };
    let indices: Vec<&[u8]> = segments.iter().map(|one| &one.index[..]).collect();
    run(
        tx,
        "INSERT INTO segments (pid, base_offset, next_offset, object, position, length, records, max_timestamp,
                               running_max_timestamp, epoch, batch_index)
         SELECT u.pid, u.base, u.next, $10, u.position, u.length, u.records, u.time,
                greatest(u.time, coalesce((SELECT s.running_max_timestamp FROM segments s
                    WHERE s.pid = u.pid AND s.base_offset < u.base ORDER BY s.base_offset DESC LIMIT 1), -1)),
                u.epoch, u.batch_index
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bytea[]) u (pid, base, next, position, length, records, time, epoch, batch_index)",
        &[
            &numbers,
            &column(|one| one.base_offset),
            &column(|one| one.next_offset),
            &column(|one| one.position),
            &column(|one| one.length),
            &column(|one| one.records),
            &column(|one| one.max_timestamp),
            &column(|one| one.epoch),
            &indices,
            &&object.to_bytes()[..],
        ],
    )
    .await?;
    Ok(())
}

/// Sets the running maxima of the segments from an offset on right, as far as they are not.
async fn correct(tx: &Transaction<'_>, pid: i64, from: i64) -> Try<()> {
    let sql = "SELECT running_max_timestamp FROM segments WHERE pid = $1 AND base_offset < $2
               ORDER BY base_offset DESC LIMIT 1";
    let found = rows(tx, sql, &[&pid, &from]).await?;
    let mut before = found.first().map_or(Ok(-1), |row| row.try_get(0))?;
    let mut from = from;
    // Mostly the first one is right already, so the first page is short.
    let mut page = 1;
    loop {
        let sql = "SELECT base_offset, max_timestamp, running_max_timestamp FROM segments
                   WHERE pid = $1 AND base_offset >= $2 ORDER BY base_offset LIMIT $3";
        let mut there = Vec::new();
        for row in &rows(tx, sql, &[&pid, &from, &page]).await? {
            there.push(Running {
                base_offset: row.try_get(0)?,
                max_timestamp: row.try_get(1)?,
                running: row.try_get(2)?,
            });
        }
        let (changed, next) = rerun(before, &there);
        if !changed.is_empty() {
            let (bases, values): (Vec<i64>, Vec<i64>) = changed.into_iter().unzip();
            let sql = "UPDATE segments s SET running_max_timestamp = u.value
                       FROM unnest($2::bigint[], $3::bigint[]) u (base, value)
                       WHERE s.pid = $1 AND s.base_offset = u.base";
            run(tx, sql, &[&pid, &bases, &values]).await?;
        }
        let (Some(next), Some(last)) = (next, there.last()) else {
            return Ok(());
        };
        before = next;
        from = last.base_offset + 1;
        page = PAGE;
    }
}

/// Adds to the counters of a partition.
async fn count(tx: &Transaction<'_>, pid: i64, segments: i64, bytes: i64) -> Try<()> {
    let sql = "UPDATE partitions SET segments = segments + $2, bytes = bytes + $3 WHERE pid = $1";
    run(tx, sql, &[&pid, &segments, &bytes]).await?;
    Ok(())
}

/// One reference less for each; an object that has none left waits for its deletion from now on.
async fn unrefer(tx: &Transaction<'_>, objects: impl Iterator<Item = Ulid>) -> Try<()> {
    let mut times: BTreeMap<[u8; 16], i64> = BTreeMap::new();
    for object in objects {
        *times.entry(object.to_bytes()).or_default() += 1;
    }
    let ids: Vec<&[u8]> = times.keys().map(|id| &id[..]).collect();
    let times: Vec<i64> = times.values().copied().collect();
    rows(
        tx,
        "SELECT 1 FROM objects WHERE id = ANY ($1) ORDER BY id FOR UPDATE",
        &[&ids],
    )
    .await?;
    let sql = format!(
        "UPDATE objects o SET refs = o.refs - u.times,
                state = CASE WHEN o.refs = u.times THEN 3 ELSE o.state END,
                since_ms = CASE WHEN o.refs = u.times THEN {NOW} ELSE o.since_ms END
         FROM unnest($1::bytea[], $2::bigint[]) u (id, times) WHERE o.id = u.id"
    );
    run(tx, &sql, &[&ids, &times]).await?;
    Ok(())
}
