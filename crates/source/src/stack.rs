//! The wrappers around every store, in their order, with the reason for it.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetResult, GetResultPayload, ObjectStore, Result};

use crate::limit::{ConnectionBudget, Limit};
use crate::meter::{Meter, Metered};
use crate::verify::Verify;

/// Wraps a bare store:
///
/// ```text
/// caller ─► Limit ─► Metered ─► Verify ─► store
/// ```
///
/// - [`Verify`] is innermost: no other code sees bytes that are not what they claim to be.
/// - [`Metered`] above it counts what was really asked, answered well or badly.
/// - [`Limit`] is outermost: waiting for a free connection is nobody's latency and nobody's count.
///
/// There is no retry wrapper: reads are resumed by the range engine where they broke, all else is repeated below, in
/// the transport, which sees the statuses.
pub fn wrap(
    store: Arc<dyn ObjectStore>,
    meter: Arc<Meter>,
    budget: ConnectionBudget,
) -> Arc<dyn ObjectStore> {
    let verified = Arc::new(Verify::new(store));
    let metered = Arc::new(Metered::new(verified, meter));
    Arc::new(Limit::new(metered, budget))
}

/// `result` with another stream of bytes, made from its own.
pub(crate) fn map_stream(
    mut result: GetResult,
    map: impl FnOnce(BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>>,
) -> GetResult {
    let nothing = GetResultPayload::Stream(futures::stream::empty().boxed());
    let payload = std::mem::replace(&mut result.payload, nothing);
    // Through a whole GetResult, because a payload may be a file as well, if another crate switches that on.
    let whole = GetResult {
        payload,
        meta: result.meta.clone(),
        range: result.range.clone(),
        attributes: Default::default(),
        extensions: Default::default(),
    };
    result.payload = GetResultPayload::Stream(map(whole.into_stream()));
    result
}
