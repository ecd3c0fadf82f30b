//! How `direct://` reads here: by which engine, and what the file systems ask of it.

use std::fs::File;
use std::io;
use std::path::Path;

use forebay_disk::{Disk, DiskOptions, EngineChoice, EngineKind, Wanted};
use forebay_types::ByteRange;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::{Finding, Status};
use crate::exit::CliError;
use crate::session::Session;

/// Bytes that are written and read back: a multiple of what any file system asks for.
const BLOCK: usize = 4096;

/// What direct reads would be done with.
pub(super) struct Reader<'a> {
    session: &'a Session,
    options: DiskOptions,
    disk: io::Result<Disk>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        let options = session.settings.direct.disk();
        Self {
            session,
            options,
            disk: Disk::new(options, None),
        }
    }

    /// Which engine the settings come to.
    pub(super) fn engine(&self) -> Finding {
        let name = "direct reads";
        let disk = match &self.disk {
            Ok(disk) => disk,
            Err(error) => {
                let detail = format!("direct.engine is {}: {error}", self.options.engine);
                return Finding::new(name, Status::No, detail);
            }
        };
        if !self.session.settings.direct().direct_io {
            return Finding::new(name, Status::No, "direct.direct_io is false");
        }
        let detail = match (disk.engine(), disk.why_not_rings()) {
            (EngineKind::IoUring, _) => "by io_uring".to_owned(),
            (EngineKind::Pread, Some(why)) => {
                format!("by {} threads in pread; no io_uring: {why}", self.options.threads)
            }
            (EngineKind::Pread, None) => {
                format!(
                    "by {} threads in pread, as direct.engine says",
                    self.options.threads
                )
            }
        };
        Finding::new(name, Status::Yes, detail)
    }

    /// Writes a block to a file without a name in `place` and reads it with the engine; `otherwise` is what happens if
    /// that cannot be done past the page cache. `None` if nothing can be written there.
    pub(super) fn read(&self, name: &'static str, place: &Path, otherwise: &str) -> Option<Finding> {
        let file = temporary(place)?;
        let place = place.to_string_lossy();
        let disk = match &self.disk {
            Ok(disk) => disk.clone(),
            Err(error) => return Some(Finding::new(name, Status::Unknown, error.to_string())),
        };
        let config = self.session.settings.direct();
        let wanted = Wanted {
            direct: true,
            alignment: config.alignment,
            min_io_size: config.min_io_size,
        };
        let read = self.session.block_on(async move {
            let failed = |e: io::Error| CliError::new(e.kind().into(), e.to_string());
            read_back(&disk, file, wanted).await.map_err(failed)
        });
        Some(match read {
            Ok(Some(unit)) => {
                let detail =
                    format!("a block was read past the page cache in {place}, in units of {unit} bytes");
                Finding::new(name, Status::Yes, detail)
            }
            Ok(None) => {
                let detail = format!("the file system of {place} refuses it; {otherwise}");
                Finding::new(name, Status::No, detail)
            }
            Err(error) => {
                let detail = format!("{} in {place}; {otherwise}", error.message());
                Finding::new(name, Status::No, detail)
            }
        })
    }
}

/// A file without a name, which is gone with its descriptor.
fn temporary(directory: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR).ok()?;
    Some(file.into())
}

/// In which units a block was read; `None` if that was not past the page cache.
async fn read_back(disk: &Disk, mut file: File, wanted: Wanted) -> io::Result<Option<u64>> {
    let block = [0xA5_u8; BLOCK];
    io::Write::write_all(&mut file, &block)?;
    file.sync_data()?;
    // The same file opened again: what has no name cannot be opened by one, but its descriptor has a path.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let direct = match rustix::fs::open(&path, flags | OFlags::DIRECT, Mode::empty()) {
        Err(Errno::INVAL) => return Ok(None),
        other => other?,
    };
    let direct = disk.open(direct.into(), wanted)?;
    let read = direct.read(ByteRange::new(0, BLOCK as u64)).await?;
    if read != block[..] {
        return Err(io::Error::other("other bytes were read than written"));
    }
    Ok(direct.is_direct().then_some(direct.geometry().unit))
}

/// What the kernel says that the file system of `place` asks of direct reads and writes.
pub(super) fn alignment(name: &'static str, place: &Path) -> Finding {
    let unknown = |why: String| Finding::new(name, Status::Unknown, why);
    let shown = place.to_string_lossy();
    let Some(file) = temporary(place) else {
        return unknown(format!("no file can be written in {shown}"));
    };
    match rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        Err(error) => unknown(format!("statx: {error}")),
        Ok(found) if found.stx_mask & StatxFlags::DIOALIGN.bits() == 0 => unknown(format!(
            "the file system of {shown} does not say; 4096 bytes fit nearly all"
        )),
        Ok(found) if found.stx_dio_offset_align == 0 => {
            let detail = format!("the file system of {shown} says that it has no O_DIRECT");
            Finding::new(name, Status::No, detail)
        }
        Ok(found) => {
            let (memory, offset) = (found.stx_dio_mem_align, found.stx_dio_offset_align);
            let detail = format!("memory {memory} bytes, offset and length {offset} bytes in {shown}");
            Finding::new(name, Status::Info, detail)
        }
    }
}

/// Whether the kernel lets us have its rings.
pub(super) fn io_uring() -> Finding {
    let name = "io_uring";
    let options = DiskOptions {
        engine: EngineChoice::IoUring,
        ..DiskOptions::default()
    };
    match Disk::new(options, None) {
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
