//! What the kernel's numbers stand for.

mod lower_ref;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attr::MergedAttr;
use super::error::MergedError;
use crate::ino::Ino;
use crate::overlay::{Hold, NodeId, Upper, UpperError};
use crate::tree::Tree;

pub(super) use lower_ref::LowerRef;

/// Set in the numbers of what the kernel met above. The tree counts from one on and never comes so far.
const ABOVE: u64 = 1 << 62;

/// All numbers of which the tree does not know everything. References to lower numbers are counted by the tree, also when
/// what they stand for came up.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) tree: Tree,
    /// Taken before the locks of the tree, never while anything is waited for.
    table: Mutex<Table>,
    /// Held while something comes up, until its number is known: nobody else may give it another one meanwhile. Taken
    /// before the table and before the locks of the changes above.
    raising: Mutex<()>,
}

#[derive(Debug, Default)]
struct Table {
    /// Nodes above that the kernel holds.
    nodes: HashMap<NodeId, Known>,
    /// Lower numbers that stand for something else than the tree says. Each is held in the tree.
    lower: HashMap<Ino, Lower>,
}

/// A node above.
#[derive(Debug)]
struct Known {
    ino: Ino,
    /// References of the kernel, if the number is not the tree's.
    refs: u64,
    _hold: Hold,
    /// The lower directory behind it, if that has another number than it.
    below: Option<Arc<LowerRef>>,
    /// The directory and the name in it under which it was found last.
    place: (NodeId, Box<[u8]>),
    /// The lower directory had no such name when it got it.
    is_free_below: bool,
}

#[derive(Debug)]
enum Lower {
    /// It came up; or it is the lower directory behind a node.
    Node(NodeId),
    /// It was removed; what it shows until the kernel forgets it.
    Gone(Box<MergedAttr>),
}

/// What a number is.
#[derive(Clone, Debug)]
pub(super) enum Side {
    /// The tree knows.
    Lower,
    Node(NodeId),
    /// A lower thing that was removed.
    Gone(Box<MergedAttr>),
}

impl Known {
    fn is_at(&self, (parent, name): (NodeId, &[u8])) -> bool {
        self.place.0 == parent && *self.place.1 == *name
    }
}

impl Numbers {
    pub(super) fn new(tree: Tree) -> Self {
        Self {
            tree,
            table: Mutex::default(),
            raising: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See the field.
    pub(super) fn raising(&self) -> MutexGuard<'_, ()> {
        self.raising.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> usize {
        self.table().nodes.len()
    }

    pub(super) fn side(&self, ino: Ino) -> Result<Side, MergedError> {
        if ino == Ino::ROOT {
            return Ok(Side::Node(NodeId::ROOT));
        }
        let table = self.table();
        if ino.0 & ABOVE != 0 {
            let id = NodeId(ino.0 & !ABOVE);
            let known = table.nodes.get(&id).is_some_and(|known| known.ino == ino);
            return known.then_some(Side::Node(id)).ok_or(MergedError::Stale { ino });
        }
        Ok(match table.lower.get(&ino) {
            None => Side::Lower,
            Some(Lower::Node(id)) => Side::Node(*id),
            Some(Lower::Gone(attr)) => Side::Gone(attr.clone()),
        })
    }

    pub(super) fn is_lower(&self, ino: Ino) -> bool {
        matches!(self.side(ino), Ok(Side::Lower))
    }

    pub(super) fn node(&self, ino: Ino) -> Option<NodeId> {
        match self.side(ino) {
            Ok(Side::Node(id)) => Some(id),
            Ok(Side::Lower | Side::Gone(_)) | Err(_) => None,
        }
    }

    /// The node that lies over a lower directory, and its number.
    pub(super) fn over(&self, lower: Ino) -> Option<(NodeId, Ino)> {
        let id = self.node(lower)?;
        Some((id, self.shown(id)))
    }

    /// The number of a node: the one that the kernel knows, or the one that it would be told.
    pub(super) fn shown(&self, id: NodeId) -> Ino {
        if id == NodeId::ROOT {
            return Ino::ROOT;
        }
        let table = self.table();
        table
            .nodes
            .get(&id)
            .map_or(Ino(ABOVE | id.get()), |known| known.ino)
    }

    /// The kernel is told of a node that was found as `name` in `parent`: one more reference to its number.
    pub(super) fn give(
        &self,
        upper: &Upper,
        id: NodeId,
        (parent, name): (NodeId, &[u8]),
    ) -> Result<Ino, UpperError> {
        if let Some(ino) = self.give_known(id, (parent, name)) {
            return Ok(ino);
        }
        let hold = upper.hold(id)?;
        let _alone = self.raising();
        if let Some(ino) = self.give_known(id, (parent, name)) {
            return Ok(ino);
        }
        let ino = Ino(ABOVE | id.get());
        let known = Known {
            ino,
            refs: 1,
            _hold: hold,
            below: None,
            place: (parent, name.into()),
            is_free_below: false,
        };
        let old = self.table().nodes.insert(id, known);
        // Gives a reference back, for which the table is locked.
        drop(old);
        Ok(ino)
    }

    fn give_known(&self, id: NodeId, (parent, name): (NodeId, &[u8])) -> Option<Ino> {
        let mut table = self.table();
        let known = table.nodes.get_mut(&id)?;
        if known.ino.0 & ABOVE != 0 {
            known.refs += 1;
        } else if !self.tree.hold(known.ino) {
            return None;
        }
        if !known.is_at((parent, name)) {
            known.place = (parent, name.into());
            known.is_free_below = false;
        }
        Some(known.ino)
    }

    /// A lower number, if the kernel holds it, stands for a node from now on. To be called while `raising` is held, unless
    /// the node lies over this lower directory already.
    pub(super) fn came_up(
        &self,
        upper: &Upper,
        ino: Ino,
        id: NodeId,
        (parent, name): (NodeId, &[u8]),
    ) -> Result<(), UpperError> {
        let hold = upper.hold(id)?;
        let mut table = self.table();
        if ino == Ino::ROOT || !self.tree.holds(ino) || table.nodes.contains_key(&id) {
            drop(table);
            return Ok(());
        }
        table.lower.insert(ino, Lower::Node(id));
        let known = Known {
            ino,
            refs: 0,
            _hold: hold,
            below: None,
            place: (parent, name.into()),
            is_free_below: false,
        };
        table.nodes.insert(id, known);
        Ok(())
    }

    /// A lower thing was removed. What it shows as long as the kernel holds it.
    pub(super) fn removed(&self, ino: Ino, attr: MergedAttr) {
        let mut table = self.table();
        if self.tree.holds(ino) && !matches!(table.lower.get(&ino), Some(Lower::Node(_))) {
            table.lower.insert(ino, Lower::Gone(Box::new(attr)));
        }
    }

    /// Changes what a lower thing shows that was removed.
    pub(super) fn change_gone(&self, ino: Ino, change: impl FnOnce(&mut MergedAttr)) -> Option<MergedAttr> {
        match self.table().lower.get_mut(&ino) {
            Some(Lower::Gone(attr)) => {
                change(attr);
                Some(**attr)
            }
            Some(Lower::Node(_)) | None => None,
        }
    }

    /// A node has a new name now, of which the lower directory was asked and has none, or not.
    pub(super) fn moved(&self, id: NodeId, (parent, name): (NodeId, &[u8]), is_free_below: bool) {
        if let Some(known) = self.table().nodes.get_mut(&id) {
            known.place = (parent, name.into());
            known.is_free_below = is_free_below;
        }
    }

    /// Whether a node has a name that the lower directory did not have when it got it.
    pub(super) fn is_free_below(&self, id: NodeId, place: (NodeId, &[u8])) -> bool {
        let table = self.table();
        let known = table.nodes.get(&id);
        known.is_some_and(|known| known.is_free_below && known.is_at(place))
    }

    /// Where a node was found last.
    pub(super) fn place(&self, id: NodeId) -> Option<(NodeId, Box<[u8]>)> {
        Some(self.table().nodes.get(&id)?.place.clone())
    }

    /// The number of the lower directory behind a node, if it is known and still stands for something.
    pub(super) fn below(&self, id: NodeId) -> Option<(Ino, Option<Arc<LowerRef>>)> {
        let table = self.table();
        let known = table.nodes.get(&id)?;
        if let Some(below) = &known.below {
            return self
                .tree
                .is_alive(below.ino())
                .then(|| (below.ino(), Some(below.clone())));
        }
        (known.ino.0 & ABOVE == 0 && self.tree.is_alive(known.ino)).then_some((known.ino, None))
    }

    /// Remembers the number of the lower directory behind a node.
    pub(super) fn set_below(&self, id: NodeId, below: &Arc<LowerRef>) {
        let mut table = self.table();
        let Table { nodes, lower } = &mut *table;
        let Some(known) = nodes.get_mut(&id) else {
            return;
        };
        if below.ino() != Ino::ROOT {
            lower.insert(below.ino(), Lower::Node(id));
        }
        let old = known.below.replace(below.clone());
        drop(table);
        // Gives a reference back, for which the table is locked.
        drop(old);
    }

    /// The kernel gave back references. Tells whether it has others.
    pub(super) fn forget(&self, ino: Ino, references: u64) -> bool {
        // What goes is dropped when the table is not locked any more: it gives references back itself.
        let (is_held, _gone) = self.forget_in(&mut self.table(), ino, references);
        is_held
    }

    fn forget_in(&self, table: &mut Table, ino: Ino, references: u64) -> (bool, Option<Known>) {
        if ino == Ino::ROOT {
            return (true, None);
        }
        if ino.0 & ABOVE != 0 {
            let id = NodeId(ino.0 & !ABOVE);
            let Some(known) = table.nodes.get_mut(&id).filter(|known| known.ino == ino) else {
                return (false, None);
            };
            known.refs = known.refs.saturating_sub(references);
            if known.refs > 0 {
                return (true, None);
            }
            return (false, table.nodes.remove(&id));
        }
        if self.tree.forget(ino, references) {
            return (true, None);
        }
        match table.lower.remove(&ino) {
            Some(Lower::Node(id)) if table.nodes.get(&id).is_some_and(|known| known.ino == ino) => {
                (false, table.nodes.remove(&id))
            }
            Some(Lower::Node(_) | Lower::Gone(_)) | None => (false, None),
        }
    }
}
