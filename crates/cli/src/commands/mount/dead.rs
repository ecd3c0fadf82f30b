//! What a killed process of ours leaves behind: a mount that answers nothing any more.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use forebay_types::printable;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::mounted;

/// A process that lives answers from memory. One that is stopped is not waited for: it is not gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// A mount of ours whose process is gone.
#[derive(Debug)]
struct Dead {
    dir: PathBuf,
    /// This mount itself: meanwhile another may be on `dir`.
    root: OwnedFd,
}

/// Detaches all dead mounts of ours that lie one above the other on `dir`, and says so.
pub(super) fn detach_all(dir: &Path) -> io::Result<()> {
    let mut any = false;
    while detach(dir)? {
        any = true;
    }
    if any {
        let dir = dir.to_string_lossy();
        tracing::warn!(
            "the process that served {} is gone; its mount is detached",
            printable(&dir)
        );
    }
    Ok(())
}

/// Detaches the topmost mount on `dir` if it is a dead one of ours; whether it was. Nothing else is touched.
fn detach(dir: &Path) -> io::Result<bool> {
    match Dead::find(dir) {
        Some(dead) => dead.detach().map(|()| true),
        None => Ok(false),
    }
}

impl Dead {
    /// `None` also if `dir` cannot be looked at: whoever uses it says why.
    fn find(dir: &Path) -> Option<Self> {
        let place = mounted::find(dir).ok().filter(|place| place.is_ours)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(&place.dir, flags, Mode::empty()).ok()?;
        is_dead(&root).then_some(Self { dir: place.dir, root })
    }

    fn detach(&self) -> io::Result<()> {
        // By descriptor: of two processes that find the same one dead, the second must not take away what the first has
        // mounted since.
        let root = format!("/proc/self/fd/{}", self.root.as_raw_fd());
        match rustix::mount::unmount(root, UnmountFlags::DETACH) {
            // Somebody else has detached it.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            // Without the right to, there is the helper, which takes names only.
            Err(Errno::PERM) => forebay_mount::unmount(&self.dir, true),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether nobody serves the mount any more. Attributes may still be remembered by the kernel; these figures never are.
fn is_dead(root: &OwnedFd) -> bool {
    let (said, answer) = mpsc::channel();
    let Ok(root) = root.try_clone() else {
        return false;
    };
    let ask = move || {
        let outcome = rustix::fs::fstatfs(&root);
        drop(root);
        // Nobody may be waiting any more.
        let _ = said.send(outcome.err());
    };
    let asks = std::thread::Builder::new().name("statfs".into()).spawn(ask);
    asks.is_ok() && answer.recv_timeout(PATIENCE) == Ok(Some(Errno::NOTCONN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    use rustix::mount::{MountFlags, mount, unmount};

    /// Mounts a file system of this type whose process is gone from the beginning.
    fn mount_dead(dir: &Path, kind: &str) {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let data = CString::new(data).unwrap();
        mount("test", dir, kind, MountFlags::RDONLY, data.as_c_str()).unwrap();
    }

    #[test]
    fn what_was_mounted_after_it_was_found_dead_stays() {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("not run: this process may not mount");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let detached = || unmount(dir.path(), UnmountFlags::DETACH);
        mount_dead(dir.path(), "fuse.forebay");
        let (first, second) = (Dead::find(dir.path()).unwrap(), Dead::find(dir.path()).unwrap());
        first.detach().unwrap();
        detached().unwrap_err();
        mount_dead(dir.path(), "fuse.forebay");
        second.detach().unwrap();
        assert!(Dead::find(dir.path()).is_some());
        detached().unwrap();
        mount_dead(dir.path(), "fuse.another");
        assert!(Dead::find(dir.path()).is_none());
        detached().unwrap();
        assert!(!detach(dir.path()).unwrap());
    }
}
