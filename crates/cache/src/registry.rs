//! The objects of this process: who has which, and which are open.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use forebay_types::ObjectId;

use crate::name::Name;
use crate::object::CachedObject;

/// The versions of a name that somebody has.
type Versions = Vec<(ObjectId, Weak<CachedObject>)>;

/// The objects that somebody has, by name. One for each version.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: Mutex<HashMap<Name, Versions>>,
}

impl Registry {
    /// The object, made if nobody has it.
    pub(crate) fn object(
        &self,
        name: Name,
        id: &ObjectId,
        make: impl FnOnce() -> Arc<CachedObject>,
    ) -> Arc<CachedObject> {
        let mut by_name = self.lock();
        let versions = by_name.entry(name).or_default();
        if let Some(object) = versions
            .iter()
            .find(|(other, _)| other == id)
            .and_then(|(_, object)| object.upgrade())
        {
            return object;
        }
        versions.retain(|(_, object)| object.strong_count() > 0);
        let object = make();
        versions.push((id.clone(), Arc::downgrade(&object)));
        object
    }

    /// All versions of a name that somebody has.
    pub(crate) fn versions(&self, name: Name) -> Vec<Arc<CachedObject>> {
        let by_name = self.lock();
        let versions = by_name.get(&name).into_iter().flatten();
        versions.filter_map(|(_, object)| object.upgrade()).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<CachedObject>> {
        let by_name = self.lock();
        let objects = by_name.values().flatten();
        objects.filter_map(|(_, object)| object.upgrade()).collect()
    }

    /// An object of this name is gone.
    pub(crate) fn forget(&self, name: Name) {
        let mut by_name = self.lock();
        if let Some(versions) = by_name.get_mut(&name) {
            versions.retain(|(_, object)| object.strong_count() > 0);
            if versions.is_empty() {
                by_name.remove(&name);
            }
        }
    }

    /// No `Arc` of an object may be dropped under this lock: its drop takes it again.
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Versions>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The objects that are open, or were not long ago: kept alive, so that an object that is read again and again by others who each
/// let it go is neither opened nor checked again.
#[derive(Debug, Default)]
pub(crate) struct OpenList {
    objects: Mutex<Vec<Arc<CachedObject>>>,
}

impl OpenList {
    /// Adds an object; if there are more than `max`, those that were not used for longest are closed and let go.
    pub(crate) fn push(&self, object: Arc<CachedObject>, max: usize) {
        if object.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let surplus = {
            let mut objects = self.lock();
            objects.push(object);
            if objects.len() <= max {
                return;
            }
            // An eighth at once, so that the sort is paid by many. Of those used in the same moment the newest stay.
            objects.reverse();
            objects.sort_by_key(|object| std::cmp::Reverse(object.last_use.load(Ordering::Relaxed)));
            objects.split_off((max - max / 8).max(1))
        };
        for object in surplus {
            let_go(&object);
        }
    }

    /// Closes an object and lets it go.
    pub(crate) fn remove(&self, object: &Arc<CachedObject>) {
        let found = {
            let mut objects = self.lock();
            let at = objects.iter().position(|other| Arc::ptr_eq(other, object));
            at.map(|at| objects.swap_remove(at))
        };
        if let Some(object) = found {
            let_go(&object);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<CachedObject>> {
        self.lock().clone()
    }

    /// Lets all go, without closing those that others have.
    pub(crate) fn take_all(&self) -> Vec<Arc<CachedObject>> {
        let objects = std::mem::take(&mut *self.lock());
        for object in &objects {
            object.listed.store(false, Ordering::Release);
        }
        objects
    }

    /// Whether any is open.
    pub(crate) fn any_open(&self) -> bool {
        self.all().iter().any(|object| object.opened().is_some())
    }

    /// As for [`Registry`]: no `Arc` may be dropped under it.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CachedObject>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn let_go(object: &Arc<CachedObject>) {
    object.listed.store(false, Ordering::Release);
    object.detach();
}
