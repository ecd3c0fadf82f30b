//! What this process knows of the directory: how large each object is, when it was last used, which leaves first.

use std::collections::{HashMap, HashSet};

use crate::name::Name;
use crate::policy::Policy;

/// Objects that were touched while a scan went on: what it saw of them is out of date.
#[derive(Debug, Default)]
struct SinceScan {
    removed: HashSet<Name>,
    written: HashSet<Name>,
}

/// Objects by name. Objects that other processes added since the last scan are missing.
#[derive(Debug)]
pub(crate) struct Index {
    policy: Policy<Name>,
    /// When each map was last changed, as far as we know: one changed later was used by another process.
    changed: HashMap<Name, i64>,
    /// While a scan goes on: what this process did since it began.
    since_scan: Option<SinceScan>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            policy: Policy::new(),
            changed: HashMap::new(),
            since_scan: None,
        }
    }

    /// An object was written to by this process.
    pub(crate) fn set(&mut self, name: Name, bytes: u64, changed: i64) {
        self.policy.set(name, bytes);
        self.changed.insert(name, changed);
        self.will_write(name);
    }

    /// An object has another size now.
    pub(crate) fn resize(&mut self, name: Name, bytes: u64) {
        if self.policy.bytes_of(name).is_some() {
            self.policy.set(name, bytes);
            self.will_write(name);
        }
    }

    pub(crate) fn used(&mut self, name: Name) {
        self.policy.used(name);
    }

    /// A victim was changed at `changed`; tells whether that is news, and then counts it as a use.
    pub(crate) fn used_elsewhere(&mut self, name: Name, changed: i64) -> bool {
        match self.changed.get_mut(&name) {
            Some(known) if *known < changed => {
                *known = changed;
                self.policy.used(name);
                true
            }
            _ => false,
        }
    }

    /// This process changed the map of an object itself.
    pub(crate) fn changed(&mut self, name: Name, changed: i64) {
        if let Some(known) = self.changed.get_mut(&name) {
            *known = changed.max(*known);
        }
    }

    pub(crate) fn remove(&mut self, name: Name, evicted: bool) {
        self.policy.remove(name, evicted);
        self.changed.remove(&name);
        if let Some(since) = &mut self.since_scan {
            since.removed.insert(name);
        }
    }

    /// An object is about to grow, or did.
    pub(crate) fn will_write(&mut self, name: Name) {
        if let Some(since) = &mut self.since_scan {
            since.removed.remove(&name);
            since.written.insert(name);
        }
    }

    /// A scan begins; returns what is known.
    pub(crate) fn begin_scan(&mut self) -> HashSet<Name> {
        self.since_scan = Some(SinceScan::default());
        self.policy.keys().collect()
    }

    /// A scan found `objects` (name, bytes, time of change), the oldest first; `known` is what [`Index::begin_scan`] said. Takes
    /// over what is news, forgets what is gone, and returns bytes and number of the objects there are.
    pub(crate) fn end_scan(&mut self, objects: Vec<(Name, u64, i64)>, known: &HashSet<Name>) -> (u64, u64) {
        let since = self.since_scan.take().unwrap_or_default();
        let mut found = HashSet::with_capacity(objects.len());
        for (name, bytes, changed) in objects {
            if since.removed.contains(&name) {
                continue;
            }
            found.insert(name);
            if self.policy.bytes_of(name).is_none() {
                self.policy.restore(name, bytes);
                self.changed.insert(name, changed);
            } else if !since.written.contains(&name) {
                // Its time stays what it was: if others used it, the evictor sees that.
                self.policy.set(name, bytes);
            }
        }
        // What this process added stays, though the scan may have missed it.
        self.retain(|name| found.contains(&name) || !known.contains(&name));
        (self.bytes(), self.len() as u64)
    }

    pub(crate) fn victim(&mut self) -> Option<Name> {
        self.policy.victim()
    }

    pub(crate) fn park(&mut self, name: Name) {
        self.policy.park(name);
    }

    pub(crate) fn resume(&mut self) {
        self.policy.resume();
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.policy.bytes()
    }

    pub(crate) fn bytes_of(&self, name: Name) -> Option<u64> {
        self.policy.bytes_of(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.policy.len()
    }

    /// Forgets what `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(Name) -> bool) {
        let gone: Vec<Name> = self.policy.keys().filter(|name| !keep(*name)).collect();
        for name in gone {
            self.remove(name, false);
        }
    }
}
