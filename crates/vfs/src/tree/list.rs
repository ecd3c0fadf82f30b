//! A whole directory, asked of the namespace and entered into the table.

use std::sync::Arc;

use forebay_types::printable;

use super::dir::{Listing, Stray};
use super::look::entry_notice;
use super::merge::ByName;
use super::settle::settle;
use super::{Listed, Shared};
use crate::entry::Entry;
use crate::error::VfsError;
use crate::ino::Ino;
use crate::names::{self, Tidied};
use crate::place::Place;
use crate::snapshot::DirSnapshot;

impl Shared {
    /// Asks for all names of a directory.
    pub(super) async fn list(&self, place: &Arc<Place>, asked: u64) -> Listed {
        self.counters.lists.add(1);
        let begun = self.now();
        let listed = self.namespace.list(&place.path).await;
        let took = self.now().saturating_sub(begun);
        match listed {
            Ok(mut entries) => {
                let tidied = names::tidy(&mut entries);
                self.say(place, &tidied);
                Ok(self.install(place, entries, asked, took))
            }
            Err(error) => {
                if matches!(error, VfsError::NotFound { .. }) {
                    self.vanished(place, asked);
                }
                Err(error)
            }
        }
    }

    /// There is no such directory any more. Its name may stand for something else by now.
    fn vanished(&self, place: &Place, asked: u64) {
        if place.ino == Ino::ROOT {
            return;
        }
        let mut table = self.table();
        let Ok(inode) = table.node(place.ino).cloned() else {
            return;
        };
        let Some(held) = inode.vanish(asked) else {
            return;
        };
        table.with(&inode.dir, |above| {
            if above.lists(&inode) {
                above.doubt_listing();
            }
            if matches!(above.stray(&inode.name), Some(Stray::Found(stray)) if Arc::ptr_eq(stray, &inode)) {
                above.drop_stray(&inode.name);
            }
        });
        drop(table);
        if held {
            self.notices.send(vec![entry_notice(&inode.dir, &inode.name)]);
        }
    }

    /// Enters a tidy listing: all that is known of the directory is as it says now, except what was asked later.
    fn install(&self, place: &Arc<Place>, entries: Vec<Entry>, asked: u64, took: u64) -> Arc<DirSnapshot> {
        let now = self.now();
        let until = self.beliefs.listed(now, took);
        let (before, strays) = self.before(place);
        let before = before.as_ref().map_or(&[][..], |snapshot| snapshot.inodes());
        let mut merged = self.merge(place, entries, before, &strays, (asked, until));
        let newest = merged.inodes.iter().map(|inode| inode.modified()).max();
        let mut table = self.table();
        if let Ok(inode) = table.node(place.ino) {
            inode.listed(newest, asked, until);
        }
        let (snapshot, replaced) = table.with(place, |dir| {
            settle(dir, &mut merged, asked, now);
            let snapshot = Arc::new(DirSnapshot::new(
                place.clone(),
                std::mem::take(&mut merged.inodes),
            ));
            let listing = Listing {
                snapshot: snapshot.clone(),
                until,
                took,
                period: until.saturating_sub(now),
            };
            (snapshot, dir.set_listing(listing))
        });
        drop(table);
        // There may be a million nodes in it.
        drop(replaced);
        self.make_room(place.ino);
        self.notices.send(merged.notices);
        snapshot
    }

    /// The nodes that are known in a directory: those of its listing, and those known by their single names.
    fn before(&self, place: &Place) -> (Option<Arc<DirSnapshot>>, ByName) {
        let table = self.table();
        let Some(dir) = table.dir_at(place.ino) else {
            return (None, ByName::new());
        };
        let strays = dir.strays().filter_map(|(name, stray)| match stray {
            Stray::Found(inode) => Some((name.clone(), inode.clone())),
            Stray::Missing { .. } => None,
        });
        let listing = dir.listing().map(|listing| listing.snapshot.clone());
        (listing, strays.collect())
    }

    /// Counts what a listing could not show, and says it the first time.
    fn say(&self, place: &Place, tidied: &Tidied) {
        if let Some((name, why)) = &tidied.first_skipped
            && self.counters.skipped.add(tidied.skipped) == 0
        {
            tracing::warn!(
                directory = %place.path,
                name = %printable(name),
                "left out, and all below it: no file can have this name, {why} (said once, counted always)"
            );
        }
        if let Some(name) = &tidied.first_shadowed
            && self.counters.shadowed.add(tidied.shadowed) == 0
        {
            tracing::warn!(
                directory = %place.path,
                name = %printable(name),
                "left out: a directory has the same name as this file (said once, counted always)"
            );
        }
    }
}
