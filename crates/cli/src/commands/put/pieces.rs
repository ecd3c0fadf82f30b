//! What is to be stored, read piece by piece on a thread of its own: a pipe may block for as long as it likes, and must
//! neither hold up the requests nor the end of the process after an interrupt.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use forebay_types::{ByteSize, ErrorKind, printable};
use tokio::sync::mpsc;

use super::SINGLE;
use crate::exit::{CliError, Result};

/// Smallest part: S3 asks for 5 MiB; at 8 MiB a part's own latency no longer shows.
const PART: u64 = ByteSize::mib(8).bytes();

/// Parts that an upload may have (S3; others allow more).
const MAX_PARTS: u64 = 10_000;

/// Parts of one size when nobody knows how many there will be; after so many the size doubles. 1,000 make 8 GiB
/// before the first doubling and 8 TiB, more than any object, before the parts run out. Equal sizes at the start, since
/// some stores (R2) want all of them equal.
const PARTS_OF_ONE_SIZE: u64 = 1_000;

/// What is to be stored, not yet read.
pub(super) enum Input {
    /// A regular file.
    File {
        path: PathBuf,
        file: File,
        meta: Box<Metadata>,
    },
    /// Standard input.
    Stdin,
}

impl Input {
    /// Opens `src`; `-` is standard input.
    pub(super) fn open(src: &str) -> Result<Self> {
        if src == "-" {
            return Ok(Self::Stdin);
        }
        let path = PathBuf::from(src);
        let failed = |error: io::Error| CliError::local(&path, "read", &error);
        // Looked at before it is opened: opening a socket fails in strange words, and a tape would rewind.
        refuse_odd(&path, &std::fs::metadata(&path).map_err(failed)?)?;
        // If it has become a FIFO since, the open must not wait for a writer.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        refuse_odd(&path, &meta)?;
        Ok(Self::File {
            path,
            file,
            meta: Box::new(meta),
        })
    }

    /// Its size, if it can be known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File { meta, .. } => Some(meta.len()),
            Self::Stdin => None,
        }
    }

    /// What it is called, as far as it is called something that can be written.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::File { path, .. } => path.file_name()?.to_str(),
            Self::Stdin => None,
        }
    }

    /// Starts to read.
    pub(super) fn pieces(self) -> Result<Pieces> {
        let size = self.size();
        let (pieces, next) = mpsc::channel(1);
        let reader = Reader { size, pieces };
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || reader.run(self))
            .map_err(|e| CliError::new(e.kind().into(), format!("cannot start a thread: {e}")))?;
        Ok(Pieces { next, size, given: 0 })
    }
}

fn refuse_odd(path: &Path, meta: &Metadata) -> Result<()> {
    let kind = meta.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let shown = path.to_string_lossy();
    let shown = printable(&shown);
    if kind.is_dir() {
        let hint = "name a file in it; `forebay put` stores one object at a time";
        return Err(CliError::usage(format!("{shown} is a directory")).hint(hint));
    }
    let what = match () {
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    let hint = "to store what it brings, write - and send it to standard input";
    Err(CliError::usage(format!("{shown} is {what}, not a regular file")).hint(hint))
}

/// What was read, in order.
pub(super) struct Pieces {
    next: mpsc::Receiver<Result<Bytes>>,
    size: Option<u64>,
    given: u64,
}

impl Pieces {
    /// The next piece, none of them empty; `None` at the end of the input.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = self.next.recv().await.transpose()?;
        self.given += u64::from(piece.is_some());
        Ok(piece)
    }

    /// How large the next piece will be, if the input is long enough.
    pub(super) fn part_size(&self) -> u64 {
        part_size(self.size, self.given)
    }
}

/// The size of the part number `number`, counted from 0.
fn part_size(size: Option<u64>, number: u64) -> u64 {
    match size {
        Some(size) if size <= SINGLE => SINGLE,
        Some(size) => size.div_ceil(MAX_PARTS).next_multiple_of(1 << 20).max(PART),
        None => PART << (number / PARTS_OF_ONE_SIZE).min(16),
    }
}

struct Reader {
    size: Option<u64>,
    pieces: mpsc::Sender<Result<Bytes>>,
}

impl Reader {
    /// Until the end of the input, its first failure, or until nobody wants more.
    fn run(&self, input: Input) {
        let outcome = match input {
            Input::Stdin => self.read(&mut io::stdin().lock(), "standard input").map(|_| ()),
            Input::File { path, mut file, meta } => {
                let shown = path.to_string_lossy();
                self.read(&mut file, &shown)
                    .and_then(|read| unchanged(&shown, &file, &meta, read))
            }
        };
        if let Err(error) = outcome {
            // Nobody waits any more: the upload failed for another reason.
            let _ = self.pieces.blocking_send(Err(error));
        }
    }

    /// Tells how many bytes there were.
    fn read(&self, input: &mut dyn Read, name: &str) -> Result<u64> {
        let mut total = 0;
        for number in 0.. {
            let size = part_size(self.size, number);
            let expected = self.size.map_or(size, |all| all.saturating_sub(total).min(size));
            let mut piece = Vec::with_capacity(usize::try_from(expected).unwrap_or(usize::MAX));
            let read = input.take(size).read_to_end(&mut piece);
            let read = read.map_err(|e| CliError::local(Path::new(name), "read", &e))? as u64;
            total += read;
            if read == 0 || self.pieces.blocking_send(Ok(piece.into())).is_err() || read < size {
                break;
            }
        }
        Ok(total)
    }
}

/// A file that was written to meanwhile would be stored as a mixture of old and new.
fn unchanged(name: &str, file: &File, before: &Metadata, read: u64) -> Result<()> {
    let after = file
        .metadata()
        .map_err(|e| CliError::local(Path::new(name), "read", &e))?;
    let times = (before.modified().ok(), after.modified().ok());
    if read == before.len() && after.len() == before.len() && times.0 == times.1 {
        return Ok(());
    }
    let message = format!(
        "{} changed while it was read; nothing was stored",
        printable(name)
    );
    Err(CliError::new(ErrorKind::Changed, message)
        .hint("run the command again when nobody writes to the file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_are_enough() {
        let tib = 1_u64 << 40;
        for size in [SINGLE + 1, 1 << 30, 100 << 30, 5 * tib] {
            let part = part_size(Some(size), 0);
            assert!(part >= PART && size.div_ceil(part) <= MAX_PARTS, "{size}");
        }
        let unknown: u64 = (0..MAX_PARTS).map(|number| part_size(None, number)).sum();
        assert!(unknown >= 5 * tib, "{unknown}");
    }

    #[test]
    fn small_files_are_one_piece() {
        assert_eq!(part_size(Some(SINGLE), 0), SINGLE);
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| {
            Input::open(path.to_str().unwrap())
                .map(drop)
                .unwrap_err()
                .to_string()
        };
        assert!(text(dir.path()).contains("is a directory"));
        assert!(text(Path::new("/dev/zero")).contains("a device"));
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(text(&socket).contains("a socket"));
    }
}
