//! One version of one object, as the reader above sees it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use forebay_types::{BlockRange, ByteRange, ObjectId, Proof};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use crate::files::{self, Attached, Files, Found, TABLE_READ};
use crate::fill::Fill;
use crate::known::{Known, Stamp, stamp};
use crate::map::{Record, Value, micros};
use crate::name::Name;
use crate::options::Accounting;
use crate::shared::Shared;
use crate::table::crc_in;

/// How often the use of an object is told to other processes, by the time of its map.
const TELL_USE_EVERY: Duration = Duration::from_secs(60);

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Only what is in memory: for threads that must not stand still.
    No,
    /// The disk may be asked.
    Yes,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// All of it.
    Done,
    /// The first `done` bytes; the next one is not in the cache, or not good, or past the object's end.
    Missing {
        /// Bytes read.
        done: usize,
    },
    /// The first `done` bytes; the disk must be asked for the next one.
    WouldBlock {
        /// Bytes read.
        done: usize,
    },
}

/// The cached bytes of one version of one object. Nothing is made on disk before the first [`CachedObject::store`].
pub struct CachedObject {
    id: ObjectId,
    pub(crate) name: Name,
    pub(crate) shared: Arc<Shared>,
    me: Weak<Self>,
    state: RwLock<State>,
    attaching: Mutex<()>,
    /// Held shared to write blocks, exclusively to take some away.
    pub(crate) io: RwLock<()>,
    /// When the version was last known to be the right one: wall clock, microseconds. A map of another version that was confirmed
    /// later is the newer one.
    since: AtomicU64,
    /// Another version took the name.
    superseded: AtomicBool,
    /// What its bytes must come to; see [`Self::must_prove`].
    pub(crate) proof: OnceLock<Arc<dyn Proof>>,
    /// Held while that is found out.
    pub(crate) proving: Mutex<()>,
    /// Its bytes came to something else.
    pub(crate) refuted: AtomicBool,
    pub(crate) last_use: Stamp,
    /// When the use was last told: process clock, milliseconds plus one.
    told: AtomicU64,
    /// Whether the list of open objects has it.
    pub(crate) listed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Arc<Open>>,
    known: Option<Arc<Known>>,
}

/// An object with its descriptors.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) files: Files,
    pub(crate) known: Arc<Known>,
}

impl CachedObject {
    pub(crate) fn new(id: ObjectId, name: Name, shared: Arc<Shared>) -> Arc<Self> {
        let since = AtomicU64::new(micros(shared.clock.wall()));
        Arc::new_cyclic(|me| Self {
            id,
            name,
            shared,
            me: me.clone(),
            state: RwLock::default(),
            attaching: Mutex::new(()),
            io: RwLock::new(()),
            since,
            superseded: AtomicBool::new(false),
            proof: OnceLock::new(),
            proving: Mutex::new(()),
            refuted: AtomicBool::new(false),
            last_use: Stamp::new(0),
            told: AtomicU64::new(0),
            listed: AtomicBool::new(false),
        })
    }

    /// Which version of which object.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// `blocks` as runs that are there, or not. Asks the map on disk for those that this process does not know yet, so what
    /// other processes fill is seen; a block that turns out to be damaged when it is read is missing all the same.
    pub fn presence(&self, blocks: BlockRange) -> Vec<(BlockRange, bool)> {
        let mut runs = Vec::new();
        let inside = BlockRange::new(
            blocks.start(),
            blocks.end().min(BlockRange::of_size(self.id.size).end()),
        );
        match self.open() {
            Some(open) => open.runs(inside, &mut runs),
            None => push_run(&mut runs, inside, false),
        }
        push_run(&mut runs, BlockRange::new(inside.end(), blocks.end()), false);
        runs
    }

    /// Whether all of `blocks` are there: [`Self::presence`] without the runs.
    pub fn has(&self, blocks: BlockRange) -> bool {
        self.presence(blocks).iter().all(|(_, present)| *present)
    }

    /// Whether every block is there. Cheap when that is known already.
    pub fn is_complete(&self) -> bool {
        self.open()
            .is_some_and(|open| open.known.is_complete(&open.files))
    }

    /// Gives bytes to the disk, in the background.
    ///
    /// # Errors
    /// Gives the fill back when [`crate::CacheOptions::write_behind`] bytes wait already and it is not patient.
    pub fn store(&self, fill: Fill) -> Result<(), Fill> {
        let Some(me) = self.me.upgrade() else {
            return Err(fill);
        };
        self.shared.queue.store(me, fill)
    }

    /// The server just confirmed this version.
    pub fn validated(&self) {
        let now = micros(self.shared.clock.wall());
        self.since.store(now, Ordering::Relaxed);
        self.superseded.store(false, Ordering::Relaxed);
        if let Some(open) = self.open() {
            self.shared
                .note_failure(open.files.map.put(Record::Validated, now));
            self.note_change(&open);
        }
    }

    /// The file itself, to be given to the kernel (FUSE passthrough, sendfile) or mapped: exactly the object's bytes. Only of an
    /// object that is sealed and whose data is a file of its own. From now on it is never made smaller; while the answer lives, it
    /// is not removed either.
    pub fn hand_out(&self) -> Option<HandedOut> {
        let open = self.open()?;
        if !open.known.is_sealed() || !open.files.is_separate() {
            return None;
        }
        // Who makes it smaller holds this exclusively.
        let _io = self.io.read().unwrap_or_else(PoisonError::into_inner);
        let shard = self.name.shard_in(&self.shared.dir).ok()?;
        let file = shard.open_to_read(&self.name.data(open.known.instance)).ok()?;
        self.shared
            .note_failure(open.files.map.put(Record::HandedOut, 1))?;
        self.note_change(&open);
        // A seal that went while we did this takes the answer with it.
        open.known.is_sealed().then_some(HandedOut { file, _open: open })
    }

    /// The files, opened if need be; `None` if this version is not in the cache.
    pub(crate) fn open(&self) -> Option<Arc<Open>> {
        if let Some(open) = &self.state.read().unwrap_or_else(PoisonError::into_inner).open {
            return Some(open.clone());
        }
        if self.is_refuted() {
            return None;
        }
        self.attach()
    }

    pub(crate) fn me(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    fn attach(&self) -> Option<Arc<Open>> {
        let _one = self.attaching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.opened() {
            return Some(open);
        }
        // Taken out between two of our steps: look again, but not for ever.
        for _ in 0..3 {
            let shard = match self.name.shard_in(&self.shared.dir) {
                Ok(shard) => shard,
                Err(Errno::NOENT) => return self.forget(),
                Err(e) => return self.shared.note_failure(Err(e)),
            };
            let map = match self.shared.note_failure(files::find(&shard, self.name))? {
                Found::Absent => return self.forget(),
                Found::Damaged => {
                    self.shared.remove_damaged(&shard, self.name);
                    return self.forget();
                }
                Found::Map(map) if map.head.id != self.id => return self.forget(),
                Found::Map(map) => map,
            };
            let instance = map.head.instance;
            match self.shared.note_failure(files::attach(&shard, self.name, map))? {
                Attached::Files(files) => return Some(self.adopt(files, None)),
                Attached::Busy => return None,
                Attached::Gone => {}
                Attached::Broken => {
                    self.shared.remove_broken(&shard, self.name, instance);
                    return self.forget();
                }
            }
        }
        None
    }

    /// Takes open files for its own. `charged`: what the budget has of them already; measured if it is not known.
    pub(crate) fn adopt(&self, files: Files, charged: Option<u64>) -> Arc<Open> {
        let trust = !self.shared.options.verify_sealed;
        let open = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let same = state.known.take().filter(|known| {
                known.instance == files.head().instance
                    && known.generation.load(Ordering::Acquire) == files.map.generation
            });
            let charged = charged.unwrap_or_else(|| match self.shared.options.accounting {
                Accounting::Disk => files.charged(),
                Accounting::Content => files.map.content().unwrap_or(0),
            });
            let known = match same {
                Some(known) => {
                    // Others may have filled it in the meantime, and posted that.
                    *known.charged.lock().unwrap_or_else(PoisonError::into_inner) = charged;
                    known
                }
                None => Arc::new(Known::new(&files, trust, charged)),
            };
            if files.map.sealed {
                known.seal(trust);
            }
            let open = Arc::new(Open {
                files,
                known: known.clone(),
            });
            state.known = Some(known);
            state.open = Some(open.clone());
            open
        };
        if let Some(me) = self.me.upgrade() {
            self.last_use
                .store(stamp(self.shared.clock.now()), Ordering::Relaxed);
            self.shared.open.push(me, self.shared.options.max_open);
        }
        open
    }

    /// The files if they are open.
    pub(crate) fn opened(&self) -> Option<Arc<Open>> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .clone()
    }

    /// Closes the files, once nobody reads them; what is known of the blocks stays.
    pub(crate) fn detach(&self) {
        // Closed after the lock is let go.
        let _open = self
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .take();
    }

    /// Closes the files and forgets what is known of them.
    pub(crate) fn forget(&self) -> Option<Arc<Open>> {
        let _state = std::mem::take(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner));
        None
    }

    /// Forgets `open`, unless others took its place already.
    pub(crate) fn forget_files(&self, open: &Arc<Open>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let _old = match &state.open {
            Some(now) if Arc::ptr_eq(now, open) => std::mem::take(&mut *state),
            _ => State::default(),
        };
        drop(state);
    }

    /// Whether anybody but the list of open objects and the caller, who holds `holders` of them, has it.
    pub(crate) fn is_in_use(&self, holders: usize) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let reading = state
            .open
            .as_ref()
            .is_some_and(|open| Arc::strong_count(open) > 1);
        let listed = usize::from(self.listed.load(Ordering::Acquire));
        reading || self.me.strong_count() > holders + listed
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Whether a map of another version, last confirmed at `validated`, is newer than this one; then this one is not stored any more.
    pub(crate) fn yields_to(&self, validated: Duration) -> bool {
        let theirs = micros(validated);
        let newer = theirs > self.since.load(Ordering::Relaxed)
            // Not a time to come: the clock was set back, and nothing could ever take its place.
            && theirs <= micros(self.shared.clock.wall());
        if newer {
            self.superseded.store(true, Ordering::Relaxed);
        }
        newer
    }

    /// Notes that the bytes of `range` were used.
    pub(crate) fn touch(&self, open: &Open, range: ByteRange) {
        let now = self.shared.clock.now();
        let stamp = stamp(now);
        self.last_use.store(stamp, Ordering::Relaxed);
        open.known.used(range, stamp);
        let told = self.told.load(Ordering::Relaxed);
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if told == 0 || millis + 1 >= told.saturating_add(TELL_USE_EVERY.as_millis() as u64) {
            self.told.store(millis + 1, Ordering::Relaxed);
            self.tell_use(open);
        }
    }

    /// A write tells the use by itself.
    pub(crate) fn use_was_told(&self) {
        let millis = u64::try_from(self.shared.clock.now().as_millis()).unwrap_or(u64::MAX);
        self.told.store(millis + 1, Ordering::Relaxed);
    }

    /// Tells other processes, and the own index, that the object is in use. Whoever reads does not wait for a scan that has the index.
    fn tell_use(&self, open: &Open) {
        let at = |nsec| Timespec {
            tv_sec: 0,
            tv_nsec: nsec,
        };
        let times = Timestamps {
            last_access: at(UTIME_OMIT),
            last_modification: at(UTIME_NOW),
        };
        let told = rustix::fs::futimens(&open.files.map.fd, &times).and_then(|()| open.files.map_stat());
        if let Some(mut index) = self.shared.try_index() {
            if let Ok(stat) = told {
                index.changed(self.name, crate::sys::changed(&stat));
            }
            index.used(self.name);
        }
    }

    /// The map was changed by this process: that is no sign of others.
    pub(crate) fn note_change(&self, open: &Open) {
        if let Ok(stat) = open.files.map_stat() {
            self.shared.index().changed(self.name, crate::sys::changed(&stat));
        }
    }
}

impl Open {
    /// Appends `blocks`, which lie inside the object, as runs.
    pub(crate) fn runs(&self, blocks: BlockRange, runs: &mut Vec<(BlockRange, bool)>) {
        let mut at = blocks.start();
        while at < blocks.end() {
            let good_until = self.known.first(BlockRange::new(at, blocks.end()), false);
            push_run(runs, BlockRange::new(at, good_until), true);
            let unknown_until = self.known.first(BlockRange::new(good_until, blocks.end()), true);
            at = good_until;
            while at < unknown_until {
                let some = BlockRange::new(at, unknown_until.min(at + TABLE_READ));
                let entries = self.files.map.entries(some).unwrap_or_default();
                for (i, block) in some.iter().enumerate() {
                    let entry = entries.get(i).copied().unwrap_or(crate::table::ABSENT);
                    let present = crc_in(entry, block, self.known.instance).is_some();
                    push_run(runs, BlockRange::new(block, block + 1), present);
                }
                at = some.end();
            }
        }
    }

    /// The runs of `blocks` that are not there.
    pub(crate) fn absent(&self, blocks: BlockRange) -> Vec<BlockRange> {
        let mut runs = Vec::new();
        self.runs(blocks, &mut runs);
        runs.into_iter()
            .filter(|(_, present)| !present)
            .map(|(run, _)| run)
            .collect()
    }

    /// Whether the map on disk says that the file was handed out.
    pub(crate) fn was_handed_out(&self) -> bool {
        let mut records = [0; crate::map::RECORDS_END];
        match forebay_disk::sys::read_at(&self.files.map.fd, &mut records, 0) {
            Ok(len) => Record::HandedOut.decode(&records[..len], self.known.instance) != Value::Unset,
            Err(_) => true,
        }
    }
}

fn push_run(runs: &mut Vec<(BlockRange, bool)>, blocks: BlockRange, present: bool) {
    if blocks.is_empty() {
        return;
    }
    match runs.last_mut() {
        Some((last, same)) if *same == present && last.end() == blocks.start() => {
            *last = BlockRange::new(last.start(), blocks.end());
        }
        _ => runs.push((blocks, present)),
    }
}

impl Drop for CachedObject {
    fn drop(&mut self) {
        self.shared.objects.forget(self.name);
    }
}

impl fmt::Debug for CachedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedObject({})", self.id)
    }
}

/// A file of the cache that was given away; see [`CachedObject::hand_out`].
#[derive(Debug)]
pub struct HandedOut {
    file: OwnedFd,
    /// Holds the lock.
    _open: Arc<Open>,
}

impl HandedOut {
    /// The file, opened to be read.
    pub fn file(&self) -> BorrowedFd<'_> {
        use rustix::fd::AsFd;
        self.file.as_fd()
    }
}
