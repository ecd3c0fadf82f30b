//! What this process knows of the directory: how large each object is, when it was last used, which leaves first.

use std::collections::{HashMap, HashSet};

use crate::name::Name;
use crate::policy::Policy;

/// Objects by name. Objects that other processes added since the last scan are missing.
#[derive(Debug)]
pub(crate) struct Index {
    policy: Policy<Name>,
    /// When each map was last changed, as far as we know: one changed later was used by another process.
    changed: HashMap<Name, i64>,
    /// While a scan goes on: what was removed since it began. What it saw of them is out of date.
    removed: Option<HashSet<Name>>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            policy: Policy::new(),
            changed: HashMap::new(),
            removed: None,
        }
    }

    /// An object was written to by this process.
    pub(crate) fn set(&mut self, name: Name, bytes: u64, changed: i64) {
        self.policy.set(name, bytes);
        self.changed.insert(name, changed);
        if let Some(removed) = &mut self.removed {
            removed.remove(&name);
        }
    }

    /// An object was found by a scan.
    fn restore(&mut self, name: Name, bytes: u64, changed: i64) {
        self.policy.restore(name, bytes);
        self.changed.insert(name, changed);
    }

    /// An object has another size now.
    pub(crate) fn resize(&mut self, name: Name, bytes: u64) {
        if self.policy.bytes_of(name).is_some() {
            self.policy.set(name, bytes);
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
        if let Some(removed) = &mut self.removed {
            removed.insert(name);
        }
    }

    /// A scan begins.
    pub(crate) fn begin_scan(&mut self) -> HashSet<Name> {
        self.removed = Some(HashSet::new());
        self.policy.keys().collect()
    }

    /// A scan found `objects` (name, bytes, time of change), the oldest first; `known` is what [`Index::begin_scan`] said. Drops
    /// from them what was removed since, forgets what is gone, and returns how many objects were added since and not found.
    pub(crate) fn end_scan(&mut self, objects: &mut Vec<(Name, u64, i64)>, known: &HashSet<Name>) -> u64 {
        let removed = self.removed.take().unwrap_or_default();
        objects.retain(|(name, _, _)| !removed.contains(name));
        let found: HashSet<Name> = objects.iter().map(|(name, _, _)| *name).collect();
        self.retain(|name| found.contains(&name) || !known.contains(&name));
        for (name, bytes, changed) in objects {
            self.used_elsewhere(*name, *changed);
            self.restore(*name, *bytes, *changed);
        }
        (self.len() - found.len()) as u64
    }

    pub(crate) fn victim(&mut self) -> Option<Name> {
        self.policy.victim()
    }

    pub(crate) fn pass_over(&mut self, name: Name) {
        self.policy.pass_over(name);
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
