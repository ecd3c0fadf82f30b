//! All objects below a prefix, for commands that take each of them.

use forebay_source::{Location, Scheme, Source};
use forebay_types::ErrorKind;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use crate::exit::{CliError, Result};
use crate::session::Session;

/// Objects under way at a time, for each request that may be in flight: a little more, so that the next object's
/// request is ready when a connection is.
const OBJECTS_PER_CONNECTION: f64 = 1.25;

/// How many of the objects are worked on at a time. A torrent client has few places for streams: who waits for one only
/// comes closer to its deadline.
pub(crate) fn at_a_time(session: &Session, scheme: Scheme) -> usize {
    if scheme == Scheme::Rqbit {
        return session.settings.rqbit.max_streams;
    }
    (session.settings.range.max_connections as f64 * OBJECTS_PER_CONNECTION).ceil() as usize
}

/// The objects below what the URL names; an error if there is none.
pub(crate) async fn listing(
    location: &Location,
    source: &Source,
) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
    let shown = location.to_string();
    let listing = source.store.list(Some(&source.path));
    let mut listing = listing.map_err(move |e| CliError::store(&shown, &e));
    match listing.next().await {
        None => Err(CliError::new(
            ErrorKind::NotFound,
            format!("{location}: nothing of that name or below it"),
        )),
        Some(Err(error)) => Err(error),
        Some(Ok(first)) => Ok(futures::stream::iter([Ok(first)]).chain(listing).boxed()),
    }
}
