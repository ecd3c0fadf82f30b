//! Where the file system is seen.

mod helper;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::device::Device;
use crate::options::MountOptions;
use crate::session::Access;

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Mountpoint {
    path: PathBuf,
    mounted: bool,
}

/// Why there is no mount.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The device of FUSE cannot be opened.
    Device(io::Error),
    /// The directory cannot be mounted on.
    Directory(io::Error),
}

impl Mountpoint {
    /// Mounts a new session on the directory `path`: by itself if this process may, else with the system's help.
    pub(crate) fn mount(
        path: &Path,
        options: &MountOptions,
        access: Access,
    ) -> Result<(Device, Self), Refused> {
        let path = std::fs::canonicalize(path).map_err(Refused::Directory)?;
        if !path.is_dir() {
            return Err(Refused::Directory(io::ErrorKind::NotADirectory.into()));
        }
        let device = match Self::by_itself(&path, options, access) {
            Err(Refused::Device(error) | Refused::Directory(error))
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Device::from(helper::mount(&path, options, access).map_err(Refused::Directory)?)
            }
            outcome => outcome?,
        };
        Ok((device, Self { path, mounted: true }))
    }

    fn by_itself(path: &Path, options: &MountOptions, access: Access) -> Result<Device, Refused> {
        let device = Device::open().map_err(Refused::Device)?;
        Self::attach(path, &device, options, access).map_err(Refused::Directory)?;
        Ok(device)
    }

    /// Mounts the session of `device`. Needs the right to mount.
    fn attach(path: &Path, device: &Device, options: &MountOptions, access: Access) -> io::Result<()> {
        let mut data = format!(
            "fd={},rootmode=40000,user_id={},group_id={},max_read={}",
            device.as_fd().as_raw_fd(),
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
            MAX_READ,
        );
        data.push_str(who(options, access));
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
        flags.set(MountFlags::RDONLY, access == Access::ReadOnly);
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
        Ok(())
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
            unmount(&self.path, true)?;
        }
        Ok(())
    }

    /// Somebody else did.
    pub(crate) fn is_gone(&mut self) {
        self.mounted = false;
    }
}

/// Takes away what is mounted on `path`. `lazily`: from everybody at once, and who has files open there goes on reading
/// them; else only if nobody uses it.
///
/// # Errors
/// What the system says: EINVAL if nothing is mounted there, EBUSY if it is in use.
pub fn unmount(path: &Path, lazily: bool) -> io::Result<()> {
    let flags = if lazily {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    match rustix::mount::unmount(path, flags) {
        Ok(()) => Ok(()),
        // Whoever has not got the right was helped to mount, too.
        Err(Errno::PERM) => helper::unmount(path, lazily),
        Err(errno) => Err(errno.into()),
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            tracing::warn!(%error, path = %self.path.display(), "could not be unmounted");
        }
    }
}

/// Words of the list of options that say who may do what: modes and owners, as everywhere, where there is more than one
/// program's user to it, or more than reading.
fn who(options: &MountOptions, access: Access) -> &'static str {
    match (options.allow_other, access) {
        (true, _) => ",allow_other,default_permissions",
        (false, Access::Writable) => ",default_permissions",
        (false, Access::ReadOnly) => "",
    }
}

/// The longest read in bytes: what the kernel asks for in one request (256 pages, `fs.fuse.max_pages_limit`).
pub(crate) const MAX_READ: u32 = 1 << 20;
