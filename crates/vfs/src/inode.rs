//! A node of the tree: a name in a directory, its number, and what is known of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay_types::Version;

use crate::attr::Attr;
use crate::difference::{self, Difference};
use crate::entry::{FileMeta, Node};
use crate::freshness::{left, nanos};
use crate::ino::{Ino, Kind};
use crate::place::Place;

/// A node. What it stands for, number, place and kind, never changes; what is known of it does. Listings and the table
/// of what the kernel holds share it. Small, because there is one for each name of a listing.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) ino: Ino,
    /// Where its name stands.
    pub(crate) dir: Arc<Place>,
    pub(crate) name: Box<str>,
    state: Mutex<State>,
}

/// Locked after the table, never the other way round.
#[derive(Debug)]
struct State {
    what: What,
    /// Nanoseconds since 1970.
    modified: u64,
    /// Which question told this; answers to earlier ones are old.
    asked: u64,
    /// Until when it is believed.
    until: u64,
    executable: bool,
    /// The name stands for something else now, or for nothing.
    gone: bool,
    /// The kernel has references.
    held: bool,
    /// The kernel was given the attributes since the last notice.
    told: bool,
    /// How often it is open: as long as it is, it stays the version that it is.
    opens: u64,
}

#[derive(Debug)]
enum What {
    Dir {
        /// Made when it is first needed: most directories of a listing are never entered.
        place: Option<Arc<Place>>,
    },
    File {
        size: u64,
        version: Version,
    },
    Symlink {
        target: Box<str>,
    },
}

/// What a newer answer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// It is as it was, or its attributes differ.
    Same,
    /// It has other bytes; the flag says that the kernel thinks otherwise.
    Content(bool),
    /// The answer is older than what is known.
    Older,
    /// It is something else, or has other bytes while it is open: nothing was updated.
    Other,
}

impl Inode {
    /// `modified` is for what has no time of its own.
    pub(crate) fn new(
        ino: Ino,
        dir: Arc<Place>,
        name: Box<str>,
        node: Node,
        modified: u64,
        (asked, until): (u64, u64),
    ) -> Self {
        let (what, modified, executable) = match node {
            Node::Dir => (What::Dir { place: None }, modified, false),
            Node::Symlink { target } => (What::Symlink { target }, modified, false),
            Node::File(meta) => {
                let (size, version) = (meta.size, meta.version);
                (
                    What::File { size, version },
                    nanos(meta.modified),
                    meta.executable,
                )
            }
        };
        let state = State {
            what,
            modified,
            asked,
            until,
            executable,
            gone: false,
            held: false,
            told: false,
            opens: 0,
        };
        Self {
            ino,
            dir,
            name,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.state().what.kind()
    }

    /// Safe to print.
    pub(crate) fn path(&self) -> Box<str> {
        self.dir.path.shown(&self.name)
    }

    /// Where the names in it stand, if it is a directory.
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        let mut state = self.state();
        let What::Dir { place } = &mut state.what else {
            return None;
        };
        let place = place.get_or_insert_with(|| {
            if self.ino == Ino::ROOT {
                return self.dir.clone();
            }
            Arc::new(self.dir.child(self.ino, &self.name))
        });
        Some(place.clone())
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.dir.is_gone() || self.state().gone
    }

    pub(crate) fn is_held(&self) -> bool {
        self.state().held
    }

    /// Which question told what is known.
    pub(crate) fn asked(&self) -> u64 {
        self.state().asked
    }

    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        let state = self.state();
        !state.gone && state.until > now
    }

    /// What the kernel is to be told.
    pub(crate) fn tell(&self, now: u64) -> Attr {
        let mut state = self.state();
        state.told = true;
        self.attr_of(&state, now)
    }

    /// The same without the kernel hearing of it.
    pub(crate) fn attr(&self, now: u64) -> Attr {
        self.attr_of(&self.state(), now)
    }

    fn attr_of(&self, state: &State, now: u64) -> Attr {
        let (size, nlink, version) = match &state.what {
            What::Dir { .. } => (0, 2, Version::Unknown),
            What::File { size, version } => (*size, 1, version.clone()),
            What::Symlink { target } => (target.len() as u64, 1, Version::Unknown),
        };
        Attr {
            ino: self.ino,
            kind: state.what.kind(),
            size,
            modified: Duration::from_nanos(state.modified),
            executable: state.executable,
            nlink,
            version,
            valid: if state.gone {
                Duration::ZERO
            } else {
                left(state.until, now)
            },
        }
    }

    /// What it is as a file, if it is one.
    pub(crate) fn file(&self) -> Option<FileMeta> {
        let state = self.state();
        match &state.what {
            What::File { .. } => Some(state.file_meta()),
            What::Dir { .. } | What::Symlink { .. } => None,
        }
    }

    /// Where it points, if it is a symbolic link.
    pub(crate) fn link_target(&self) -> Option<Box<str>> {
        match &self.state().what {
            What::Symlink { target } => Some(target.clone()),
            What::Dir { .. } | What::File { .. } => None,
        }
    }

    /// Takes in the answer to question `asked`, believed until `until`.
    pub(crate) fn update(&self, node: &Node, asked: u64, until: u64) -> Update {
        let mut state = self.state();
        if state.asked > asked {
            return Update::Older;
        }
        if state.what.kind() != node.kind() {
            return Update::Other;
        }
        if let Node::File(meta) = node
            && state.opens > 0
            && difference::between(&state.file_meta(), meta) == Difference::Content
        {
            return Update::Other;
        }
        (state.asked, state.until) = (asked, until);
        match node {
            Node::Dir => Update::Same,
            Node::Symlink { target } => {
                let same = matches!(&state.what, What::Symlink { target: old } if old == target);
                if same {
                    return Update::Same;
                }
                state.what = What::Symlink {
                    target: target.clone(),
                };
                Update::Content(std::mem::take(&mut state.told))
            }
            Node::File(meta) => {
                let difference = difference::between(&state.file_meta(), meta);
                match difference {
                    Difference::None => return Update::Same,
                    Difference::Attributes => {}
                    Difference::Content => {
                        let (size, version) = (meta.size, meta.version.clone());
                        state.what = What::File { size, version };
                    }
                }
                state.modified = nanos(meta.modified);
                state.executable = meta.executable;
                match difference {
                    Difference::Content => Update::Content(std::mem::take(&mut state.told)),
                    Difference::None | Difference::Attributes => Update::Same,
                }
            }
        }
    }

    /// A listing of it, as a directory, was the answer to question `asked`; the newest of its entries is from `newest`.
    pub(crate) fn listed(&self, newest: Option<u64>, asked: u64, until: u64) {
        let mut state = self.state();
        if let Some(newest) = newest {
            state.modified = newest;
        }
        if state.asked <= asked {
            state.asked = asked;
            state.until = state.until.max(until);
        }
    }

    /// Nanoseconds since 1970.
    pub(crate) fn modified(&self) -> u64 {
        self.state().modified
    }

    /// What is known is not believed any more, nor any answer to a question before `asked`. Tells whether the kernel
    /// believes it.
    pub(crate) fn doubt(&self, asked: u64) -> bool {
        let mut state = self.state();
        (state.asked, state.until) = (asked, 0);
        std::mem::take(&mut state.told)
    }

    /// By the answer to question `asked` it is not there any more. `None` if a newer answer says that it is; else
    /// whether the kernel holds it.
    pub(crate) fn vanish(&self, asked: u64) -> Option<bool> {
        let mut state = self.state();
        if state.asked > asked {
            return None;
        }
        (state.asked, state.until) = (asked, 0);
        if let What::Dir { place: Some(place) } = &state.what {
            place.vanish();
        }
        // Only the first to see it speaks of it.
        Some(!std::mem::replace(&mut state.gone, true) && state.held)
    }

    /// Somebody opened `version` of the file. Whether it is that still.
    pub(crate) fn opened(&self, version: &Version) -> bool {
        let mut state = self.state();
        let is_that = !state.gone && state.file_meta().version == *version;
        state.opens += u64::from(is_that);
        is_that
    }

    /// One open less.
    pub(crate) fn closed(&self) {
        let mut state = self.state();
        state.opens = state.opens.saturating_sub(1);
    }

    /// The kernel has references from now on, or none any more.
    pub(crate) fn hold(&self, held: bool) {
        let mut state = self.state();
        state.held = held;
        state.told &= held;
    }
}

impl State {
    /// Of a file.
    fn file_meta(&self) -> FileMeta {
        let (size, version) = match &self.what {
            What::File { size, version } => (*size, version.clone()),
            What::Dir { .. } | What::Symlink { .. } => (0, Version::Unknown),
        };
        FileMeta {
            size,
            modified: Duration::from_nanos(self.modified),
            version,
            executable: self.executable,
        }
    }
}

impl What {
    fn kind(&self) -> Kind {
        match self {
            Self::Dir { .. } => Kind::Dir,
            Self::File { .. } => Kind::File,
            Self::Symlink { .. } => Kind::Symlink,
        }
    }
}
