//! What became of the records that were sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_log::{Delivered, Delivery, LogError, TopicPartition};
use futures::FutureExt;
use tokio::sync::{Notify, mpsc};

use crate::output::Output;

/// A record on its way.
#[derive(Debug)]
pub(super) struct Sent {
    /// The line that it stood in.
    pub(super) line: u64,
    pub(super) delivery: Delivery,
}

/// What was written in one partition.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) records: u64,
    /// The first and the last one.
    pub(super) offsets: Option<(u64, u64)>,
}

/// What is known so far.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) written: BTreeMap<u32, Written>,
    /// The first record that was not written: its line, and why.
    pub(super) failed: Option<(u64, LogError)>,
    tell: Arc<Notify>,
    report: Option<Output>,
    /// Acknowledged and not reported yet: offsets of one partition that follow each other.
    run: Option<(TopicPartition, u64, u64)>,
}

impl Acked {
    /// Tells `tell` of the first failure. With `report`, prints what is acknowledged.
    pub(super) fn new(report: Option<Output>, tell: Arc<Notify>) -> Self {
        Self {
            written: BTreeMap::new(),
            failed: None,
            tell,
            report,
            run: None,
        }
    }

    /// Follows all deliveries, in the order in which they were sent. Memory: what the producer's buffer holds.
    pub(super) async fn follow(mut self, mut sending: mpsc::UnboundedReceiver<Vec<Sent>>) -> Self {
        loop {
            let sent = match sending.try_recv() {
                Ok(sent) => sent,
                Err(_) => {
                    // Nothing more for now: what is known is said.
                    self.say();
                    match sending.recv().await {
                        Some(sent) => sent,
                        None => return self,
                    }
                }
            };
            for Sent { line, delivery } in sent {
                let outcome = match delivery.wait().now_or_never() {
                    Some(outcome) => outcome,
                    None => {
                        // It may take a while: what is known is said before.
                        self.say();
                        delivery.wait().await
                    }
                };
                match outcome {
                    Ok(delivered) => self.written(delivered),
                    Err(error) if self.failed.is_none() => {
                        self.failed = Some((line, error));
                        self.tell.notify_one();
                    }
                    Err(_) => {}
                }
            }
        }
    }

    fn written(&mut self, Delivered { at, offset }: Delivered) {
        self.written.entry(at.partition).or_default().add(offset);
        let (Some(offset), Some(_)) = (offset, self.report) else {
            return;
        };
        match &mut self.run {
            Some((run, _, last)) if *run == at && *last + 1 == offset => *last = offset,
            _ => {
                self.say();
                self.run = Some((at, offset, offset));
            }
        }
    }

    fn say(&mut self) {
        let (Some(output), Some((at, first, last))) = (self.report, self.run.take()) else {
            return;
        };
        // The reader of a pipe may take its time: not on a thread that others need.
        let said = tokio::task::block_in_place(|| output.line(&format!("{at} {first} {last}")));
        if said.is_err() {
            // Nobody listens any more; writing goes on.
            self.report = None;
        }
    }
}
