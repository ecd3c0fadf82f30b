//! Proof: what the bytes of a complete object come to is compared with what they must.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_types::{ByteRange, ObjectId, Proof};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::cache::Cache;
use crate::object::{CachedObject, Open};
use crate::stats::Count;

/// Bytes that are read and hashed at a time: they stay in a core's cache in between.
const PIECE: u64 = 256 * 1024;

/// What is known of an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// All of them are here and came to what they must.
    Right,
    /// They came to something else. The copy is gone, and none is kept again as long as somebody has the object.
    Wrong,
    /// Some are not here, or could not be read.
    NotYet,
}

/// Tells which objects were refuted, as it is found out.
#[derive(Debug)]
pub struct Refutations {
    receiver: UnboundedReceiver<ObjectId>,
}

impl Refutations {
    /// The next one; `None` when the cache is gone.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<ObjectId> {
        self.receiver.recv().await
    }
}

/// Who is told of refuted objects.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    listeners: Mutex<Vec<UnboundedSender<ObjectId>>>,
}

impl Announcer {
    fn announce(&self, id: &ObjectId) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.send(id.clone()).is_ok());
    }
}

impl Cache {
    /// From now on the answer hears of every object whose bytes turn out to be wrong.
    pub fn refutations(&self) -> Refutations {
        let (sender, receiver) = unbounded_channel();
        let listeners = &self.shared().refutations.listeners;
        listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        Refutations { receiver }
    }
}

impl CachedObject {
    /// Says what the object's bytes must come to. When all are here they are read once and checked, before the object is sealed or
    /// handed out; a copy that is wrong is removed. An object that was sealed by another process was checked by that. If all bytes
    /// are here already, the check is begun, in the background.
    pub fn must_prove(&self, proof: &Arc<dyn Proof>) {
        self.proof.get_or_init(|| proof.clone());
        if let (Some(me), Some(open)) = (self.me(), self.open()) {
            me.seal_if_complete(&open);
        }
    }

    /// Whether all bytes are here and came to what they must. No I/O, unless the object's files are closed.
    pub fn is_proven(&self) -> bool {
        self.open().is_some_and(|open| open.known.is_proven())
    }

    /// Whether they came to something else.
    pub fn is_refuted(&self) -> bool {
        self.refuted.load(Ordering::Acquire)
    }

    /// Finds out now, if all bytes are here. Reads them all: blocks for as long as that takes.
    pub fn prove(&self) -> Proven {
        if let Some(open) = self.open()
            && !open.known.is_proven()
            && open.known.is_complete(&open.files)
        {
            self.seal_now(&open);
        }
        match (self.is_refuted(), self.is_proven()) {
            (true, _) => Proven::Wrong,
            (false, true) => Proven::Right,
            (false, false) => Proven::NotYet,
        }
    }

    /// Whether the bytes are still to be checked.
    pub(crate) fn wants_proof(&self, open: &Open) -> bool {
        self.proof.get().is_some() && !open.known.is_proven()
    }

    /// Checks all bytes, which are here; `false` if they are not what they must be, or went meanwhile. `epoch`: when they were seen
    /// to be here.
    pub(crate) fn prove_now(&self, open: &Arc<Open>, epoch: u64) -> bool {
        let Some(proof) = self.proof.get() else {
            return true;
        };
        let one = self.proving.lock().unwrap_or_else(PoisonError::into_inner);
        if open.known.is_proven() {
            return true;
        }
        let mut check = proof.begin();
        let mut buffer = vec![0; PIECE.min(self.id().size) as usize];
        let mut rest = ByteRange::new(0, self.id().size);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(PIECE);
            let bytes = &mut buffer[..piece.len() as usize];
            if !self.read_raw(open, piece.start(), bytes) {
                return false;
            }
            check.take(bytes);
            rest = after;
        }
        let right = check.is_right();
        if open.known.epoch() != epoch {
            // What was read may have been a hole.
            return false;
        }
        if right {
            return open.known.prove(epoch);
        }
        drop(one);
        self.refute(open);
        false
    }

    /// The bytes are wrong, as they came: nobody gets them from here any more.
    fn refute(&self, open: &Arc<Open>) {
        if self.refuted.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(id = %self.id(), "the object's bytes are not what its name promises: they are thrown away");
        self.shared.count(Count::Corrupt, 1);
        let instance = open.known.instance;
        if let Ok(shard) = self.name.shard_in(&self.shared.dir) {
            self.shared
                .note_failure(self.shared.replace(&shard, self.name, instance));
        }
        self.forget_files(open);
        if let Some(me) = self.me() {
            // Only who reads it has it from now on: when the last of them has gone, it may be tried anew.
            self.shared.open.remove(&me);
        }
        self.shared.refutations.announce(self.id());
    }
}
