//! `forebay mount --status`: attaches to a mount and shows what it does, as long as somebody watches.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay_mount::Mount;
use forebay_types::{ErrorKind, printable};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use super::mounted::{self, Place};
use super::screen::Screen;
use super::snapshot::Snapshot;
use super::subject::Subject;
use super::view::{self, Room};
use super::{socket, start};
use crate::args::MountArgs;
use crate::env::Env;
use crate::exit::{CliError, Result};
use crate::session::{Session, interrupted};

/// Between two views.
const PACE: Duration = Duration::from_secs(1);

/// A process that does not answer may just be ending: so often it is looked whether the mount is there still.
const TRIES: usize = 10;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a peer may take to read its answer.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Tells a peer what the mount does.
pub(super) async fn answer(mut peer: UnixStream, mount: Arc<Mount>) -> io::Result<()> {
    // The cache's figures are in a file that other processes lock.
    let line = tokio::task::spawn_blocking(move || crate::output::json(&mount.status()));
    let line = line.await?.map_err(|e| io::Error::other(e.to_string()))?;
    let told = async {
        peer.write_all(line.as_bytes()).await?;
        peer.write_all(b"\n").await?;
        peer.shutdown().await
    };
    tokio::time::timeout(READ_WITHIN, told).await?
}

/// A mount that can be asked.
#[derive(Debug)]
struct Attached {
    places: Vec<PathBuf>,
    /// As the kernel lists it.
    dir: PathBuf,
}

/// Mounts what is not mounted yet, and shows it.
pub(super) fn run(session: &Session, env: &Env, args: &MountArgs) -> Result<()> {
    let found = |dir: &Path| mounted::find(dir).map_err(|e| CliError::local(dir, "look at", &e));
    let mut place = found(&args.dir);
    if args.url.is_some() && !matches!(place, Ok(Place { is_ours: true, .. })) {
        // Whatever is wrong with the directory, mounting says it better.
        start(args)?;
        place = found(&args.dir);
    }
    let Place { dir, is_ours } = place?;
    if !is_ours {
        return Err(CliError::new(
            ErrorKind::NotFound,
            format!("nothing is mounted by forebay on {}", shown(&dir)),
        )
        .hint("`findmnt -t fuse.forebay` lists what is"));
    }
    let places = socket::places(env);
    session.block_on_one(show(session, args, Attached { places, dir }))
}

async fn show(session: &Session, args: &MountArgs, attached: Attached) -> Result<()> {
    let Some((line, now)) = attached.ask().await? else {
        return Err(attached.gone());
    };
    if let Some(url) = &args.url {
        let asked = Subject::parse(url)?.shown();
        if asked != now.url {
            let (dir, there) = (shown(&attached.dir), printable(&now.url).into_owned());
            return Err(
                CliError::new(ErrorKind::Conflict, format!("{dir} shows {there}, not {asked}"))
                    .hint("unmount it first, or leave out the URL to see what it does"),
            );
        }
    }
    if session.output.json {
        return session.output.line(line.trim_end());
    }
    if !io::stdout().is_terminal() {
        let lines = view::lines(&now, None, Room::UNBOUNDED);
        return session.output.line(&lines.join("\n"));
    }
    tokio::select! {
        watched = watch(&attached, now) => watched?,
        // Who watched has seen enough; the mount goes on.
        () = interrupted() => return Ok(()),
    }
    session
        .output
        .line(&format!("{} is not mounted any more", shown(&attached.dir)))
}

/// Shows it until it is not mounted any more.
async fn watch(attached: &Attached, first: Snapshot) -> Result<()> {
    let failed = |e: io::Error| CliError::stdout(&e);
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut screen = Screen::new();
    let (mut before, mut now) = (None, first);
    loop {
        let pace = tokio::time::sleep(PACE);
        tokio::pin!(pace);
        loop {
            let room = Screen::room();
            let lines = view::lines(&now, before.as_ref(), room);
            screen.draw(&lines, room).map_err(failed)?;
            tokio::select! {
                () = &mut pace => break,
                _ = resized.recv() => {}
            }
        }
        let Some((_, next)) = attached.ask().await? else {
            return Ok(());
        };
        before = Some(std::mem::replace(&mut now, next));
    }
}

impl Attached {
    /// What the mount says, as it says it and understood; `None` if there is none any more.
    async fn ask(&self) -> Result<Option<(String, Snapshot)>> {
        let mut tries = 0;
        loop {
            let is_ours = mounted::is_ours(&self.dir);
            if !is_ours.map_err(|e| CliError::local(&self.dir, "look at", &e))? {
                return Ok(None);
            }
            let error = match socket::ask(&self.places, &self.dir).await {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(snapshot) => return Ok(Some((line, snapshot))),
                    Err(error) => return Err(self.silent(&error.into())),
                },
                Err(error) => error,
            };
            tries += 1;
            match error.kind() {
                io::ErrorKind::PermissionDenied => return Err(self.silent(&error)),
                // Once may be a machine that was suspended.
                io::ErrorKind::TimedOut if tries > 1 => return Err(self.silent(&error)),
                _ if tries == TRIES => return Err(self.silent(&error)),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// It is mounted, but does not say what it does.
    fn silent(&self, error: &io::Error) -> CliError {
        let dir = shown(&self.dir);
        let (kind, why, hint) = match error.kind() {
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Denied,
                error.to_string(),
                "only who mounted it, and root, may ask it".to_owned(),
            ),
            io::ErrorKind::NotFound => (
                ErrorKind::Unavailable,
                "there is no socket of it".to_owned(),
                "ask as the user who mounted it, with the same XDG_RUNTIME_DIR or XDG_CACHE_HOME".to_owned(),
            ),
            _ => (
                ErrorKind::Unavailable,
                error.to_string(),
                format!("if its process is gone, `forebay unmount {dir}` and mount it again"),
            ),
        };
        let message = format!(
            "{dir} is mounted, but does not tell what it does: {}",
            printable(&why)
        );
        CliError::new(kind, message).hint(hint)
    }

    fn gone(&self) -> CliError {
        let message = format!("{} is not mounted any more", shown(&self.dir));
        CliError::new(ErrorKind::NotFound, message)
    }
}

fn shown(dir: &Path) -> String {
    printable(&dir.to_string_lossy()).into_owned()
}
