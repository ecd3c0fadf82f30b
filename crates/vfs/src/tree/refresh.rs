//! What is not known, or not believed any more, is asked: one name, or its whole directory.

use std::sync::Arc;

use super::dir::Known;
use super::flight::Boarding;
use super::{Listed, Looked, Shared};
use crate::error::VfsError;
use crate::inode::Inode;
use crate::place::Place;

/// What to ask.
enum Question {
    /// The name, which was this the last time, by the answer to a question of that number.
    Name(Option<Arc<Inode>>, u64),
    /// The directory; answers to questions before this one are too old.
    Directory(u64),
}

impl Shared {
    /// What `name` stands for now. `was` is what it is known as to the kernel.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        place: &Arc<Place>,
        name: &str,
        was: Option<&Arc<Inode>>,
    ) -> Looked {
        match self.question(place, name, was) {
            Question::Name(was, since) => self.look_shared(place, name, was, since).await,
            Question::Directory(since) => {
                let snapshot = match self.list_shared(place, since).await {
                    // Without the directory there are no names in it.
                    Err(VfsError::NotFound { .. }) => return Ok(None),
                    listed => listed?,
                };
                // A single name may be known better than by the listing.
                let now = self.now();
                let table = self.table();
                let found = match table.dir_at(place.ino).map(|dir| dir.known(name, now)) {
                    Some(Known::Found(inode)) => Some(inode.clone()),
                    Some(Known::Missing { .. } | Known::NotListed { .. }) => None,
                    Some(Known::Nothing) | None => snapshot.find(name).cloned(),
                };
                drop(table);
                Ok(found.filter(|inode| !inode.is_gone()))
            }
        }
    }

    fn question(&self, place: &Arc<Place>, name: &str, was: Option<&Arc<Inode>>) -> Question {
        let now = self.now();
        let table = self.table();
        let Some(dir) = table.dir_at(place.ino) else {
            return Question::Name(was.cloned(), was.map_or(0, |inode| inode.asked()));
        };
        let (was, since) = match dir.known(name, now) {
            Known::Found(inode) => (Some(inode.clone()), inode.asked()),
            Known::Missing { asked, .. } => (None, asked),
            Known::NotListed { .. } | Known::Nothing => (was.cloned(), was.map_or(0, |inode| inode.asked())),
        };
        let listing_is_due = dir
            .listing()
            .is_some_and(|listing| dir.habit.wants_listing(now, listing.took, listing.period));
        if listing_is_due {
            Question::Directory(since)
        } else {
            Question::Name(was, since)
        }
    }

    /// Asks for one name, or waits with others for it.
    async fn look_shared(
        self: &Arc<Self>,
        place: &Arc<Place>,
        name: &str,
        was: Option<Arc<Inode>>,
        since: u64,
    ) -> Looked {
        let asked = self.ask();
        let key = (place.ino, name.into());
        let begin = || {
            let (shared, place, name) = (self.clone(), place.clone(), name.into());
            async move { shared.look(&place, name, was, asked).await }
        };
        let (flight, boarding) = self.looks.board(key, since, asked, begin);
        self.joined(boarding);
        flight.await
    }

    /// Asks for a directory, or waits with others for it.
    pub(super) async fn list_shared(self: &Arc<Self>, place: &Arc<Place>, since: u64) -> Listed {
        let asked = self.ask();
        let begin = || {
            let (shared, place) = (self.clone(), place.clone());
            async move { shared.list(&place, asked).await }
        };
        let (flight, boarding) = self.lists.board(place.ino, since, asked, begin);
        self.joined(boarding);
        flight.await
    }

    fn joined(&self, boarding: Boarding) {
        if boarding == Boarding::Joined {
            self.counters.joined.add(1);
        }
    }
}
