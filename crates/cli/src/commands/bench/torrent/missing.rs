//! Stands for `torrent` in a build that has no rqbit.

use crate::args::BenchMountArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// `forebay bench mount --rqbit`.
pub(super) fn run(_: &Session, _: &BenchMountArgs) -> Result<()> {
    serve()
}

/// A session of rqbit.
pub(super) fn serve() -> Result<()> {
    Err(
        CliError::usage("this build of forebay has no sessions of rqbit to measure with")
            .hint("build it with `cargo build --release -p forebay-cli --features torrent`"),
    )
}
