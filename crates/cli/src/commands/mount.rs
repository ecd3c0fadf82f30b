//! `forebay mount` and `forebay unmount`.
//!
//! Without `--foreground` this program starts itself again, with no runtime begun yet, waits until the other one says that
//! the mount answers, and ends; the other one lets go of the terminal and stays. What it does from then on it tells at its
//! [`socket`]; `--status` asks there ([`status`]) and shows the answer ([`view`]). What was written in a [`writable`] mount,
//! another socket ([`control`]) takes orders for: a [`mod@commit`].

mod commit;
mod committer;
mod control;
mod dead;
mod manifests;
mod mounted;
mod screen;
mod snapshot;
mod socket;
mod status;
mod subject;
mod view;
mod watch;
mod writable;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use forebay_mount::{Mount, MountError, WritableOptions};
use forebay_types::{ErrorKind, SystemClock, printable};
use forebay_vfs::{Tree, TreeOptions};
use rustix::io::FdFlags;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::args::{MountArgs, UnmountArgs};
use crate::env::{DETACHED_URL, Env};
use crate::exit::{CliError, Result};
use crate::session::{Session, interrupted};
pub(crate) use commit::run as commit;
use committer::{Base, Committer};
use socket::{Purpose, Socket};
use subject::{Opened, Subject};
use watch::Watch;

/// What the other process says when the mount answers.
const READY: &str = "ready";

/// What `mount --json` answers.
#[derive(Debug, Serialize)]
struct Mounted<'a> {
    url: String,
    dir: &'a Path,
    /// Of the process that serves it.
    pid: u32,
}

pub(crate) fn mount(session: &Session, env: &Env, args: &MountArgs) -> Result<()> {
    if args.foreground || args.detached {
        return session.block_on_uncaught(serve(session, env, args));
    }
    if args.status {
        return status::run(session, env, args);
    }
    let pid = start(args)?;
    let answer = Mounted {
        url: Subject::parse(url(args)?)?.shown(),
        dir: &args.dir,
        pid,
    };
    let text = || format!("{} is mounted on {}", answer.url, args.dir.display());
    session.output.answer(&answer, text)
}

/// What is to be mounted.
fn url(args: &MountArgs) -> Result<&str> {
    let missing = || CliError::usage("what is to be mounted is not said");
    args.url.as_deref().ok_or_else(missing)
}

/// Starts the process that serves the mount, and waits until it answers; its number.
fn start(args: &MountArgs) -> Result<u32> {
    let failed = |e: std::io::Error| CliError::new(e.kind().into(), format!("cannot start the daemon: {e}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    let words = crate::args::words().map_err(CliError::usage)?;
    let (words, secret) = fit_to_show(words, args)?;
    command.args(words.into_iter().skip(1)).arg("--detached");
    if let Some(url) = secret {
        command.env(DETACHED_URL, url);
    }
    // A session of its own: it outlives the terminal.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0);
    keep_to_ourselves();
    let mut daemon = command.spawn().map_err(failed)?;
    let mut said = String::new();
    if let Some(stdout) = daemon.stdout.take() {
        BufReader::new(stdout).read_line(&mut said).map_err(failed)?;
    }
    if said.trim_end() == READY {
        return Ok(daemon.id());
    }
    // It has said why.
    let status = daemon.wait().map_err(failed)?;
    Err(CliError::already_said(status.code()))
}

/// What this process was given open beside its standard streams is not for the one that stays: a lock, say, would be held
/// for as long as the mount is there.
fn keep_to_ourselves() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        // SAFETY: only its flag is set, and that of a number that means nothing any more is not: EBADF.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
}

/// The words for the process that serves the mount, which everybody on this machine may read: a URL with credentials
/// stands there as it may be shown, and is given back to be handed over in another way.
fn fit_to_show(mut words: Vec<OsString>, args: &MountArgs) -> Result<(Vec<OsString>, Option<&str>)> {
    let Some(typed) = args.url.as_deref() else {
        return Ok((words, None));
    };
    let subject = Subject::parse(typed)?;
    if !subject.has_secrets() {
        return Ok((words, None));
    }
    for word in words.iter_mut().filter(|word| *word == typed) {
        *word = subject.shown().into();
    }
    Ok((words, Some(typed)))
}

async fn serve(session: &Session, env: &Env, args: &MountArgs) -> Result<()> {
    let handed = env.detached_url.as_ref().filter(|_| args.detached);
    let typed = handed.map_or_else(|| url(args), |url| Ok(&url.0))?;
    let subject = Subject::parse(typed)?;
    let Opened {
        namespace,
        source,
        base,
    } = subject.open(session).await?;
    let (shown, scheme) = (subject.shown(), subject.scheme());
    let clock = Arc::new(SystemClock::new());
    let tree = Tree::new(namespace, TreeOptions::default(), clock);
    let reader = session.reader_or_none(source.profile.cached);
    let device = format!("forebay:{shown}");
    let options = session.settings.mount_options(scheme, device, args.allow_other);
    let watched = Watch::of(session, scheme, &options);
    let stop = interrupted();
    tokio::pin!(stop);
    // Heard from here on: a signal between mount and wait would leave a mount without a process, and its socket.
    tokio::select! {
        biased;
        () = &mut stop => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let left = |e| CliError::local(&args.dir, "detach the dead mount on", &e);
    dead::detach_all(&args.dir).map_err(left)?;
    let runtime = Handle::current();
    let (mount, merged) = if args.writable {
        let overlay = writable::dir(session, args, &shown)?;
        let is_changing = !matches!(base, Base::Manifests(_));
        let merged = writable::open(&overlay, &shown, is_changing, (tree, reader.clone()))?;
        let options = WritableOptions {
            mount: options,
            overlay,
            sync_interval: session.settings.overlay.sync_interval,
        };
        let mount = Mount::start_writable(&args.dir, merged.clone(), reader, source, options, &runtime)?;
        (mount, Some(merged))
    } else {
        let mount = Mount::start(&args.dir, tree, reader, source, options, &runtime)?;
        (mount, None)
    };
    let mount = Arc::new(mount);
    // Before anybody hears that the mount answers: then it can be asked, too.
    let places = socket::places(env);
    let listen = |purpose, what: &str| {
        Socket::listen(&places, mount.dir(), purpose).inspect_err(|error| {
            let why = error.to_string();
            tracing::warn!("{what} does not work for this mount: {}", printable(&why));
        })
    };
    let socket = listen(Purpose::Status, "--status");
    let committer = merged.map(|merged| {
        let dir = mounted::bytes(mount.dir()).into();
        Arc::new(Committer::new(merged, base, session.opener.clone(), dir))
    });
    let control = committer.map(|committer| (listen(Purpose::Control, "commit"), committer));
    if args.detached {
        ready()?;
    }
    let waiting = mount.clone();
    let mut ended = tokio::task::spawn_blocking(move || waiting.wait());
    tokio::select! {
        outcome = &mut ended => {
            let outcome = outcome.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            return outcome.map_err(|e| CliError::new(ErrorKind::Internal, format!("the mount ended: {e}")));
        }
        () = stop => {}
        () = tell(socket, mount.clone()) => {}
        () = take_orders(control) => {}
        () = watch::torrents(watched, &mount) => {}
    }
    mount
        .unmount()
        .map_err(|e| CliError::local(&args.dir, "unmount", &e))?;
    // Who has files open there goes on with them as long as this process lives, which it does not.
    Ok(())
}

/// Tells what the mount does to whoever asks, for ever. Without a place for a socket nobody can.
async fn tell(socket: std::io::Result<Socket>, mount: Arc<Mount>) {
    match socket {
        Ok(socket) => socket.serve(|peer| status::answer(peer, mount.clone())).await,
        Err(_) => std::future::pending().await,
    }
}

/// Does what it is told, for ever.
async fn take_orders(control: Option<(std::io::Result<Socket>, Arc<Committer>)>) {
    match control {
        Some((Ok(socket), committer)) => {
            socket.serve(|peer| control::obey(peer, committer.clone())).await;
        }
        _ => std::future::pending().await,
    }
}

/// Says that the mount answers, and lets go of the terminal.
fn ready() -> Result<()> {
    let failed = |e: std::io::Error| CliError::new(e.kind().into(), format!("cannot detach: {e}"));
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{READY}")
        .and_then(|()| stdout.flush())
        .map_err(failed)?;
    let nowhere = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed)?;
    let errno = |e: rustix::io::Errno| failed(e.into());
    rustix::stdio::dup2_stdin(&nowhere).map_err(errno)?;
    rustix::stdio::dup2_stdout(&nowhere).map_err(errno)?;
    rustix::stdio::dup2_stderr(&nowhere).map_err(errno)?;
    // Nobody's directory is kept busy.
    std::env::set_current_dir("/").map_err(failed)?;
    // Already the leader of a group of its own, so of no session yet: being one is a bonus.
    let _ = rustix::process::setsid();
    Ok(())
}

pub(crate) fn unmount(args: &UnmountArgs) -> Result<()> {
    forebay_mount::unmount(&args.dir, false).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => {
            let dir = args.dir.to_string_lossy();
            let dir = printable(&dir);
            CliError::new(ErrorKind::NotFound, format!("nothing is mounted on {dir}"))
                .hint("`findmnt -t fuse.forebay` lists what is")
        }
        std::io::ErrorKind::ResourceBusy => CliError::local(&args.dir, "unmount", &error)
            .hint("a program has a file or its directory there; end it first"),
        _ => CliError::local(&args.dir, "unmount", &error),
    })
}

impl From<MountError> for CliError {
    fn from(error: MountError) -> Self {
        let kind = match &error {
            MountError::Device { source } | MountError::Mount { source, .. } => source.kind().into(),
            MountError::Session { .. } => ErrorKind::Internal,
        };
        let denied = kind == ErrorKind::Denied;
        let error = Self::new(kind, error.to_string());
        if denied {
            error.hint("mount as root, or on a directory of your own with fusermount3 (package fuse3); `forebay doctor` says what there is")
        } else {
            error
        }
    }
}
