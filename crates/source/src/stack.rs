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

/// Wraps a bare store of this machine: counted, nothing else. It has no connections to be sparing of, and checks itself
/// what [`Verify`] would (place and length of each piece, and that the file is still the same), at a fraction of the
/// cost: of the CPU time that a direct read of 4 KiB takes outside of the kernel, the other two wrappers were a quarter.
pub fn wrap_local(store: Arc<dyn ObjectStore>, meter: Arc<Meter>) -> Arc<dyn ObjectStore> {
    Arc::new(Metered::new(store, meter))
}
