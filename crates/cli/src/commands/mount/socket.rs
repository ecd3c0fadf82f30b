//! Where a mount can be spoken to: sockets that its owner alone can reach, one for each [`Purpose`].
//!
//! The directory is the first of [`places`] that can be used; the name follows from the mount point and the purpose
//! ([`name`]).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::mounted;
use crate::env::Env;

/// Peers that are answered at a time; others wait in the kernel's queue.
const PEERS: usize = 8;

/// How long a mount may take to answer: one whose seats are all taken, by peers that do not read, in time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Out of descriptors, say: time for some to be closed.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest answer that is read: a thousand files with names of 4 KiB, escaped, and room.
const MAX_ANSWER: u64 = 32 << 20;

const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o600);

/// Directories for sockets, the best first: that of the session, the one beside the cache, and root's, who at boot has
/// neither. Where a mount was started with another environment it is still found in one of them.
pub(super) fn places(env: &Env) -> Vec<PathBuf> {
    // The specification wants it to be the user's own; under sudo it is another one's.
    let is_ours =
        |dir: &&PathBuf| fs::stat(dir.as_path()).is_ok_and(|stat| stat.st_uid == geteuid().as_raw());
    let session = env.runtime_dir.as_ref().filter(is_ours);
    let session = session.map(|dir| dir.join("forebay"));
    let beside = env.cache_home.as_ref().map(|home| home.join("forebay-run"));
    let system = geteuid().is_root().then(|| PathBuf::from("/run/forebay"));
    [session, beside, system].into_iter().flatten().collect()
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Who connects gets one JSON object on one line, what the mount does, and the end of it.
    Status,
    /// Who connects says what is to be done: see [`super::control`].
    Control,
}

/// What the socket of the mount on `dir` is called: paths are longer than the 108 bytes that an address has.
fn name(dir: &Path, purpose: Purpose) -> String {
    let hash = twox_hash::XxHash3_128::oneshot(mounted::bytes(dir));
    match purpose {
        Purpose::Status => format!("{hash:032x}.sock"),
        Purpose::Control => format!("{hash:032x}.control.sock"),
    }
}

/// A directory of ours, open: nothing that is put in its place later leads elsewhere.
#[derive(Debug)]
struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens it if it can be trusted.
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let refused = |why: String| {
            let path = forebay_types::printable(&path.to_string_lossy()).into_owned();
            io::Error::new(io::ErrorKind::PermissionDenied, format!("{path} {why}"))
        };
        let fd = fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => {
                refused("is not a directory, or a symbolic link to one".to_owned())
            }
            errno => errno.into(),
        })?;
        let stat = fs::fstat(&fd)?;
        let user = geteuid().as_raw();
        if stat.st_uid != user {
            return Err(refused(format!("belongs to user {}, not to {user}", stat.st_uid)));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(refused(format!(
                "can be written to by others (mode {:o})",
                stat.st_mode & 0o7777
            )));
        }
        let path = path.to_owned();
        Ok(Self { fd, path })
    }

    /// Opens it for a socket of ours, made if need be; from now on others cannot enter it.
    fn make(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match fs::mkdir(path, DIR_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let dir = Self::open(path)?;
        fs::fchmod(&dir.fd, DIR_MODE)?;
        Ok(dir)
    }

    /// The address of a name in it, however long its own path is.
    fn address(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()).into()
    }
}

/// A socket that is listened on; removed when dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    dir: Dir,
    name: String,
    /// Of the file: a later mount on the same directory puts its own in its place.
    inode: u64,
}

impl Socket {
    /// The socket of the mount on `dir`, in the first place that can be used. One that a killed process left is replaced.
    ///
    /// # Errors
    /// Why the last place cannot be used.
    pub(super) fn listen(places: &[PathBuf], dir: &Path, purpose: Purpose) -> io::Result<Self> {
        let mut failed = io::Error::new(
            io::ErrorKind::NotFound,
            "neither XDG_RUNTIME_DIR nor XDG_CACHE_HOME nor HOME names a place for it",
        );
        for place in places {
            match Dir::make(place).and_then(|place| Self::listen_in(place, dir, purpose)) {
                Ok(socket) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn listen_in(dir: Dir, mountpoint: &Path, purpose: Purpose) -> io::Result<Self> {
        let name = name(mountpoint, purpose);
        // Under its name it is complete: whoever finds it is answered.
        let before = format!(".{name}.{}", std::process::id());
        match fs::unlinkat(&dir.fd, &before, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let listener = UnixListener::bind(dir.address(&before))?;
        fs::chmodat(&dir.fd, &before, SOCKET_MODE, AtFlags::empty())?;
        let inode = fs::statat(&dir.fd, &before, AtFlags::SYMLINK_NOFOLLOW)?.st_ino;
        fs::renameat(&dir.fd, &before, &dir.fd, &name)?;
        tracing::info!(socket = %dir.path.join(&name).display(), ?purpose, "listening");
        Ok(Self {
            listener,
            dir,
            name,
            inode,
        })
    }

    /// Has `answer` speak to whoever connects and may, for ever. A peer that is slow costs itself a seat, and the mount
    /// nothing.
    pub(super) async fn serve<F>(self, answer: impl Fn(UnixStream) -> F)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let seats = Arc::new(Semaphore::new(PEERS));
        while let Ok(seat) = seats.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((peer, _)) => {
                    let answered = match check(&peer) {
                        Ok(()) => answer(peer),
                        Err(error) => {
                            tracing::debug!(%error, "a peer is not spoken to");
                            continue;
                        }
                    };
                    tokio::spawn(async move {
                        if let Err(error) = answered.await {
                            tracing::debug!(%error, "a peer went without its answer");
                        }
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "no peer can be let in");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = fs::statat(&self.dir.fd, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| stat.st_ino == self.inode) {
            let _ = fs::unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        }
    }
}

/// The other end has to be of this user, or root.
fn check(peer: &UnixStream) -> io::Result<()> {
    match peer.peer_cred()?.uid() {
        uid if uid == 0 || uid == geteuid().as_raw() => Ok(()),
        uid => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("the other end is of user {uid}"),
        )),
    }
}

/// What the mount on `dir` says of itself: one line.
///
/// # Errors
/// Why it cannot be asked in any of the places where it could be.
pub(super) async fn ask(places: &[PathBuf], dir: &Path) -> io::Result<String> {
    first(places, async |place| {
        let peer = connect_in(place, dir, Purpose::Status).await?;
        let mut line = String::new();
        peer.take(MAX_ANSWER).read_to_string(&mut line).await?;
        match line.ends_with('\n') {
            true => Ok(line),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    })
    .await
}

/// A line to the mount on `dir`.
///
/// # Errors
/// As [`ask`].
pub(super) async fn connect(places: &[PathBuf], dir: &Path, purpose: Purpose) -> io::Result<UnixStream> {
    first(places, async |place| connect_in(place, dir, purpose).await).await
}

async fn connect_in(place: &Path, dir: &Path, purpose: Purpose) -> io::Result<UnixStream> {
    let place = Dir::open(place)?;
    let peer = UnixStream::connect(place.address(&name(dir, purpose))).await?;
    check(&peer)?;
    Ok(peer)
}

/// What comes in the first place where it does.
async fn first<T>(places: &[PathBuf], mut attempt: impl AsyncFnMut(&Path) -> io::Result<T>) -> io::Result<T> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for place in places {
        let asked = attempt(place);
        let asked = tokio::time::timeout(ANSWER_WITHIN, asked).await;
        match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(answer) => return Ok(answer),
            // That a place is not there says less than what another one answered.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests;
