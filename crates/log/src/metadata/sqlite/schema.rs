//! The tables, and how a file of an older version gets them.

use std::path::Path;
use std::time::Duration;

use forebay_types::Clock;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::super::error::MetadataError;
use super::super::rules::Failure;
use super::error::Try;

/// "fBmd": how a file of ours is told from other programs'.
const APPLICATION: i32 = 0x6642_6D64;
/// How long a write waits for other processes before it says that the store is busy.
const BUSY: Duration = Duration::from_secs(30);
/// Each brings a file from the version of its place to the next. Only ever added to.
const MIGRATIONS: &[&str] = &[V1];

/// A partition's number is its topic's times 2^32, and its own. `running_max_timestamp` is the greatest of all segments up
/// to this one, so that the first one at a time is found in an index. `refs` counts the segments of an object.
const V1: &str = "
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    config TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE partitions (
    pid INTEGER PRIMARY KEY,
    log_start INTEGER NOT NULL DEFAULT 0,
    next_offset INTEGER NOT NULL DEFAULT 0,
    segments INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    owner BLOB,
    lease_until_ms INTEGER NOT NULL DEFAULT 0,
    lease_ttl_ms INTEGER NOT NULL DEFAULT 0,
    wanted INTEGER NOT NULL DEFAULT 0,
    clean INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX partitions_wanted ON partitions (owner) WHERE wanted = 1;
CREATE TABLE writers (
    id BLOB PRIMARY KEY,
    lease_until_ms INTEGER NOT NULL,
    lease_ttl_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX writers_until ON writers (lease_until_ms);
CREATE TABLE segments (
    pid INTEGER NOT NULL REFERENCES partitions (pid),
    base_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    object BLOB NOT NULL,
    position INTEGER NOT NULL,
    length INTEGER NOT NULL,
    records INTEGER NOT NULL,
    max_timestamp INTEGER NOT NULL,
    running_max_timestamp INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    batch_index BLOB NOT NULL,
    PRIMARY KEY (pid, base_offset)
) STRICT;
CREATE INDEX segments_running ON segments (pid, running_max_timestamp, base_offset);
CREATE TABLE objects (
    id BLOB PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    state INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    refs INTEGER NOT NULL DEFAULT 0 CHECK (refs >= 0),
    size INTEGER NOT NULL DEFAULT 0,
    etag TEXT NOT NULL DEFAULT '',
    print INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX objects_pending ON objects (since_ms) WHERE state = 0;
CREATE INDEX objects_dead ON objects (since_ms) WHERE state >= 2;
CREATE TABLE consumer_groups (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    committed_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE group_offsets (
    group_id INTEGER NOT NULL REFERENCES consumer_groups (id),
    pid INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    metadata TEXT,
    committed_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, pid)
) STRICT, WITHOUT ROWID;
CREATE TABLE changes (number INTEGER NOT NULL) STRICT;
INSERT INTO changes VALUES (0);
";

/// The connection that writes, with the tables of this version.
pub(super) fn open(path: &Path, clock: &dyn Clock) -> Try<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut db = Connection::open_with_flags(path, flags)?;
    settings(&db)?;
    write_ahead(&db, clock)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // What a burst made long is given back.
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    migrate(&mut db, path)?;
    Ok(db)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Try<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    settings(&db)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

fn settings(db: &Connection) -> Try<()> {
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The change to a write-ahead log needs the file alone for a moment, and SQLite does not always wait for that itself.
fn write_ahead(db: &Connection, clock: &dyn Clock) -> Try<()> {
    let begun = clock.now();
    let mut tries = 0;
    loop {
        let mode = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => return Err(Failure::Wrong(format!("its journal mode stays {mode}"))),
            Err(error) if busy(&error) && tries < 1000 && clock.now() < begun + BUSY => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

fn migrate(db: &mut Connection, path: &Path) -> Try<()> {
    let known = MIGRATIONS.len();
    // Who comes second waits here and finds it done.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let application: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (tables > 0 || application != 0) {
        return Err(Failure::Wrong("it is the database of another program".into()));
    }
    let version = usize::try_from(version).map_err(|_| Failure::Wrong(format!("it has schema {version}")))?;
    if version > known {
        return Err(Failure::Said(MetadataError::Schema {
            store: format!("sqlite://{}", path.display()),
            found: u32::try_from(version).unwrap_or(u32::MAX),
            known: known as u32,
        }));
    }
    if version == known {
        return Ok(());
    }
    for migration in &MIGRATIONS[version..] {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", known as i64)?;
    tx.commit()?;
    Ok(())
}
