//! Whether bytes may be read: where it is known what they must come to, that is checked when all are here, or before.

use forebay_cache::Proven;
use forebay_types::Intent;

use crate::blocks::Blocks;
use crate::error::ReadError;
use crate::options::Verify;

impl Blocks {
    /// Whether bytes that are here may be read at once.
    pub(crate) fn is_admitted(&self) -> bool {
        let Some(cached) = &self.object.cached else {
            return !self.is_strict();
        };
        !cached.is_refuted() && (!self.is_strict() || cached.is_proven())
    }

    /// Waits until bytes may be read; brings and checks all of them first, if it must be so.
    ///
    /// # Cancel safety
    /// Dropping the future ends the requests; what arrived is kept.
    pub(crate) async fn admit(&self) -> Result<(), ReadError> {
        if self.is_admitted() {
            return Ok(());
        }
        // Boxed: hardly ever needed, and much to carry for every read.
        Box::pin(self.prove()).await
    }

    async fn prove(&self) -> Result<(), ReadError> {
        let Some(cached) = &self.object.cached else {
            return Err(self.unproven("it is not kept in a cache"));
        };
        let one = self.object.proving.lock().await;
        // Twice: what was here may have left the cache while the rest came.
        for _ in 0..2 {
            let proving = cached.clone();
            let proven = self.runtime().spawn_blocking(move || proving.prove()).await;
            match proven.map_err(|e| ReadError::Task(e.to_string()))? {
                Proven::Right => return Ok(()),
                Proven::Wrong => {
                    return Err(ReadError::Refuted {
                        object: self.fetch.target().name.to_string(),
                    });
                }
                Proven::NotYet => {}
            }
            self.bring_all(Intent::Demand).await?;
            if let Some(cache) = self.shared.cache.clone() {
                let written = self.runtime().spawn_blocking(move || cache.flush());
                written.await.map_err(|e| ReadError::Task(e.to_string()))?;
            }
        }
        drop(one);
        Err(self.unproven("the cache has no room for all of it"))
    }

    fn is_strict(&self) -> bool {
        self.shared.options.verify == Verify::Strict && self.fetch.target().proof.is_some()
    }

    fn unproven(&self, why: &'static str) -> ReadError {
        ReadError::Unproven {
            object: self.fetch.target().name.to_string(),
            why,
        }
    }
}
