//! What can go wrong: when an overlay is opened, and when it is used.

use std::io;
use std::path::PathBuf;

use forebay_types::ErrorKind;
use rustix::io::Errno;

use crate::names::BadName;
use crate::overlay::attrs::NodeId;

/// Why an overlay directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The directory or a file in it could not be used.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory belongs to somebody else.
    #[error(
        "the overlay directory {} belongs to user {owner}, not to user {user} who runs this; name a directory of your own",
        dir.display()
    )]
    NotOwner {
        /// Which directory.
        dir: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others may write to the directory.
    #[error(
        "other users may write to the overlay directory {} (mode {mode:04o}), so what lies in it cannot be trusted; \
         look at what is in it, then take their permission away (chmod go-w), or name another",
        dir.display()
    )]
    OpenToOthers {
        /// Which directory.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link, or no directory at all.
    #[error("{} is not a directory (a symbolic link is not followed here); name the directory itself", dir.display())]
    NotADirectory {
        /// Which.
        dir: PathBuf,
    },
    /// The directory holds something else.
    #[error(
        "{} is no overlay directory: it has no file 'format', but it holds '{found}'; name an empty or a new directory",
        dir.display()
    )]
    NotAnOverlay {
        /// Which directory.
        dir: PathBuf,
        /// The first thing found in it.
        found: String,
    },
    /// The directory was made by a version that writes another format.
    #[error(
        "the overlay directory {} has the format '{found}', this program knows '{expected}'; \
         use the program that made it, or name another directory",
        dir.display()
    )]
    Format {
        /// Which directory.
        dir: PathBuf,
        /// What its file says.
        found: String,
        /// What this program writes.
        expected: &'static str,
    },
    /// The changes in it were made to something else.
    #[error(
        "the changes in {} were made on top of '{found}', not of '{wanted}'; mount that again, or name another directory",
        dir.display()
    )]
    OtherBase {
        /// Which directory.
        dir: PathBuf,
        /// What it lies on.
        found: String,
        /// What it should lie on.
        wanted: String,
    },
    /// Somebody else has it open.
    #[error("the overlay directory {} is in use{}; end that first", dir.display(), by(*holder))]
    Busy {
        /// Which directory.
        dir: PathBuf,
        /// The process that has it, if it told.
        holder: Option<u32>,
    },
    /// A record in the middle of the journal is damaged.
    #[error(
        "{} is damaged at byte {at}, and records follow from byte {behind} on: copy the whole overlay directory away; \
         then either restore the file, or cut it to {at} bytes, which gives up the changes from there on",
        path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where the bad record begins.
        at: u64,
        /// Where the next good one begins.
        behind: u64,
    },
    /// The journal is whole, but says what cannot be.
    #[error(
        "{} has a record at byte {at} that makes no sense ({why}): it was written by a faulty program; copy the whole \
         overlay directory away and report it; cut to {at} bytes it can be opened without the changes from there on",
        path.display()
    )]
    Nonsense {
        /// The journal.
        path: PathBuf,
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The content of a file is gone or damaged.
    #[error(
        "the content of the changed file '/{file}' is lost: {} {why}; restore that, or name another directory",
        path.display()
    )]
    Lost {
        /// Its path in the tree.
        file: Box<str>,
        /// Where its content should be.
        path: PathBuf,
        /// What is wrong there.
        why: &'static str,
    },
}

fn by(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

impl OverlayError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => source.kind().into(),
            Self::NotOwner { .. } | Self::OpenToOthers { .. } => ErrorKind::Denied,
            Self::NotADirectory { .. }
            | Self::NotAnOverlay { .. }
            | Self::Format { .. }
            | Self::OtherBase { .. } => ErrorKind::Invalid,
            Self::Busy { .. } => ErrorKind::Conflict,
            Self::Damaged { .. } | Self::Nonsense { .. } | Self::Lost { .. } => ErrorKind::Corrupt,
        }
    }
}

/// Why a change or a question was refused. Names are safe to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpperError {
    /// There is no such name above.
    #[error("'{name}' does not exist")]
    NoEntry {
        /// Which.
        name: Box<str>,
    },
    /// The name is taken.
    #[error("'{name}' exists already")]
    Exists {
        /// Which.
        name: Box<str>,
    },
    /// A directory is needed.
    #[error("'{name}' is not a directory")]
    NotADir {
        /// Which.
        name: Box<str>,
    },
    /// A directory is in the way.
    #[error("'{name}' is a directory")]
    IsADir {
        /// Which.
        name: Box<str>,
    },
    /// The directory has names.
    #[error("the directory '{name}' is not empty")]
    NotEmpty {
        /// Which.
        name: Box<str>,
    },
    /// A directory would come to lie in itself.
    #[error("the directory '{name}' cannot be moved into itself")]
    IntoItself {
        /// Which.
        name: Box<str>,
    },
    /// The file has as many names as it can have.
    #[error("'{name}' would be the {}th name of its file", crate::overlay::state::MAX_LINKS + 1)]
    TooManyLinks {
        /// Which.
        name: Box<str>,
    },
    /// No file can have this name.
    #[error("'{name}' cannot be the name of a file: {why}")]
    BadName {
        /// The name, or the start of it.
        name: Box<str>,
        /// What is wrong with it.
        why: BadName,
    },
    /// The node is gone.
    #[error("{id} was removed")]
    Stale {
        /// Which.
        id: NodeId,
    },
    /// What the node is does not allow it.
    #[error("{id}: {what}")]
    NotPermitted {
        /// Which.
        id: NodeId,
        /// What is not allowed.
        what: &'static str,
    },
    /// The node is not what is needed.
    #[error("{id}: {what}")]
    Invalid {
        /// Which.
        id: NodeId,
        /// What is wrong.
        what: &'static str,
    },
    /// There is no such extended attribute.
    #[error("{id} has no attribute '{name}'")]
    NoAttribute {
        /// Of which node.
        id: NodeId,
        /// Which.
        name: Box<str>,
    },
    /// An extended attribute with this name is there.
    #[error("{id} has an attribute '{name}' already")]
    AttributeExists {
        /// Of which node.
        id: NodeId,
        /// Which.
        name: Box<str>,
    },
    /// Extended attributes of this kind are not kept.
    #[error("attributes like '{name}' are not kept, those that begin with 'user.' are")]
    Unsupported {
        /// Which.
        name: Box<str>,
    },
    /// More than is kept.
    #[error("{what} is more than {max} bytes long")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it may be.
        max: usize,
    },
    /// The local disk failed, or is full.
    #[error("cannot {what} of {id}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which node.
        id: NodeId,
        /// What the system said.
        source: Errno,
    },
    /// The journal could not be set right after a failed write: nothing more is changed before the next start.
    #[error("the overlay's journal could not be written and not be restored; mount again")]
    Broken,
}

impl UpperError {
    /// What a system call answers.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoEntry { .. } => Errno::NOENT,
            Self::Exists { .. } | Self::AttributeExists { .. } => Errno::EXIST,
            Self::NotADir { .. } => Errno::NOTDIR,
            Self::IsADir { .. } => Errno::ISDIR,
            Self::NotEmpty { .. } => Errno::NOTEMPTY,
            Self::IntoItself { .. } | Self::Invalid { .. } => Errno::INVAL,
            Self::TooManyLinks { .. } => Errno::MLINK,
            Self::BadName { why, .. } => match why {
                BadName::TooLong => Errno::NAMETOOLONG,
                BadName::Empty => Errno::NOENT,
                BadName::Dots | BadName::Separator => Errno::INVAL,
            },
            Self::Stale { .. } => Errno::STALE,
            Self::NotPermitted { .. } => Errno::PERM,
            Self::NoAttribute { .. } => Errno::NODATA,
            Self::Unsupported { .. } => Errno::OPNOTSUPP,
            Self::TooLong { .. } => Errno::TOOBIG,
            Self::Io { source, .. } => *source,
            Self::Broken => Errno::IO,
        }
    }

    /// For `map_err` on a system call.
    pub(crate) fn io(what: &'static str, id: NodeId) -> impl Fn(Errno) -> Self {
        move |source| Self::Io { what, id, source }
    }
}
