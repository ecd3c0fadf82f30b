//! `forebay manifest`: which files there are, and under which hashes their bytes lie in a store.
//!
//! [`load`] reads manifests from wherever they are. [`tree`] finds out what lies below a directory, [`work`] puts files on
//! all cores, and [`hashing`] hashes each of them, so that what is hashed is what was there at one moment. None of that is async:
//! the threads do nothing but read and hash.

mod diff;
mod hashing;
mod load;
mod name;
mod out;
mod show;
mod snapshot;
mod tree;
mod verify;
mod work;

use crate::args::ManifestCommand;
use crate::exit::Result;
use crate::session::Session;

pub(crate) fn run(session: &Session, command: &ManifestCommand) -> Result<()> {
    match command {
        ManifestCommand::Show(args) => show::run(session, args),
        ManifestCommand::Snapshot(args) => snapshot::run(session, args),
        ManifestCommand::Diff(args) => diff::run(session, args),
        ManifestCommand::Verify(args) => verify::run(session, args),
    }
}
