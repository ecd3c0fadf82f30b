//! The wrappers around every store, in their order, with the reason for it.

use std::sync::Arc;

use object_store::ObjectStore;

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
