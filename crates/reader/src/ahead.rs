//! Read-ahead carried out: the policy decides, this asks for the bytes, lets go of them, and ends what is not wanted.

use std::collections::VecDeque;

use forebay_readahead::{Plan, Read, ReadAhead, ReadAheadConfig, Report};
use forebay_types::{BlockRange, ByteRange, Intent};

use crate::blocks::{Blocks, Task};

/// Bytes that a handle asked for on demand and keeps in memory for its next reads: they often want the rest of the same
/// block.
const RECENT: u64 = 1024 * 1024;

/// One handle's read-ahead and what it keeps in memory.
#[derive(Debug)]
pub(crate) struct Ahead {
    policy: ReadAhead,
    /// Asked for ahead, and neither read nor given up.
    tasks: VecDeque<Task>,
    /// Asked for on demand, newest last.
    recent: VecDeque<ByteRange>,
    recent_bytes: u64,
}

impl Ahead {
    pub(crate) fn new(config: ReadAheadConfig, size: u64) -> Self {
        Self {
            policy: ReadAhead::new(config, size),
            tasks: VecDeque::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }

    /// The whole range will be read in order.
    pub(crate) fn declare(&mut self, range: ByteRange) {
        self.policy.declare(range);
    }

    /// Tells the policy of a read and does what it says; gives back how many bytes beyond the object it would like.
    pub(crate) fn observe(&mut self, blocks: &Blocks, range: ByteRange, starved: bool) -> u64 {
        let budget = blocks.shared.engine.budget();
        let spare = budget.free().saturating_sub(budget.total() / 8);
        let plan = self.policy.observe(Read {
            range,
            starved,
            spare,
        });
        self.carry_out(blocks, plan)
    }

    fn carry_out(&mut self, blocks: &Blocks, plan: Plan) -> u64 {
        for range in plan.cancel {
            self.give_up(blocks, range);
        }
        for range in plan.done {
            blocks.consumed(range);
            while self
                .tasks
                .front()
                .is_some_and(|task| task.range.end() <= range.end())
            {
                self.tasks.pop_front();
            }
        }
        for range in plan.ahead {
            let begun = blocks.begin(range, Intent::Ahead);
            self.tasks.extend(begun.tasks);
            if let Some(refused) = begun.refused {
                self.policy
                    .refused(ByteRange::new(refused.max(range.start()), range.end()));
                break;
            }
        }
        plan.beyond
    }

    /// The bytes of a read that was not here stay until those of others took their place.
    pub(crate) fn remember(&mut self, blocks: &Blocks, range: ByteRange) {
        let range = BlockRange::touching(range).bytes(blocks.object.size());
        self.recent.push_back(range);
        self.recent_bytes += range.len();
        while self.recent_bytes > RECENT && self.recent.len() > 1 {
            let Some(oldest) = self.recent.pop_front() else {
                break;
            };
            self.recent_bytes -= oldest.len();
            blocks.consumed(oldest);
        }
    }

    /// Bytes that were fetched ahead are gone before they were read.
    pub(crate) fn evicted(&mut self, range: ByteRange) {
        self.policy.evicted_unread(range);
    }

    fn give_up(&mut self, blocks: &Blocks, range: ByteRange) {
        self.tasks.retain(|task| {
            let inside = range.start() <= task.range.start() && task.range.end() <= range.end();
            if inside {
                blocks.abandon(task);
            }
            !inside
        });
    }

    /// Ends everything that nobody else waits for.
    pub(crate) fn close(&mut self, blocks: &Blocks) -> Report {
        for task in self.tasks.drain(..) {
            blocks.abandon(&task);
        }
        blocks.object.staging.leave(blocks.keeper);
        self.policy.close()
    }

    pub(crate) fn report(&self) -> Report {
        self.policy.report()
    }

    pub(crate) fn policy(&self) -> &ReadAhead {
        &self.policy
    }
}
