//! Things that are tried.

use std::fs::File;
use std::io::Write;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::{Finding, Status};
use crate::session::Session;

/// Largest alignment that O_DIRECT is known to ask for in practice.
const ALIGNMENT: usize = 4096;

pub(super) fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let detail = format!(
        "{} {} {}",
        text(uname.sysname()),
        text(uname.release()),
        text(uname.machine())
    );
    Finding::new("kernel", Status::Info, detail)
}

pub(super) fn fuse() -> Finding {
    let name = "FUSE";
    match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Finding::new(name, Status::Yes, "/dev/fuse can be opened"),
        Err(error) => Finding::new(name, Status::No, format!("/dev/fuse cannot be opened: {error}")),
    }
}

/// The kernel hands out backing ids only on a mounted file system, so this can only be looked up.
pub(super) fn passthrough() -> Finding {
    let name = "FUSE passthrough";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let Some(version) = version(&release) else {
        return Finding::new(
            name,
            Status::Unknown,
            format!("the kernel's release '{release}' has no number"),
        );
    };
    if version < (6, 9) {
        return Finding::new(name, Status::No, format!("needs Linux 6.9; this is {release}"));
    }
    match has_sys_admin() {
        Some(true) => Finding::new(
            name,
            Status::Yes,
            "Linux 6.9 or newer and CAP_SYS_ADMIN; proved at mount",
        ),
        Some(false) => Finding::new(
            name,
            Status::No,
            "needs CAP_SYS_ADMIN, which this process has not",
        ),
        None => Finding::new(
            name,
            Status::Unknown,
            "the capabilities of this process cannot be read",
        ),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn has_sys_admin() -> Option<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    Some(effective & (1 << CAP_SYS_ADMIN) != 0)
}

#[cfg(target_os = "linux")]
pub(super) fn io_uring() -> Finding {
    let name = "io_uring";
    match io_uring::IoUring::new(8) {
        Ok(_) => Finding::new(name, Status::Yes, "a ring was set up"),
        Err(error) => {
            let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOSYS) => "the kernel has none",
                Some(Errno::PERM | Errno::ACCESS) => {
                    "forbidden here, by a container's seccomp profile or by kernel.io_uring_disabled"
                }
                _ => "no ring could be set up",
            };
            Finding::new(name, Status::No, format!("{why} ({error})"))
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn io_uring() -> Finding {
    Finding::new("io_uring", Status::No, "only Linux has it")
}

/// Writes a block, and reads it past the page cache: here, or where temporary files go if nothing can be written here.
pub(super) fn direct_io() -> Finding {
    let name = "O_DIRECT";
    let here = std::env::current_dir().unwrap_or_default();
    let Some((place, file)) = temporary(&here).or_else(|| temporary(std::path::Path::new("/var/tmp"))) else {
        return Finding::new(
            name,
            Status::Unknown,
            "no file can be written in the current directory or /var/tmp",
        );
    };
    let place = place.to_string_lossy();
    match read_direct(file) {
        Ok(()) => Finding::new(
            name,
            Status::Yes,
            format!("a block was read past the page cache in {place}"),
        ),
        Err(error) => Finding::new(name, Status::No, format!("{error} in {place}")),
    }
}

/// A file without a name, which is gone with its descriptor.
pub(super) fn temporary(directory: &std::path::Path) -> Option<(&std::path::Path, File)> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR).ok()?;
    Some((directory, file.into()))
}

pub(super) fn read_direct(mut file: File) -> std::io::Result<()> {
    let block = [0xA5_u8; ALIGNMENT];
    file.write_all(&block)?;
    file.sync_data()?;
    // The same file opened again: what has no name cannot be opened by one, but its descriptor has a path.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let direct = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = vec![0_u8; 2 * ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let aligned = buffer
        .get_mut(start..start + ALIGNMENT)
        .ok_or(std::io::ErrorKind::OutOfMemory)?;
    let read = rustix::io::pread(&direct, &mut *aligned, 0)?;
    if read == ALIGNMENT && aligned == block {
        Ok(())
    } else {
        Err(std::io::Error::other("read other bytes than written"))
    }
}

/// What the file system of the current directory asks of O_DIRECT.
pub(super) fn direct_alignment() -> Finding {
    let name = "O_DIRECT alignment";
    let here = std::env::current_dir().unwrap_or_default();
    let unknown = |why: String| Finding::new(name, Status::Unknown, why);
    let Some((_, file)) = temporary(&here) else {
        return unknown("no file can be written in the current directory".to_owned());
    };
    match rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        Err(error) => unknown(format!("statx: {error}")),
        Ok(found) if found.stx_mask & StatxFlags::DIOALIGN.bits() == 0 => {
            unknown("the file system does not say; 4096 bytes fit nearly all".to_owned())
        }
        Ok(found) if found.stx_dio_offset_align == 0 => {
            Finding::new(name, Status::No, "the file system says that it has no O_DIRECT")
        }
        Ok(found) => {
            let (memory, offset) = (found.stx_dio_mem_align, found.stx_dio_offset_align);
            Finding::new(
                name,
                Status::Info,
                format!("memory {memory} bytes, offset and length {offset} bytes"),
            )
        }
    }
}

/// The certificates that https will trust, read as the transport does.
pub(super) fn trust_store(session: &Session) -> Finding {
    let name = "trusted certificates";
    let native = rustls_native_certs::load_native_certs();
    let more = match session.settings.source_options().transport.extra_roots {
        Some(path) => format!(", and those in {}", path.to_string_lossy()),
        None => String::new(),
    };
    match native.certs.len() {
        0 if more.is_empty() => Finding::new(
            name,
            Status::No,
            "none; install ca-certificates, or set http.ca_file",
        ),
        count => Finding::new(name, Status::Yes, format!("{count} of the system's{more}")),
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn releases_have_two_numbers() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("6.9-rc1"), Some((6, 9)));
        assert_eq!(version("unknown"), None);
    }
}
