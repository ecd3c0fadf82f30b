//! Read-ahead carried out: the policy decides, this asks for the bytes, lets go of them, and ends what is not wanted.

use std::collections::VecDeque;

use forebay_readahead::{Plan, Read, ReadAhead, ReadAheadConfig, Report};
use forebay_types::{BlockRange, ByteRange, Intent};

use crate::begin::Task;
use crate::blocks::Blocks;

/// Bytes that a handle asked for on demand and keeps in memory for its next reads: they often want the rest of the same
/// block.
const RECENT: u64 = 1024 * 1024;

/// Ended requests are forgotten once there are so many.
const FORGET_AT: usize = 64;

/// One handle's read-ahead and what it keeps in memory.
#[derive(Debug)]
pub(crate) struct Ahead {
    policy: ReadAhead,
    /// What this handle asked for, whether it is here by now or not.
    tasks: Vec<Task>,
    /// Asked for on demand, newest last.
    recent: VecDeque<ByteRange>,
    recent_bytes: u64,
}

impl Ahead {
    pub(crate) fn new(config: ReadAheadConfig, size: u64) -> Self {
        Self {
            policy: ReadAhead::new(config, size),
            tasks: Vec::new(),
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
        let spare = blocks.shared.spare();
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
        }
        for range in plan.ahead {
            let begun = blocks.begin(range, Intent::Ahead);
            self.adopt(begun.tasks);
            if let Some(refused) = begun.refused {
                self.policy
                    .refused(ByteRange::new(refused.max(range.start()), range.end()));
                break;
            }
        }
        plan.beyond
    }

    /// Requests that end with the handle, unless somebody else wants their bytes.
    pub(crate) fn adopt(&mut self, tasks: Vec<Task>) {
        if self.tasks.len() > FORGET_AT {
            self.tasks.retain(|task| !task.is_done());
        }
        self.tasks.extend(tasks);
    }

    /// The bytes of a read that was not here stay until those of later reads took their place.
    pub(crate) fn remember(&mut self, blocks: &Blocks, range: ByteRange) {
        let mut range = BlockRange::touching(range).bytes(blocks.object.size());
        if range.len() > RECENT {
            let (before, last) = range.split_at(range.len() - RECENT);
            blocks.consumed(before);
            range = last;
        }
        self.recent.push_back(range);
        self.recent_bytes += range.len();
        while self.recent_bytes > RECENT {
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
        blocks.consumed(range);
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
