//! An object into the cache, for nobody in particular.

use forebay_cache::Waited;
use forebay_range::Target;
use forebay_types::{BLOCK, BlockRange, ByteRange, Intent, RangeSpec};
use serde::Serialize;

use crate::begin::Want;
use crate::blocks::Blocks;
use crate::error::ReadError;
use crate::lanes::lanes;
use crate::reader::Reader;

/// What warming an object took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Warmed {
    /// Its bytes.
    pub size: u64,
    /// Bytes that were in the cache before.
    pub found: u64,
    /// Bytes that came from the source.
    pub fetched: u64,
    /// Bytes that are in the cache now. Fewer than `size`: the cache is too small or its disk too full, or the source is
    /// one that is not cached (a local file).
    pub cached: u64,
}

impl Reader {
    /// Brings what is missing of an object into the cache. Reads that somebody waits for go first.
    ///
    /// # Errors
    /// If a part fails for good; what came before is kept.
    ///
    /// # Cancel safety
    /// Dropping the future ends its requests; what came before is kept.
    pub async fn warm(&self, target: Target) -> Result<Warmed, ReadError> {
        let target = target.intent(Intent::Warm);
        let config = target.config.clone();
        let found = Box::pin(self.find(target, &config, RangeSpec::From(0), None)).await?;
        let handle = found.into_handle();
        let object = &handle.inner.blocks.object;
        let Some(cached) = object.cached.clone() else {
            return Ok(Warmed {
                size: object.size(),
                found: 0,
                fetched: 0,
                cached: 0,
            });
        };
        let present = || -> u64 {
            let runs = cached.presence(BlockRange::of_size(object.size()));
            let here = runs.iter().filter(|(_, present)| *present);
            here.map(|(blocks, _)| blocks.bytes(object.size()).len()).sum()
        };
        let found = present();
        handle.inner.blocks.bring_all(Intent::Warm).await?;
        self.flush().await;
        Ok(Warmed {
            size: object.size(),
            found,
            fetched: handle.inner.blocks.fetch.stats().bytes_fetched,
            cached: present(),
        })
    }
}

impl Blocks {
    /// Brings all that is missing, as far as the cache takes it.
    pub(crate) async fn bring_all(&self, intent: Intent) -> Result<(), ReadError> {
        let lane = |part| self.clone().bring(part, intent);
        Box::pin(lanes(self, self.object.whole(), lane)).await
    }

    /// Brings one part, or waits until those who do have done so.
    async fn bring(self, part: ByteRange, intent: Intent) -> Result<(), ReadError> {
        let blocks = &self;
        let budget = blocks.shared.engine.budget();
        let size = blocks.object.size();
        let whole_blocks = |bytes: u64| bytes.max(BLOCK) / BLOCK * BLOCK;
        let mut rest = part;
        while !rest.is_empty() {
            // In pieces that leave room for others, however small the budget is.
            let piece = rest.split_at(whole_blocks(budget.total() / 4)).0;
            let mut want = Want::new(piece, intent);
            want.memory = Some(blocks.memory(piece.len()).await);
            let begun = blocks.begin_with(&mut want);
            drop(want);
            let refused = begun.refused.is_some();
            for task in begun.tasks {
                task.done().await?;
            }
            if refused {
                continue;
            }
            // What others bring: each byte until it is here, or they give up.
            let mut at = piece.start();
            while at < piece.end() {
                at = match blocks.object.staging.wait(at, piece.end()).await {
                    Waited::Bytes(chunks) => at + chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>(),
                    // On disk, or dropped on the way there; or given up, and then it is ours.
                    Waited::Gone | Waited::Failed(_) => {
                        let block = BlockRange::touching(ByteRange::at(at, 1));
                        let tasks = blocks.begin(block.bytes(size), intent).tasks;
                        for task in tasks {
                            task.done().await?;
                        }
                        block.bytes(size).end()
                    }
                };
            }
            rest = rest.skip(piece.len());
        }
        Ok(())
    }
}
