//! Where the file system is seen.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::device::Device;
use crate::options::MountOptions;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Mountpoint {
    path: PathBuf,
    mounted: bool,
}

impl Mountpoint {
    /// Mounts the session of `device` on the directory `path`. Needs the right to mount.
    pub(crate) fn mount(path: &Path, device: &Device, options: &MountOptions) -> io::Result<Self> {
        let path = std::fs::canonicalize(path)?;
        if !path.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut data = format!(
            "fd={},rootmode=40000,user_id={},group_id={},max_read={}",
            device.as_fd().as_raw_fd(),
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
            MAX_READ,
        );
        if options.allow_other {
            // Who may read what is then decided by modes and owners, as everywhere.
            data.push_str(",allow_other,default_permissions");
        }
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        let cut = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let data = CString::new(data).map_err(cut)?;
        let source = CString::new(options.source.as_bytes()).map_err(cut)?;
        let target = CString::new(path.as_os_str().as_bytes()).map_err(cut)?;
        rustix::mount::mount(
            source.as_c_str(),
            target.as_c_str(),
            c"fuse.forebay",
            flags,
            data.as_c_str(),
        )?;
        Ok(Self { path, mounted: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the kernel read ahead of programs in longer requests than the 128 KiB that it offers: as root, by the mount's
    /// own setting. It is answered meanwhile by the session, which must have begun.
    pub(crate) fn read_ahead(&self, bytes: u32) -> io::Result<()> {
        let device = rustix::fs::stat(&self.path)?.st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let setting = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
        std::fs::write(setting, (bytes / 1024).to_string())
    }

    /// Takes it away from everybody; who has files open there goes on reading them.
    pub(crate) fn unmount(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.mounted) {
            rustix::mount::unmount(&self.path, UnmountFlags::DETACH)?;
        }
        Ok(())
    }

    /// Somebody else did.
    pub(crate) fn is_gone(&mut self) {
        self.mounted = false;
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            tracing::warn!(%error, path = %self.path.display(), "could not be unmounted");
        }
    }
}

/// The longest read in bytes: what the kernel asks for in one request (256 pages, `fs.fuse.max_pages_limit`).
pub(crate) const MAX_READ: u32 = 1 << 20;
