//! Deleting what nothing refers to.

use std::collections::HashMap;

use super::{Log, MaintainOptions, Maintained, Result};

/// Objects deleted at a time.
const PAGE: usize = 1000;

impl Log {
    /// First the metadata says that an object is dead, for good; only then it is deleted. So no commit can make a deleted
    /// object part of anything.
    pub(super) async fn sweep(&self, options: &MaintainOptions, done: &mut Maintained) -> Result<()> {
        done.expired += self.metadata().expire_uploads(options.upload_timeout).await?;
        loop {
            let dead = self.metadata().dead_objects(options.grace, PAGE).await?;
            let count = dead.len();
            let ids: HashMap<_, _> = dead.into_iter().map(|object| (object.key, object.id)).collect();
            let keys: Vec<_> = ids.keys().cloned().collect();
            let mut gone = Vec::new();
            let mut failed = None;
            for (key, deleted) in self.shared.bucket.delete(keys).await {
                match deleted {
                    Ok(()) => gone.extend(ids.get(&key)),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            self.metadata().forget_objects(&gone).await?;
            done.deleted += gone.len() as u64;
            if let Some(error) = failed {
                return Err(error);
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }
}
