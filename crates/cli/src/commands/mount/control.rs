//! What a mount can be told to do, and what it says meanwhile: one JSON object on a line each.
//!
//! Who connects says one [`Order`] and gets [`Said`] after [`Said`], the last of which is the answer. Who hangs up before that
//! takes the order back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_types::ErrorKind;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::commit::{Commit, Done, Stats};
use super::committer::Committer;
use super::socket::{self, Purpose};
use crate::exit::{CliError, Result};

/// The longest order: some URLs.
const MAX_ORDER: u64 = 64 << 10;

/// The longest thing that is said: the names of what was left out among it.
const MAX_SAID: u64 = 16 << 20;

/// How long a peer may take to say what it wants.
const SAY_WITHIN: Duration = Duration::from_secs(2);

/// Between two words of how far it is.
const PACE: Duration = Duration::from_millis(200);

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// What was written is to be given back.
    Commit(Commit),
}

/// What is said while it is done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// How far it is.
    Progress(Stats),
    /// It is done.
    Done(Done),
    /// It cannot be done.
    Failed {
        /// The kind of the error, by its name.
        kind: String,
        message: String,
        hint: Option<String>,
    },
}

/// Does what a peer wants.
pub(super) async fn obey(peer: UnixStream, committer: Arc<Committer>) -> io::Result<()> {
    let (read, mut write) = peer.into_split();
    let mut read = BufReader::new(read.take(MAX_ORDER));
    let mut line = String::new();
    tokio::time::timeout(SAY_WITHIN, read.read_line(&mut line)).await??;
    let order: Order = match serde_json::from_str(&line) {
        Ok(order) => order,
        Err(error) => {
            let error = CliError::usage(format!("the mount does not understand the order: {error}"))
                .hint("is it served by another version of forebay?");
            return say(&mut write, &failed(&error)).await;
        }
    };
    let Order::Commit(commit) = order;
    let progress = Arc::default();
    let mut work = std::pin::pin!(committer.commit(&commit, &progress));
    let mut gone = std::pin::pin!(async move {
        // It says nothing more: the end of it is that nobody waits.
        let _ = read.read_u8().await;
    });
    let answer = loop {
        tokio::select! {
            done = &mut work => break done,
            () = &mut gone => return Ok(()),
            () = tokio::time::sleep(PACE) => {
                say(&mut write, &Said::Progress(Stats::of(&progress.stats()))).await?;
            }
        }
    };
    match answer {
        Ok(done) => say(&mut write, &Said::Done(done)).await,
        Err(error) => say(&mut write, &failed(&error)).await,
    }
}

fn failed(error: &CliError) -> Said {
    Said::Failed {
        kind: format!("{:?}", error.kind()),
        message: error.message().to_owned(),
        hint: error.own_hint().map(str::to_owned),
    }
}

async fn say(peer: &mut (impl AsyncWriteExt + Unpin), said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    peer.write_all(&line).await
}

/// Has the mount on `dir` do it; `watch` hears how far it is.
///
/// # Errors
/// That it cannot be asked, and what it says.
pub(crate) async fn order(
    places: &[PathBuf],
    dir: &Path,
    order: &Order,
    mut watch: impl FnMut(&Stats),
) -> Result<Done> {
    let silent = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CliError::new(
            ErrorKind::NotFound,
            format!("{} is not mounted so that it can be written", dir.display()),
        )
        .hint("only what was mounted with --writable, by this user, has changes to commit"),
        kind => CliError::new(
            kind.into(),
            format!("the mount on {} does not answer: {error}", dir.display()),
        ),
    };
    let peer = socket::connect(places, dir, Purpose::Control)
        .await
        .map_err(silent)?;
    let (read, mut write) = peer.into_split();
    let mut line = serde_json::to_vec(order).map_err(|e| silent(e.into()))?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(silent)?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.map_err(silent)? {
        if line.len() as u64 > MAX_SAID {
            break;
        }
        match serde_json::from_str(&line).map_err(|e| silent(e.into()))? {
            Said::Progress(stats) => watch(&stats),
            Said::Done(done) => return Ok(done),
            Said::Failed { kind, message, hint } => {
                let error = CliError::new(kind_of(&kind), message);
                return Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
        }
    }
    Err(silent(io::ErrorKind::UnexpectedEof.into()))
}

/// The kind of this name.
fn kind_of(name: &str) -> ErrorKind {
    let all = [
        ErrorKind::NotFound,
        ErrorKind::Denied,
        ErrorKind::Invalid,
        ErrorKind::Changed,
        ErrorKind::Corrupt,
        ErrorKind::Unavailable,
        ErrorKind::TimedOut,
        ErrorKind::NoSpace,
        ErrorKind::Unsupported,
        ErrorKind::Conflict,
        ErrorKind::Cancelled,
        ErrorKind::LocalIo,
    ];
    let found = all.into_iter().find(|kind| format!("{kind:?}") == name);
    found.unwrap_or(ErrorKind::Internal)
}
