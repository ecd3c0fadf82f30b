//! How much is held in memory at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::commit::error::CommitError;

/// What one permit stands for, in bytes.
const UNIT: u64 = 64 << 10;

/// Leave to hold bytes in memory. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    permits: Arc<Semaphore>,
    units: u32,
}

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX >> 3)
            .max(1);
        Self {
            permits: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Leave to hold so many bytes; what is more than all there is gets all of it.
    pub(super) async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit, CommitError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let units = units.clamp(1, self.units);
        let permits = self.permits.clone().acquire_many_owned(units).await;
        permits.map_err(|_| CommitError::Cancelled)
    }
}
