//! A log, as the settings have it.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_log::Log;
use forebay_log::metadata::{MetadataStore, PostgresMetadataStore, SqliteMetadataStore};
use forebay_source::{Opener, Source, SourceOptions};
use forebay_types::{ErrorKind, printable};
use futures::StreamExt;

use crate::exit::{CliError, Result};
use crate::session::Session;
use crate::settings::{LogMetadata, LogStore};

/// Opens the log that the settings name.
///
/// # Errors
/// If they name none, if its directory is not there, of the metadata.
pub(crate) async fn open(session: &Session) -> Result<Log> {
    let store = store(session)?;
    let source = source(session, store)?;
    let metadata = metadata(session).await?;
    let config = session
        .settings
        .range_config(store.location().scheme(), &source.profile);
    let reader = session.log_reader(source.profile.cached);
    let options = session.settings.log.log_options();
    Ok(Log::new(source, Arc::new(config), reader, metadata, options))
}

/// Where its objects are.
pub(crate) fn store(session: &Session) -> Result<&LogStore> {
    session.settings.log.store.as_ref().ok_or_else(|| {
        CliError::usage("no log is named: log.store is not set").hint(
            "set log.store in forebay.toml or FOREBAY_LOG_STORE, as in \"s3://bucket/prefix\" or \"file:///dir\"",
        )
    })
}

/// The store, as logs want it: what is written is on the disk.
///
/// # Errors
/// If it is a directory that is not there.
pub(crate) fn source(session: &Session, store: &LogStore) -> Result<Source> {
    let Some(directory) = store.directory() else {
        return Ok(session.opener.open(store.location())?);
    };
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let shown = printable(&directory.to_string_lossy()).into_owned();
            return Err(
                CliError::usage(format!("{shown}, the log's store, is not a directory"))
                    .hint("name another one in log.store"),
            );
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let shown = printable(&directory.to_string_lossy()).into_owned();
            return Err(CliError::new(
                ErrorKind::NotFound,
                format!("{shown}, the log's store, is not there"),
            )
            .hint("`forebay log create TOPIC` makes it; or correct log.store"));
        }
        Err(error) => return Err(CliError::local(directory, "look at", &error)),
    }
    let opener = Opener::new(SourceOptions {
        memory: Some(Arc::new(session.engine.budget().clone())),
        ..session.settings.log_source_options()
    });
    Ok(opener.open(store.location())?)
}

/// Makes the directory of a log that is kept in one, for its owner alone, durably.
pub(super) fn make_directory(store: &LogStore) -> Result<()> {
    let Some(directory) = store.directory() else {
        return Ok(());
    };
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|above| !above.exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| CliError::local(directory, "make the directory", &e))?;
    // A name is on the disk when the directory that has it is.
    for made in missing {
        let Some(parent) = made.parent() else { continue };
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(|e| CliError::local(parent, "sync the directory", &e))?;
    }
    Ok(())
}

/// The metadata that the settings name.
async fn metadata(session: &Session) -> Result<Arc<dyn MetadataStore>> {
    if let LogMetadata::Postgres(url) = &session.settings.log.metadata {
        return Ok(Arc::new(PostgresMetadataStore::connect(url).await?));
    }
    let file = sqlite_file(session)?;
    Ok(Arc::new(SqliteMetadataStore::open(file).await?))
}

/// The file that the metadata is in, if it is in one of SQLite.
pub(crate) fn sqlite_file(session: &Session) -> Result<PathBuf> {
    let settings = &session.settings;
    match &settings.log.metadata {
        LogMetadata::Sqlite(file) => Ok(file.clone()),
        LogMetadata::Auto | LogMetadata::Postgres(_) => {
            let store = store(session)?;
            let state = settings.log.state_dir.as_ref().ok_or_else(|| {
                CliError::usage(
                    "there is no place for the log's metadata: neither XDG_STATE_HOME nor HOME says one",
                )
                .hint("set log.metadata, as in \"sqlite:///path/of/a/file\"")
            })?;
            let identity = store.identity(&settings.endpoint(store.location().scheme()));
            let name = twox_hash::XxHash3_128::oneshot(identity.as_bytes());
            Ok(state.join(format!("log-{name:032x}.db")))
        }
    }
}

/// Refuses to go on if the metadata is empty and the bucket is not: then it is not this log's, or it was lost, and what
/// is written now would stand in the way of a recovery.
///
/// # Errors
/// That, and of bucket and metadata.
pub(super) async fn refuse_lost_metadata(log: &Log) -> Result<()> {
    if !log.metadata().topics(None, 1).await?.is_empty() {
        return Ok(());
    }
    let source = log.source();
    // What every log has that has a topic, or records.
    for folder in ["snapshot", "flush"] {
        let below = source.path.clone().join(folder);
        let mut listing = source.store.list(Some(&below));
        while let Some(found) = listing.next().await {
            let key = found
                .map_err(|e| CliError::store(source.origin.url(), &e))?
                .location;
            if forebay_log::key::parse(source.path.as_ref(), key.as_ref()).is_some() {
                let (metadata, origin) = (log.metadata().name(), source.origin.url());
                let message =
                    format!("{metadata} knows no topic, but {origin} has the objects of a log, as {key}");
                return Err(CliError::new(ErrorKind::Conflict, message).hint(
                    "correct log.metadata; if the metadata was lost, `forebay log recover` rebuilds it",
                ));
            }
        }
    }
    Ok(())
}

/// Whether the store answers, within a time that somebody waits for.
pub(crate) async fn reach(source: &Source, patience: Duration) -> std::result::Result<(), String> {
    let mut listing = source.store.list(Some(&source.path));
    match tokio::time::timeout(patience, listing.next()).await {
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        Ok(Some(Err(error))) => Err(crate::exit::store_text(&error)),
        Ok(_) => Ok(()),
    }
}

/// Opens the metadata, within a time that somebody waits for; what it answers.
pub(crate) async fn reach_metadata(
    session: &Session,
    patience: Duration,
) -> std::result::Result<String, String> {
    let ask = async {
        let metadata = metadata(session).await?;
        let topics = metadata.topics(None, 1).await?;
        let has = if topics.is_empty() {
            "knows no topic yet"
        } else {
            "knows topics"
        };
        Ok::<_, CliError>(format!("{} {has}", metadata.name()))
    };
    match tokio::time::timeout(patience, ask).await {
        Err(_) => {
            let place = &session.settings.log.metadata;
            Err(format!("{place}: no answer within {} s", patience.as_secs()))
        }
        Ok(answer) => answer.map_err(|error| error.message().to_owned()),
    }
}
