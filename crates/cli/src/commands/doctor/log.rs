//! The event log: whether one is named, and whether its two halves answer.

use std::time::Duration;

use super::{Finding, Status};
use crate::commands::log::open;
use crate::session::Session;
use crate::settings::LogMetadata;

/// How long each half may take to answer: somebody sits and waits.
const PATIENCE: Duration = Duration::from_secs(5);

const STORE: &str = "log store";
const METADATA: &str = "log metadata";

pub(super) fn findings(session: &Session) -> Vec<Finding> {
    if session.settings.log.store.is_none() {
        return vec![Finding::new(STORE, Status::Info, "none; log.store names one")];
    }
    vec![store(session), metadata(session)]
}

fn store(session: &Session) -> Finding {
    let reached = session.block_on_one(async {
        let named = open::store(session)?;
        let source = open::source(session, named)?;
        Ok((named.to_string(), open::reach(&source, PATIENCE).await))
    });
    match reached {
        Ok((named, Ok(()))) => Finding::new(STORE, Status::Yes, format!("{named} can be listed")),
        Ok((named, Err(why))) => Finding::new(STORE, Status::No, format!("{named}: {why}")),
        Err(error) => Finding::new(STORE, Status::No, error.message()),
    }
}

/// A file that is not there is not made.
fn metadata(session: &Session) -> Finding {
    if !matches!(session.settings.log.metadata, LogMetadata::Postgres(_)) {
        match open::sqlite_file(session) {
            Ok(file) if !file.exists() => {
                let detail = format!(
                    "sqlite://{} is not there yet: `forebay log create` makes it",
                    file.display()
                );
                return Finding::new(METADATA, Status::Info, detail);
            }
            Ok(_) => {}
            Err(error) => return Finding::new(METADATA, Status::No, error.message()),
        }
    }
    let reached = session.block_on_one(async { Ok(open::reach_metadata(session, PATIENCE).await) });
    match reached {
        Ok(Ok(detail)) => Finding::new(METADATA, Status::Yes, detail),
        Ok(Err(why)) => Finding::new(METADATA, Status::No, why),
        Err(error) => Finding::new(METADATA, Status::No, error.message()),
    }
}
