//! What is remembered of the names in one directory.

use std::collections::HashMap;
use std::sync::Arc;

use super::habit::Habit;
use crate::inode::Inode;
use crate::place::Place;
use crate::snapshot::DirSnapshot;

/// Strays before the first look at which of them can go.
const FIRST_SWEEP: usize = 64;

/// What is remembered of one directory: its last listing, and what is known of single names beside it.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) place: Arc<Place>,
    listing: Option<Listing>,
    /// Names that the listing does not have, or says something older about.
    strays: HashMap<Box<str>, Stray>,
    pub(super) habit: Habit,
    /// When it was used last, in steps of the table.
    pub(super) used: u64,
    sweep_at: usize,
}

/// A listing, and for how long it is complete.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) snapshot: Arc<DirSnapshot>,
    pub(super) until: u64,
    /// How long it took, and for how long such a listing is believed.
    pub(super) took: u64,
    pub(super) period: u64,
}

/// What is known of a single name.
#[derive(Clone, Debug)]
pub(super) enum Stray {
    Found(Arc<Inode>),
    /// There is none, by the answer to question `asked`; believed until `until`.
    Missing {
        asked: u64,
        until: u64,
    },
}

/// What is known of a name, believed or not.
#[derive(Debug)]
pub(super) enum Known<'a> {
    Found(&'a Arc<Inode>),
    /// It was asked for alone.
    Missing {
        asked: u64,
        until: u64,
    },
    /// A listing that is believed does not have it.
    NotListed {
        until: u64,
    },
    Nothing,
}

impl Dir {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self {
            place,
            listing: None,
            strays: HashMap::new(),
            habit: Habit::default(),
            used: 0,
            sweep_at: FIRST_SWEEP,
        }
    }

    /// What it counts for.
    pub(super) fn weight(&self) -> usize {
        1 + self.strays.len() + self.listing.as_ref().map_or(0, |listing| listing.snapshot.len())
    }

    pub(super) fn known(&self, name: &str, now: u64) -> Known<'_> {
        match self.strays.get(name) {
            Some(Stray::Found(inode)) => return Known::Found(inode),
            Some(&Stray::Missing { asked, until }) => return Known::Missing { asked, until },
            None => {}
        }
        let Some(listing) = &self.listing else {
            return Known::Nothing;
        };
        match listing.snapshot.find(name) {
            Some(inode) if !inode.is_gone() => Known::Found(inode),
            None if listing.until > now => Known::NotListed { until: listing.until },
            Some(_) | None => Known::Nothing,
        }
    }

    pub(super) fn listing(&self) -> Option<&Listing> {
        self.listing.as_ref()
    }

    /// The listing, if it is believed.
    pub(super) fn fresh_listing(&self, now: u64) -> Option<&Arc<DirSnapshot>> {
        let listing = self.listing.as_ref().filter(|listing| listing.until > now);
        listing.map(|listing| &listing.snapshot)
    }

    /// Something was found out that the listing does not know: it is not complete any more.
    pub(super) fn doubt_listing(&mut self) {
        if let Some(listing) = &mut self.listing {
            listing.until = 0;
        }
    }

    /// Whether the listing, believed or not, has this node.
    pub(super) fn lists(&self, inode: &Arc<Inode>) -> bool {
        let listing = self.listing.as_ref();
        let found = listing.and_then(|listing| listing.snapshot.find(&inode.name));
        found.is_some_and(|found| Arc::ptr_eq(found, inode))
    }

    pub(super) fn set_listing(&mut self, listing: Listing) -> Option<Listing> {
        self.habit = Habit::default();
        self.listing.replace(listing)
    }

    /// Forgets the listing. Of its nodes those that the kernel holds stay known.
    pub(super) fn take_listing(&mut self) -> Option<Listing> {
        let listing = self.listing.take()?;
        for inode in listing.snapshot.inodes() {
            if inode.is_held() && !inode.is_gone() && !self.strays.contains_key(&inode.name) {
                self.strays
                    .insert(inode.name.clone(), Stray::Found(inode.clone()));
            }
        }
        Some(listing)
    }

    /// Remembers a single name. From time to time those go that are of no use any more.
    pub(super) fn put_stray(&mut self, name: Box<str>, stray: Stray, now: u64) {
        self.strays.insert(name, stray);
        if self.strays.len() >= self.sweep_at {
            self.strays.retain(|_, stray| match stray {
                Stray::Found(inode) => inode.is_held() || inode.is_fresh(now),
                Stray::Missing { until, .. } => *until > now,
            });
            self.sweep_at = FIRST_SWEEP.max(2 * self.strays.len());
        }
    }

    pub(super) fn stray(&self, name: &str) -> Option<&Stray> {
        self.strays.get(name)
    }

    pub(super) fn strays(&self) -> impl Iterator<Item = (&Box<str>, &Stray)> {
        self.strays.iter()
    }

    pub(super) fn drop_stray(&mut self, name: &str) {
        self.strays.remove(name);
    }

    /// Forgets all that the kernel does not hold.
    pub(super) fn drop_idle_strays(&mut self) {
        self.strays
            .retain(|_, stray| matches!(stray, Stray::Found(inode) if inode.is_held()));
        self.strays.shrink_to_fit();
        self.sweep_at = FIRST_SWEEP.max(2 * self.strays.len());
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.listing.is_none() && self.strays.is_empty()
    }

    /// Whether the kernel holds a node that only this knows by its name.
    pub(super) fn has_held_strays(&self) -> bool {
        self.strays
            .values()
            .any(|stray| matches!(stray, Stray::Found(inode) if inode.is_held()))
    }
}
