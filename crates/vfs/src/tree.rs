//! The inode table and its caches over a namespace.
//!
//! A question meets the table first: [`lookup`], [`attr`] and [`read_dir`] answer from a [`dir`] of the [`table`] what is
//! known and believed. What is not, `refresh` asks: the one name ([`look`]) or, where many are asked for, the whole
//! directory ([`list`]; [`habit`] decides which), each a [`flight`] that all share who ask the same. The answer is
//! entered into the table, a listing by [`merge`] and [`mod@settle`], so that nodes keep their numbers; what the kernel was told otherwise
//! becomes a [`notice`]. [`open`] says what a file is read from, `lineage` where a
//! number stands.

mod attr;
mod dir;
mod flight;
mod habit;
#[cfg(target_os = "linux")]
mod lineage;
mod list;
mod look;
mod lookup;
mod merge;
mod notice;
mod open;
mod read_dir;
mod refresh;
mod settle;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::Clock;

use self::flight::Flights;
use self::notice::Notices;
use self::table::Table;
use crate::entry::Node;
use crate::error::VfsError;
use crate::freshness::{Beliefs, nanos};
use crate::ino::{Ino, Kind};
use crate::inode::Inode;
use crate::namespace::Namespace;
use crate::options::TreeOptions;
use crate::place::Place;
use crate::snapshot::DirSnapshot;
use crate::stats::{Counters, TreeStats};

#[cfg(target_os = "linux")]
pub(crate) use lineage::Lineage;
pub use notice::{Changes, Notice};
pub use open::OpenTarget;

/// A tree of files, as the kernel sees it: numbers, attributes, directories. Cheap to clone; clones share everything.
///
/// The `try_…` methods answer what is known and believed on the calling thread: they wait for no I/O and know no
/// runtime; `None` means that the method without `try_` has to ask. Only numbers are understood that the kernel holds,
/// that is, has been told and not forgotten.
#[derive(Clone)]
pub struct Tree {
    shared: Arc<Shared>,
}

struct Shared {
    namespace: Arc<dyn Namespace>,
    beliefs: Beliefs,
    max_entries: usize,
    clock: Arc<dyn Clock>,
    /// Nanoseconds since 1970: the time of what has none.
    born: u64,
    table: Mutex<Table>,
    looks: Flights<(Ino, Box<str>), Looked>,
    lists: Flights<Ino, Listed>,
    notices: Notices,
    counters: Counters,
    next_ino: AtomicU64,
    /// Numbers questions in the order in which they are asked.
    next_question: AtomicU64,
}

/// The answer to a look: the node, if there is one.
type Looked = Result<Option<Arc<Inode>>, VfsError>;

/// The answer to a listing.
type Listed = Result<Arc<DirSnapshot>, VfsError>;

impl Tree {
    /// The tree of `namespace`. Asks for nothing yet.
    pub fn new(namespace: Arc<dyn Namespace>, options: TreeOptions, clock: Arc<dyn Clock>) -> Self {
        let born = nanos(clock.wall());
        let place = Arc::new(Place::root());
        let forever = (0, crate::freshness::NEVER);
        let root = Inode::new(Ino::ROOT, place, Box::default(), Node::Dir, born, forever);
        let beliefs = Beliefs::of(namespace.freshness(), options.ttl, options.negative_ttl);
        let shared = Shared {
            namespace,
            beliefs,
            max_entries: options.max_entries,
            clock,
            born,
            table: Mutex::new(Table::new(root, options.max_entries)),
            looks: Flights::default(),
            lists: Flights::default(),
            notices: Notices::default(),
            counters: Counters::default(),
            next_ino: AtomicU64::new(Ino::ROOT.0 + 1),
            next_question: AtomicU64::new(1),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// For how long names and attributes are believed; `None` for ever.
    pub fn ttl(&self) -> Option<Duration> {
        self.shared.beliefs.ttl()
    }

    /// From now on the answer hears what the kernel should no longer believe; who heard it before does not.
    pub fn changes(&self) -> Changes {
        self.shared.notices.listen()
    }

    /// A reader found that the object behind a file changed: what is known of it is not believed any more, and the
    /// kernel is to forget what it was told. Anything but a file is left alone.
    pub fn changed(&self, ino: Ino) {
        let shared = &self.shared;
        let doubted = shared
            .table()
            .node(ino)
            .is_ok_and(|inode| inode.kind() == Kind::File && inode.doubt(shared.ask()));
        if doubted {
            shared.notices.send(vec![Notice::Content { ino }]);
        }
    }

    /// The kernel gave back `references` of a node: as many as it was told, by a lookup, by [`Self::refer`] or by
    /// [`Self::hold`]. Tells whether it has others.
    pub fn forget(&self, ino: Ino, references: u64) -> bool {
        self.shared.table().forget(ino, references)
    }

    /// Under which name the kernel found a node that it holds, from the root on and as it is, not made safe to print;
    /// empty for the root. Also of one whose name is gone.
    pub fn path(&self, ino: Ino) -> Option<String> {
        self.shared.table().path(ino)
    }

    /// Figures since the start.
    pub fn stats(&self) -> TreeStats {
        let shared = &self.shared;
        let (nodes, cached) = {
            let table = shared.table();
            (table.held(), table.cached())
        };
        let counters = &shared.counters;
        TreeStats {
            lookups: counters.lookups.get(),
            attrs: counters.attrs.get(),
            read_dirs: counters.read_dirs.get(),
            hits: counters.hits.get(),
            looks: counters.looks.get(),
            lists: counters.lists.get(),
            joined: counters.joined.get(),
            notices: shared.notices.sent(),
            skipped_names: counters.skipped.get() + shared.namespace.skipped(),
            shadowed_keys: counters.shadowed.get(),
            evicted: counters.evicted.get(),
            nodes: nodes as u64,
            cached: cached as u64,
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds of the clock.
    fn now(&self) -> u64 {
        nanos(self.clock.now())
    }

    /// The number of a new question.
    fn ask(&self) -> u64 {
        self.next_question.fetch_add(1, Relaxed)
    }

    /// A node that was not known before.
    fn new_inode(&self, dir: Arc<Place>, name: Box<str>, node: Node, asked: u64, until: u64) -> Arc<Inode> {
        let ino = Ino(self.next_ino.fetch_add(1, Relaxed));
        Arc::new(Inode::new(ino, dir, name, node, self.born, (asked, until)))
    }

    /// Makes room if there is too much beside what `keep` needs.
    fn make_room(&self, keep: Ino) {
        let evicted = self.table().evict(keep, self.max_entries);
        if !evicted.is_empty() {
            self.counters.evicted.add(evicted.len() as u64);
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("namespace", &self.shared.namespace)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
