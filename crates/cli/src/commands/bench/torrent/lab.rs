//! Sessions of rqbit, each as a process of its own, so that what it uses can be told.
//!
//! [`Client`] starts `forebay bench torrents` and talks to it: a line of JSON each way, the first with the [`Spec`] of the
//! session. It ends with its standard input.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::Duration;

use forebay_testkit::rqbit::{Proxy, Rqbit, Torrent, make_torrent};
use forebay_types::ErrorKind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::super::sample::{cpu_time_of, peak_rss_mib};
use super::super::worker::{helper_in, parse, to_json};
use crate::exit::{CliError, Result};

/// The film, and the torrent of it.
pub(super) const NAME: &str = "film.mkv";

const PIECE: u32 = 1 << 20;

/// What a session is to be like.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The directory with the film.
    pub(super) data: PathBuf,
    /// Whether it seeds the film where it lies.
    pub(super) seeds: bool,
}

/// What it is to do next.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Has the torrent, but does nothing for it yet.
    Add { peers: Vec<SocketAddr> },
    /// Downloads it.
    Begin,
    /// Sends so many bytes a second to peers from now on.
    Limit { upload_bps: Option<u32> },
}

/// What it says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) http: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) hash: String,
}

type Answer<T> = std::result::Result<T, String>;

/// A session that runs until this is dropped.
pub(super) struct Client {
    child: Child,
    /// What is ordered, and what it answers.
    talk: Option<(ChildStdin, BufReader<ChildStdout>)>,
    pub(super) started: Started,
    /// Gone after the process.
    _dir: TempDir,
}

impl Client {
    /// One that has the film in `data` and gives it to others.
    pub(super) fn seeder(data: &Path, dir: TempDir) -> Result<Self> {
        Self::start(data, true, dir)
    }

    /// One that has nothing, and keeps it in `dir`.
    pub(super) fn downloader(data: &Path, dir: TempDir) -> Result<Self> {
        Self::start(data, false, dir)
    }

    fn start(data: &Path, seeds: bool, dir: TempDir) -> Result<Self> {
        let spec = Spec {
            data: data.to_owned(),
            seeds,
        };
        // What it downloads is temporary to it.
        let mut child = helper_in("torrents", &spec, Some(dir.path()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| failed(&"it has no pipes"))?;
        let mut stdout = BufReader::new(stdout);
        match answer(&mut stdout) {
            Ok(started) => Ok(Self {
                child,
                talk: Some((stdin, stdout)),
                started,
                _dir: dir,
            }),
            Err(error) => {
                drop(stdin);
                // Waiting leaves no zombie; why it failed is known.
                drop(child.wait());
                Err(error)
            }
        }
    }

    /// Does something, and waits until it is done.
    pub(super) fn order(&mut self, order: &Order) -> Result<()> {
        let (stdin, stdout) = self.talk.as_mut().ok_or_else(|| failed(&"it is gone"))?;
        writeln!(stdin, "{}", to_json(order)?).map_err(|e| failed(&e))?;
        answer(stdout)
    }

    /// A proxy before its HTTP server, in this process: what it uses counts for neither side.
    pub(super) fn proxy(&self) -> Result<Proxy> {
        Proxy::start(self.started.http).map_err(|e| failed(&e))
    }

    /// What it has used of the CPUs.
    pub(super) fn cpu(&self) -> Duration {
        cpu_time_of(self.child.id())
    }

    /// The most memory that it ever had.
    pub(super) fn peak_rss_mib(&self) -> f64 {
        peak_rss_mib(&self.child.id().to_string())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The end of its input is its end; waiting leaves no zombie.
        self.talk = None;
        drop(self.child.wait());
    }
}

fn answer<T: DeserializeOwned>(stdout: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    let read = stdout.read_line(&mut line).map_err(|e| failed(&e))?;
    if read == 0 {
        return Err(failed(&"it ended"));
    }
    parse::<Answer<T>>(&line)?.map_err(|why| failed(&why))
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Unavailable, format!("a session of rqbit: {error}"))
}

/// A session, in this process, until standard input ends.
pub(in crate::commands::bench) fn serve() -> Result<()> {
    let mut lines = std::io::stdin().lines();
    let mut next = || {
        let line = lines.next().transpose().map_err(|e| failed(&e));
        line.map(|line| line.filter(|line| !line.is_empty()))
    };
    let Some(spec) = next()? else {
        return Err(CliError::usage(
            "bench torrents takes its orders on standard input",
        ));
    };
    let spec: Spec = parse(&spec)?;
    let (rqbit, torrent) = match start(&spec) {
        Ok(started) => started,
        Err(error) => return say::<Started>(&Err(error.to_string())),
    };
    say(&Ok(Started {
        http: SocketAddr::from(([127, 0, 0, 1], rqbit.http_port())),
        peer: rqbit.peer_addr(),
        hash: torrent.hash().to_owned(),
    }))?;
    while let Some(line) = next()? {
        let done = match parse(&line)? {
            Order::Add { peers } => rqbit.add_paused(&torrent, &peers),
            Order::Begin => rqbit.start_torrent(torrent.hash()),
            Order::Limit { upload_bps } => {
                rqbit.set_upload_bps(upload_bps);
                Ok(())
            }
        };
        say(&done.map_err(|error| error.to_string()))?;
    }
    Ok(())
}

fn start(spec: &Spec) -> std::io::Result<(Rqbit, Torrent)> {
    let torrent = make_torrent(&spec.data.join(NAME), NAME, Some(PIECE))?;
    let rqbit = Rqbit::builder().start()?;
    if spec.seeds {
        rqbit.seed(&torrent, &spec.data)?;
    }
    Ok((rqbit, torrent))
}

fn say<T: Serialize>(answer: &Answer<T>) -> Result<()> {
    let output = crate::output::Output {
        json: true,
        quiet: false,
    };
    output.line(&to_json(answer)?)
}
