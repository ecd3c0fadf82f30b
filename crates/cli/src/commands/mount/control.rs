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
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

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
        /// The word of its kind.
        kind: String,
        message: String,
        hint: Option<String>,
    },
}

/// Does what a peer wants.
pub(super) async fn obey(peer: UnixStream, committer: Arc<Committer>) -> io::Result<()> {
    let (read, mut write) = peer.into_split();
    let mut read = BufReader::new(read);
    let line = tokio::time::timeout(SAY_WITHIN, heard(&mut read, MAX_ORDER)).await??;
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
    let gone = async move {
        // It says nothing more: the end of it is that nobody waits.
        let _ = read.read_u8().await;
    };
    let work = committer.commit(&commit, &progress);
    tokio::select! {
        told = report(&mut write, work, || Stats::of(&progress.stats())) => told,
        () = gone => Ok(()),
    }
}

/// Says how far the work is, and what came of it. The work never waits for who is told: that may be a stopped process, which reads
/// nothing.
async fn report(
    peer: &mut (impl AsyncWriteExt + Unpin),
    work: impl Future<Output = Result<Done>>,
    stats: impl Fn() -> Stats,
) -> io::Result<()> {
    let (answer, mut answered) = oneshot::channel();
    let work = async {
        let said = match work.await {
            Ok(done) => Said::Done(done),
            Err(error) => failed(&error),
        };
        // Heard below, whenever that is ready to listen.
        let _ = answer.send(said);
        Ok(())
    };
    let tell = async {
        loop {
            tokio::select! {
                biased;
                said = &mut answered => match said {
                    Ok(said) => return say(peer, &said).await,
                    Err(_) => return Err(io::ErrorKind::Other.into()),
                },
                () = tokio::time::sleep(PACE) => say(peer, &Said::Progress(stats())).await?,
            }
        }
    };
    tokio::try_join!(work, tell).map(drop)
}

fn failed(error: &CliError) -> Said {
    Said::Failed {
        kind: error.kind().as_str().to_owned(),
        message: error.message().to_owned(),
        hint: error.own_hint().map(str::to_owned),
    }
}

async fn say(peer: &mut (impl AsyncWriteExt + Unpin), said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    peer.write_all(&line).await
}

/// The next line that the other end says; without its end if that is longer than `most` bytes, or will never come.
async fn heard(peer: &mut (impl AsyncBufRead + Unpin), most: u64) -> io::Result<String> {
    let mut line = String::new();
    peer.take(most).read_line(&mut line).await?;
    Ok(line)
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
    let mut read = BufReader::new(read);
    loop {
        let line = heard(&mut read, MAX_SAID).await.map_err(silent)?;
        if !line.ends_with('\n') {
            return Err(silent(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&line).map_err(|e| silent(e.into()))? {
            Said::Progress(stats) => watch(&stats),
            Said::Done(done) => return Ok(done),
            Said::Failed { kind, message, hint } => {
                // That of a later version may be another one.
                let kind = ErrorKind::from_word(&kind).unwrap_or(ErrorKind::Internal);
                let error = CliError::new(kind, message);
                return Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
