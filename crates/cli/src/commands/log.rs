//! `forebay log`: topics in a bucket.
//!
//! [`open`] makes a log of the settings; a command each does its work with it. What `produce` reads comes from a thread of
//! its own ([`produce::input`]), what `consume` prints goes to one ([`consume::out`]): a pipe may block for as long as it likes.

mod compact;
mod consume;
mod create;
mod groups;
mod offsets;
pub(crate) mod open;
mod produce;
mod record;
mod recover;
mod table;
mod topics;

pub(crate) use consume::StartAt;
pub(crate) use offsets::NewOffset;

use crate::args::LogCommand;
use crate::exit::Result;
use crate::session::Session;

pub(crate) fn run(session: &Session, command: &LogCommand) -> Result<()> {
    match command {
        LogCommand::Create(args) => create::run(session, args),
        LogCommand::Topics(args) => topics::run(session, args),
        LogCommand::Produce(args) => produce::run(session, args),
        LogCommand::Consume(args) => consume::run(session, args),
        LogCommand::Groups => groups::run(session),
        LogCommand::Offsets(args) => offsets::run(session, args),
        LogCommand::Recover(args) => recover::run(session, args),
        LogCommand::Compact => compact::run(session),
    }
}
