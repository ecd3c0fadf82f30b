//! What all parts of an overlay share: the state, the journal, and the order in which both change.

mod sync;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use forebay_disk::sys::stored;
use forebay_types::Clock;
use rustix::io::Errno;

use crate::overlay::attrs::{Data, NodeId};
use crate::overlay::data::DataFile;
use crate::overlay::error::UpperError;
use crate::overlay::journal::{Journal, NotAppended};
use crate::overlay::layout::{Layout, data_name};
use crate::overlay::record::{Change, NewBody};
use crate::overlay::state::{Lost, Node, State};

/// So many files whose nodes are gone may wait on disk for the next sync.
const MAX_DEAD: usize = 64;

/// So many bytes may.
const MAX_DEAD_BYTES: u64 = 16 << 20;

/// What must be durable before the journal may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The name of a new file, which is empty.
    Name,
    /// The file's size, and its map.
    File,
}

/// A file that nothing in memory needs any more. It goes when the journal that says so is durable: after a power loss
/// the journal may be an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dead {
    Node(NodeId),
    Map(NodeId),
}

/// What changes together.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) journal: Journal,
    /// Records written since the start.
    seq: u64,
    pub(crate) need: HashMap<NodeId, Need>,
    pub(crate) dead: Vec<Dead>,
    dead_bytes: u64,
    layout: Arc<Layout>,
}

/// What is to be done when a change was made.
enum Chore {
    None,
    Sync,
    Rewrite,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Arc<Layout>,
    clock: Arc<dyn Clock>,
    next: AtomicU64,
    /// Files with a [`DataFile`]. Taken before `inner`, never after it.
    pub(crate) open: Mutex<HashMap<NodeId, Weak<DataFile>>>,
    /// Files that nobody has open now, with a map that is not durable.
    unsafe_maps: Mutex<HashSet<NodeId>>,
    /// Held while the attributes of a file with data change: mode and what is hidden of it belong together.
    pub(crate) attributes: Mutex<()>,
    /// Records that are durable, counted like `seq`. Held by whoever syncs, so that all others share what it did; taken
    /// before `inner`.
    syncing: Mutex<u64>,
    inner: RwLock<Inner>,
}

impl Shared {
    pub(crate) fn new(
        layout: Arc<Layout>,
        clock: Arc<dyn Clock>,
        state: State,
        journal: Journal,
        need: HashMap<NodeId, Need>,
    ) -> Self {
        let is_mapped =
            |node: &Node| matches!(node.file(), Some(file) if matches!(file.data, Data::Mapped { .. }));
        let mapped = state.nodes.iter().filter(|(_, node)| is_mapped(node));
        let unsafe_maps = mapped.map(|(id, _)| *id).collect();
        Self {
            layout: Arc::clone(&layout),
            clock,
            next: AtomicU64::new(state.next),
            open: Mutex::default(),
            unsafe_maps: Mutex::new(unsafe_maps),
            attributes: Mutex::default(),
            syncing: Mutex::new(0),
            inner: RwLock::new(Inner {
                state,
                journal,
                // One more than is durable: nothing is known to be yet.
                seq: 1,
                need,
                dead: Vec::new(),
                dead_bytes: 0,
                layout,
            }),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.clock.wall().as_nanos()).unwrap_or(i64::MAX)
    }

    /// A number that no node ever had.
    pub(crate) fn new_id(&self) -> NodeId {
        NodeId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Changes the state: `op` checks and commits. Done a second time if the disk was full and there was room to be made.
    pub(crate) fn change<T>(
        &self,
        op: impl Fn(&mut Inner) -> Result<T, UpperError>,
    ) -> Result<T, UpperError> {
        let result = self.with_room(|| op(&mut self.write()));
        self.do_chores();
        result
    }

    /// Does `op`, and once more if the disk was full and there was room to be made.
    pub(crate) fn with_room<T>(&self, op: impl Fn() -> Result<T, UpperError>) -> Result<T, UpperError> {
        match op() {
            Err(UpperError::Io {
                source: Errno::NOSPC, ..
            }) if self.make_room() => op(),
            result => result,
        }
    }

    /// Removes files that wait for the next sync; `false` if there are none.
    pub(crate) fn make_room(&self) -> bool {
        let some = !self.read().dead.is_empty();
        if some && let Err(error) = self.sync() {
            // Whether there is room now, the next try tells.
            tracing::debug!(%error, "no sync on a full disk");
        }
        some
    }

    /// What must be done now and then. It is of no concern to whom it fell to, so nothing comes back.
    fn do_chores(&self) {
        let chore = {
            let inner = self.read();
            if inner.journal.is_long() {
                Chore::Rewrite
            } else if inner.dead.len() >= MAX_DEAD || inner.dead_bytes >= MAX_DEAD_BYTES {
                Chore::Sync
            } else {
                Chore::None
            }
        };
        let done = match chore {
            Chore::None => Ok(()),
            Chore::Sync => self.sync(),
            Chore::Rewrite => self
                .rewrite()
                .inspect_err(|_| self.write().journal.not_rewritten()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the overlay's journal could not be tidied up; it is tried again later");
        }
    }

    /// A node is held no more.
    pub(crate) fn release(&self, id: NodeId) {
        let was_last = self
            .read()
            .state
            .node(id)
            .is_some_and(|node| node.holds.fetch_sub(1, Ordering::AcqRel) == 1 && !node.is_linked(id));
        if was_last {
            self.write().remove_if_gone(id);
            self.do_chores();
        }
    }

    /// Holds a node, so that it stays though its last name goes.
    pub(crate) fn hold(&self, id: NodeId) -> Result<(), UpperError> {
        let inner = self.read();
        inner.node(id)?.holds.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// A file was closed whose map is not durable.
    pub(crate) fn closed_unsafe(&self, id: NodeId) {
        let mut maps = self.unsafe_maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.insert(id);
    }

    /// Files whose maps may not be durable; those that nobody has open are taken to be so from now on.
    pub(crate) fn take_unsafe(&self) -> Vec<NodeId> {
        let mut maps = self.unsafe_maps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<_> = maps.drain().collect();
        drop(maps);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        ids.extend(open.keys());
        ids
    }

    /// The open data of a node.
    pub(crate) fn opened(&self, id: NodeId) -> Option<Arc<DataFile>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&id)?.upgrade()
    }
}

impl Inner {
    pub(crate) fn node(&self, id: NodeId) -> Result<&Node, UpperError> {
        self.state.node(id).ok_or(UpperError::Stale { id })
    }

    /// Writes a transaction and does it. All checks are done before.
    pub(crate) fn commit(&mut self, id: NodeId, changes: &[Change]) -> Result<(), UpperError> {
        self.journal.append(changes).map_err(|error| match error {
            NotAppended::Io(source) => UpperError::io("record a change", id)(source),
            NotAppended::Broken => UpperError::Broken,
        })?;
        self.seq += 1;
        for change in changes {
            if let Some((id, need)) = needs(change) {
                self.need(id, need);
            }
        }
        self.apply(changes)
    }

    /// Like [`Inner::commit`] for changes of one node, which the journal knows only as long as it has a name.
    pub(crate) fn commit_to(&mut self, id: NodeId, changes: &[Change]) -> Result<(), UpperError> {
        if self.node(id)?.is_linked(id) {
            self.commit(id, changes)
        } else {
            self.apply(changes)
        }
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), UpperError> {
        match self.state.apply(changes) {
            Ok(all) => {
                for lost in all {
                    self.went(lost);
                }
                Ok(())
            }
            Err(why) => {
                debug_assert!(false, "{why}: {changes:?}");
                tracing::error!(why, ?changes, "a change of the overlay was not checked well");
                Err(UpperError::Broken)
            }
        }
    }

    fn remove_if_gone(&mut self, id: NodeId) {
        if let Ok(Some(lost)) = self.state.remove_if_gone(id) {
            self.went(lost);
        }
    }

    fn went(&mut self, lost: Lost) {
        if lost.has_data {
            self.need.remove(&lost.id);
            if let Ok(stat) = self.layout.stat(&data_name(lost.id)) {
                let bytes = stored(&stat);
                self.dead_bytes = self.dead_bytes.saturating_add(bytes);
            }
            self.dead.push(Dead::Node(lost.id));
        }
    }

    fn need(&mut self, id: NodeId, need: Need) {
        let known = self.need.entry(id).or_insert(need);
        *known = need.max(*known);
    }
}

/// What must be durable before a change may be.
pub(crate) fn needs(change: &Change) -> Option<(NodeId, Need)> {
    match change {
        Change::Node {
            id,
            body: NewBody::File { data, .. },
            ..
        } => match data {
            Data::Lower => None,
            Data::Mapped { .. } => Some((*id, Need::File)),
            Data::Whole => Some((*id, Need::Name)),
        },
        // A map, a shorter file, or one that is whole now.
        Change::Data { id, .. } => Some((*id, Need::File)),
        _ => None,
    }
}

impl Node {
    /// Whether it can be reached by a name.
    pub(crate) fn is_linked(&self, id: NodeId) -> bool {
        self.links > 0 || id == NodeId::ROOT
    }
}
