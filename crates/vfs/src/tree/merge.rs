//! A new listing and what was known before: nodes that are the same stay the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::Shared;
use super::notice::Notice;
use crate::entry::Entry;
use crate::inode::{Inode, Update};
use crate::place::Place;

/// Nodes by their names.
pub(super) type ByName = HashMap<Box<str>, Arc<Inode>>;

/// What a listing comes to.
pub(super) struct Merged {
    /// A node for each of its names.
    pub(super) inodes: Vec<Arc<Inode>>,
    /// Nodes that were listed before and are not any more.
    pub(super) vanished: Vec<Arc<Inode>>,
    pub(super) notices: Vec<Notice>,
}

impl Shared {
    /// Finds or makes the node of each entry. `entries` are tidy; `before` is the listing that was, sorted too; `strays`
    /// are nodes known by single names, which are newer than it. Takes no lock on the table: there may be a million.
    pub(super) fn merge(
        &self,
        place: &Arc<Place>,
        entries: Vec<Entry>,
        before: &[Arc<Inode>],
        strays: &ByName,
        (asked, until): (u64, u64),
    ) -> Merged {
        let mut merged = Merged {
            inodes: Vec::with_capacity(entries.len()),
            vanished: Vec::new(),
            notices: Vec::new(),
        };
        let mut before = before.iter().peekable();
        for Entry { name, node } in entries {
            while let Some(inode) = before.next_if(|inode| inode.name < name) {
                merged.vanished.push(inode.clone());
            }
            let listed = before.next_if(|inode| inode.name == name);
            let known = strays.get(&name).or(listed).filter(|inode| !inode.is_gone());
            if let Some(inode) = known {
                match inode.update(&node, asked, until) {
                    Update::Same | Update::Older | Update::Content(false) => {
                        merged.inodes.push(inode.clone());
                        continue;
                    }
                    Update::Content(true) => {
                        merged.notices.push(Notice::Content { ino: inode.ino });
                        merged.inodes.push(inode.clone());
                        continue;
                    }
                    Update::Other => merged.vanished.push(inode.clone()),
                }
            }
            let inode = self.new_inode(place.clone(), name, node, asked, until);
            merged.inodes.push(inode);
        }
        merged.vanished.extend(before.cloned());
        merged
    }
}
