//! `forebay cat`: bytes to standard output, in order.

use std::fs::File;
use std::io::Write;

use forebay_range::Target;
use forebay_types::RangeSpec;
use futures::StreamExt;

use crate::args::CatArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

pub(crate) fn run(session: &Session, args: &CatArgs) -> Result<()> {
    session.block_on_uncaught(async {
        let (location, source) = session.open(&args.url)?;
        let target = session.target(&location, &source);
        to_stdout(session, target, args.range.unwrap_or(RangeSpec::From(0)))
            .await
            .map(|_| ())
    })
}

/// Streams a range to standard output; tells how many bytes it had. To be awaited on the main thread: a pipe blocks
/// for as long as its reader likes, and the main thread is none of the runtime's, so reads go on meanwhile, as far as
/// their memory budget lets them.
pub(crate) async fn to_stdout(session: &Session, target: Target, range: RangeSpec) -> Result<u64> {
    let mut stream = session
        .door(target.cached)
        .open(target, range)
        .await?
        .into_stream();
    // Not std's handle: its line buffer would cut the large chunks into pieces of 1 KiB.
    let mut out =
        File::from(rustix::io::dup(rustix::stdio::stdout()).map_err(|e| CliError::stdout(&e.into()))?);
    let mut written = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        out.write_all(&chunk).map_err(|e| CliError::stdout(&e))?;
        written += chunk.len() as u64;
    }
    let stats = session.engine.stats();
    tracing::info!(
        bytes = written,
        fetched = stats.bytes_fetched,
        requests = stats.requests,
        "read"
    );
    Ok(written)
}
