//! Runs in processes of their own: this program started again, with its orders on standard input.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use forebay_types::ErrorKind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::direct;
use super::job;
use super::log;
use super::sample::{Sample, Spec};
#[cfg(feature = "torrent")]
use super::torrent;
use super::work;
use super::write;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// Orders for one measured run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Orders {
    Read(Spec),
    Direct(direct::Spec),
    Job(job::Orders),
    Log(log::Spec),
    Write(write::Orders),
    #[cfg(feature = "torrent")]
    Torrent(torrent::Orders),
}

impl Orders {
    fn config(&self) -> Option<&Path> {
        match self {
            Self::Read(spec) => spec.config.as_deref(),
            Self::Direct(spec) => spec.config.as_deref(),
            Self::Job(_) | Self::Write(_) => None,
            Self::Log(spec) => spec.config.as_deref(),
            #[cfg(feature = "torrent")]
            Self::Torrent(_) => None,
        }
    }
}

/// One run, in this process.
pub(super) fn run(session: &Session) -> Result<()> {
    let sample = match orders()? {
        Orders::Read(spec) => work::run(session, &spec),
        Orders::Direct(spec) => direct::work(session, &spec),
        Orders::Job(orders) => job::work(session, &orders),
        Orders::Log(spec) => log::work(session, &spec),
        Orders::Write(orders) => write::work(&orders),
        #[cfg(feature = "torrent")]
        Orders::Torrent(orders) => torrent::work(&orders),
    }?;
    session.output.line(&to_json(&sample)?)
}

/// Runs one in a child process; `what` names it if it fails.
///
/// # Cancel safety
/// Dropping the future kills the child.
pub(super) async fn sample(orders: &Orders, what: &str) -> Result<Sample> {
    let lost = |e: std::io::Error| CliError::new(e.kind().into(), format!("a worker is lost: {e}"));
    let mut command = tokio::process::Command::from(command("worker", orders.config())?);
    let mut child = command.kill_on_drop(true).spawn().map_err(lost)?;
    if let Some(mut stdin) = child.stdin.take() {
        let line = to_json(orders)? + "\n";
        stdin.write_all(line.as_bytes()).await.map_err(lost)?;
    }
    let output = child.wait_with_output().await.map_err(lost)?;
    if !output.status.success() {
        return Err(CliError::new(
            ErrorKind::Unavailable,
            format!("the run of case {what} failed"),
        ));
    }
    parse(String::from_utf8_lossy(&output.stdout).trim())
}

/// Starts this program again as `forebay bench NAME`, with its orders; it may go on for as long as it likes.
pub(super) fn helper(name: &str, orders: &impl Serialize) -> Result<Child> {
    helper_in(name, orders, None)
}

/// The same, with a directory for its temporary files.
pub(super) fn helper_in(name: &str, orders: &impl Serialize, temporary: Option<&Path>) -> Result<Child> {
    let failed =
        |e: std::io::Error| CliError::new(e.kind().into(), format!("cannot start bench {name}: {e}"));
    let mut command = command(name, None)?;
    if let Some(temporary) = temporary {
        command.env("TMPDIR", temporary);
    }
    let mut child = command.spawn().map_err(failed)?;
    if let Some(stdin) = &mut child.stdin {
        writeln!(stdin, "{}", to_json(orders)?).map_err(failed)?;
    }
    Ok(child)
}

fn command(name: &str, config: Option<&Path>) -> Result<Command> {
    let mut command = Command::new(own_executable()?);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
        .args(["bench", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Ok(command)
}

/// The first line of standard input. Not an argument: a URL may be signed, and arguments are for all to see.
pub(super) fn orders<T: DeserializeOwned>() -> Result<T> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| CliError::new(e.kind().into(), e.to_string()))?;
    parse(&line)
}

/// The binary that runs now.
pub(super) fn own_executable() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|e| CliError::new(e.kind().into(), format!("cannot find the running program: {e}")))
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| CliError::usage(format!("not the orders of a bench: {e}")))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| CliError::new(ErrorKind::Internal, e.to_string()))
}
