//! What the kernel is told of an error: one row for each kind, no «otherwise».

use forebay_reader::ReadError;
use forebay_types::ErrorKind;
use forebay_vfs::VfsError;
use forebay_vfs::merged::MergedError;
use rustix::io::Errno;

/// For an operation on names and attributes, or for one on bytes: they are the same.
pub(crate) fn of_kind(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound => Errno::NOENT,
        ErrorKind::Denied => Errno::ACCESS,
        ErrorKind::Invalid => Errno::INVAL,
        // The kernel looks the name up again and repeats the open once; a file that is open stays what it was.
        ErrorKind::Changed => Errno::STALE,
        ErrorKind::Corrupt | ErrorKind::LocalIo | ErrorKind::Internal | ErrorKind::Unavailable => Errno::IO,
        ErrorKind::TimedOut => Errno::TIMEDOUT,
        ErrorKind::NoSpace => Errno::NOSPC,
        ErrorKind::Unsupported => Errno::OPNOTSUPP,
        ErrorKind::Conflict => Errno::EXIST,
        ErrorKind::Cancelled => Errno::INTR,
    }
}

/// Of a name or a node.
pub(crate) fn of_name(error: &VfsError) -> Errno {
    match error {
        VfsError::NotFound { .. } => Errno::NOENT,
        VfsError::NotADirectory { .. } => Errno::NOTDIR,
        VfsError::NotAFile { .. } => Errno::ISDIR,
        VfsError::NotALink { .. } => Errno::INVAL,
        VfsError::Stale { .. } => Errno::STALE,
        // No file can have it, so there is none.
        VfsError::BadName { .. } => Errno::NOENT,
        VfsError::Source { .. } => of_kind(error.kind()),
    }
}

/// Of bytes. A file that was there when it was opened and is gone has changed.
pub(crate) fn of_read(error: &ReadError) -> Errno {
    match error.kind() {
        ErrorKind::NotFound => Errno::STALE,
        kind => of_kind(kind),
    }
}

/// Of a tree with changes on top.
pub(crate) fn of_merged(error: &MergedError) -> Errno {
    match error {
        MergedError::Lower(error) => of_name(error),
        MergedError::Upper(error) => error.errno(),
        MergedError::Read(error) => of_read(error),
        MergedError::NotFound { .. } => Errno::NOENT,
        MergedError::NoAttribute { .. } => Errno::NODATA,
        MergedError::Stale { .. } | MergedError::Short { .. } => Errno::STALE,
        MergedError::Busy { .. } => Errno::BUSY,
        MergedError::Version { .. } | MergedError::Task(_) => Errno::IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_mean_what_programs_expect() {
        for (kind, errno) in [
            (ErrorKind::NotFound, Errno::NOENT),
            (ErrorKind::Denied, Errno::ACCESS),
            (ErrorKind::Changed, Errno::STALE),
            (ErrorKind::Corrupt, Errno::IO),
            (ErrorKind::TimedOut, Errno::TIMEDOUT),
            (ErrorKind::Cancelled, Errno::INTR),
        ] {
            assert_eq!(of_kind(kind), errno);
        }
    }
}
