//! One name, asked of the namespace and entered into the table.

use std::sync::Arc;

use super::dir::{Known, Stray};
use super::notice::Notice;
use super::table::Table;
use super::{Looked, Shared};
use crate::entry::Node;
use crate::inode::{Inode, Update};
use crate::place::Place;

/// The answer to a question about one name.
struct Answer {
    name: Box<str>,
    node: Option<Node>,
    /// Which question.
    asked: u64,
    /// How long it took, in nanoseconds.
    took: u64,
}

impl Shared {
    /// Asks for one name. `was` is what the kernel knows it as.
    pub(super) async fn look(
        &self,
        place: &Arc<Place>,
        name: Box<str>,
        was: Option<Arc<Inode>>,
        asked: u64,
    ) -> Looked {
        self.counters.looks.add(1);
        let begun = self.now();
        let kind = was.as_ref().map(|inode| inode.kind());
        let node = self.namespace.look(&place.path, &name, kind).await?;
        let took = self.now().saturating_sub(begun);
        let answer = Answer {
            name,
            node,
            asked,
            took,
        };
        Ok(self.enter(place, was, answer))
    }

    /// Enters the answer about one name, and tells which node it means.
    fn enter(&self, place: &Arc<Place>, was: Option<Arc<Inode>>, answer: Answer) -> Option<Arc<Inode>> {
        let mut notices = Vec::new();
        let found = self.enter_into(&mut self.table(), place, was, answer, &mut notices);
        self.make_room(place.ino);
        self.notices.send(notices);
        found
    }

    fn enter_into(
        &self,
        table: &mut Table,
        place: &Arc<Place>,
        was: Option<Arc<Inode>>,
        answer: Answer,
        notices: &mut Vec<Notice>,
    ) -> Option<Arc<Inode>> {
        let now = self.now();
        let Answer {
            name,
            node,
            asked,
            took,
        } = answer;
        let until = self.beliefs.found(now);
        let missing_until = self.beliefs.missing(now);
        table.with(place, |dir| {
            if let Some(period) = dir.listing().map(|listing| listing.period) {
                dir.habit.looked(now, took, period);
            }
            let mut was_missing = false;
            let was = match dir.known(&name, now) {
                Known::Found(inode) => Some(inode.clone()),
                // A newer answer is here already.
                Known::Missing { asked: newer, .. } if newer > asked => return None,
                Known::Missing { until, .. } => {
                    was_missing = until > now;
                    None
                }
                Known::NotListed { .. } => {
                    was_missing = true;
                    was
                }
                Known::Nothing => was,
            };
            let was = was.filter(|inode| !inode.is_gone());
            let Some(node) = node else {
                let gone = was.as_ref().map(|inode| inode.vanish(asked));
                // A newer answer says that it is there.
                if gone == Some(None) {
                    return was;
                }
                if gone == Some(Some(true)) {
                    notices.push(entry_notice(place, &name));
                }
                if was.is_some_and(|inode| dir.lists(&inode)) {
                    dir.doubt_listing();
                }
                let missing = Stray::Missing {
                    asked,
                    until: missing_until,
                };
                dir.put_stray(name, missing, now);
                return None;
            };
            if let Some(inode) = was {
                match inode.update(&node, asked, until) {
                    Update::Same | Update::Older | Update::Content(false) => return Some(inode),
                    Update::Content(true) => {
                        notices.push(Notice::Content { ino: inode.ino });
                        return Some(inode);
                    }
                    Update::Other => was_missing |= inode.vanish(asked) == Some(true),
                }
            }
            if was_missing {
                notices.push(entry_notice(place, &name));
            }
            // If there is a listing, it does not have this.
            dir.doubt_listing();
            let inode = self.new_inode(place.clone(), name.clone(), node, asked, until);
            dir.put_stray(name, Stray::Found(inode.clone()), now);
            Some(inode)
        })
    }
}

pub(super) fn entry_notice(place: &Place, name: &str) -> Notice {
    Notice::Entry {
        parent: place.ino,
        name: name.into(),
    }
}
