//! Any order of changes at the source and questions of a kernel: each answer is one that was right within the time that
//! answers are believed, numbers mean one thing, and the kernel hears of what it believes wrongly.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use forebay_source::{Opener, Source, SourceOptions};
use forebay_types::{Clock, ErrorKind, ManualClock, Version};
use forebay_vfs::{Attr, Changes, Ino, Kind, Notice, Tree, TreeOptions, VfsError};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::{lookup, namespace, try_lookup, within};

/// Few names, so that they meet.
const NAMES: [&str; 3] = ["a", "b", "c%20"];

#[derive(Clone, Debug)]
enum Step {
    Put(String),
    Delete(Index),
    /// Down from the root.
    Walk(String),
    /// A name below a node that the kernel has.
    Lookup(Index, usize),
    Attr(Index),
    /// Whether readdirplus; how much of it.
    ReadDir(Index, bool),
    /// How many references.
    Forget(Index, u64),
    Changed(Index),
    /// Milliseconds.
    Wait(u64),
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(0..NAMES.len(), 1..4).prop_map(|names| {
        names
            .iter()
            .map(|name| NAMES[*name])
            .collect::<Vec<_>>()
            .join("/")
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let node = any::<Index>;
    prop_oneof![
        4 => any_path().prop_map(Step::Put),
        3 => node().prop_map(Step::Delete),
        6 => any_path().prop_map(Step::Walk),
        4 => (node(), 0..NAMES.len()).prop_map(|(node, name)| Step::Lookup(node, name)),
        5 => node().prop_map(Step::Attr),
        5 => (node(), any::<bool>()).prop_map(|(node, plus)| Step::ReadDir(node, plus)),
        3 => (node(), 1u64..4).prop_map(|(node, count)| Step::Forget(node, count)),
        1 => node().prop_map(Step::Changed),
        4 => (0u64..700).prop_map(Step::Wait),
    ]
}

fn any_options() -> impl Strategy<Value = TreeOptions> {
    let ttl = prop_oneof![Just(0), Just(300), Just(1000)];
    let max_entries = prop_oneof![Just(0), Just(5), Just(1000)];
    (ttl, max_entries).prop_map(|(ttl, max_entries)| TreeOptions {
        ttl: Some(Duration::from_millis(ttl)),
        negative_ttl: None,
        max_entries,
    })
}

/// What the source holds: keys and their sizes, of which each is used once.
type State = BTreeMap<String, u64>;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Dir,
    File(u64),
    Nothing,
}

fn see(state: &State, path: &str) -> Seen {
    if path.is_empty() {
        return Seen::Dir;
    }
    let below = format!("{path}/");
    let first = state.range(below.clone()..).next();
    if first.is_some_and(|(key, _)| key.starts_with(&below)) {
        return Seen::Dir;
    }
    state.get(path).map_or(Seen::Nothing, |size| Seen::File(*size))
}

/// The names in a directory, and whether they are directories.
fn names(state: &State, path: &str) -> BTreeSet<(String, bool)> {
    let below = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    let rest = state.keys().filter_map(|key| key.strip_prefix(&below));
    let names: BTreeSet<&str> = rest.filter_map(|rest| rest.split('/').next()).collect();
    names
        .into_iter()
        .map(|name| {
            (
                name.to_owned(),
                see(state, &format!("{below}{name}")) == Seen::Dir,
            )
        })
        .collect()
}

/// What the kernel has of a node.
struct Held {
    path: String,
    kind: Kind,
    refs: u64,
    /// Which state was the last when it was first told.
    since: usize,
    told: Option<(u64, Version)>,
    /// The kernel forgot a directory above it, which it does by mistake of order only: below another number of that, it is
    /// another node.
    orphan: bool,
}

struct Model {
    tree: Tree,
    changes: Changes,
    source: Source,
    clock: ManualClock,
    ttl: Duration,
    /// With the moment at which each was made.
    states: Vec<(Duration, State)>,
    sizes: u64,
    held: HashMap<Ino, Held>,
    /// What every number ever meant, and in which directory.
    meant: HashMap<Ino, (String, Kind, Ino)>,
    /// Names that the kernel was told not to believe in.
    withdrawn: HashSet<(Ino, String)>,
    dead: HashSet<Ino>,
}

impl Model {
    fn new(options: TreeOptions) -> Self {
        let clock = ManualClock::default();
        clock.advance(Duration::from_secs(100));
        let source = Opener::new(SourceOptions::default()).memory();
        let namespace = Arc::new(namespace(source.clone()));
        let tree = Tree::new(namespace, options, Arc::new(clock.clone()));
        let root = Held {
            path: String::new(),
            kind: Kind::Dir,
            refs: 1,
            since: 0,
            told: None,
            orphan: false,
        };
        Self {
            changes: tree.changes(),
            tree,
            source,
            ttl: options.ttl.unwrap(),
            states: vec![(Duration::ZERO, State::new())],
            clock,
            sizes: 0,
            held: HashMap::from([(Ino::ROOT, root)]),
            meant: HashMap::new(),
            withdrawn: HashSet::new(),
            dead: HashSet::new(),
        }
    }

    fn now(&self) -> &State {
        &self.states.last().unwrap().1
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.now().clone();
        change(&mut state);
        self.states.push((self.clock.now(), state));
    }

    /// Whether some state that may still be believed is so.
    fn believable(&self, is_so: impl Fn(&State) -> bool) -> bool {
        let oldest = self.clock.now() - self.ttl;
        let ends = self
            .states
            .iter()
            .skip(1)
            .map(|(begun, _)| Some(*begun))
            .chain([None]);
        self.states
            .iter()
            .zip(ends)
            .filter(|(_, end)| end.is_none_or(|end| end > oldest))
            .any(|((_, state), _)| is_so(state))
    }

    /// One of the nodes that the kernel has.
    fn pick(&self, index: &Index) -> Ino {
        let mut inos: Vec<_> = self.held.keys().copied().collect();
        inos.sort_unstable();
        *index.get(&inos)
    }

    /// Notices take away what was told.
    fn hear(&mut self) {
        while let Some(notice) = self.changes.try_recv() {
            match notice {
                Notice::Content { ino } => {
                    let held = self.held.get_mut(&ino).expect("the kernel has it");
                    assert_eq!(held.kind, Kind::File);
                    held.told = None;
                }
                Notice::Entry { parent, name } => {
                    assert!(NAMES.contains(&&*name));
                    assert!(self.meant.contains_key(&parent) || parent == Ino::ROOT);
                    self.withdrawn.insert((parent, name.into()));
                }
            }
        }
    }

    /// The kernel was told this of a path; with a reference, if it is below `parent`.
    fn told(&mut self, path: &str, attr: &Attr, parent: Option<Ino>) {
        self.hear();
        let right = |state: &State| match (see(state, path), attr.kind) {
            (Seen::Dir, Kind::Dir) => true,
            (Seen::File(size), Kind::File) => size == attr.size,
            _ => false,
        };
        assert!(self.believable(right), "'{path}' is no {attr:?}");
        let first = |parent: Option<Ino>| (path.to_owned(), attr.kind, parent.unwrap_or(Ino::ROOT));
        let meant = self.meant.entry(attr.ino).or_insert_with(|| first(parent));
        assert_eq!((meant.0.as_str(), meant.1), (path, attr.kind));
        assert!(
            !self.dead.contains(&attr.ino),
            "{} is back from the dead",
            attr.ino
        );
        assert!(attr.valid <= self.ttl || attr.ino == Ino::ROOT);
        // A name that never was anything else has one number while the kernel has it.
        let is_orphan = |ino: &Ino| self.held.get(ino).is_some_and(|held| held.orphan);
        let orphan = is_orphan(&attr.ino) || parent.as_ref().is_some_and(is_orphan);
        for (ino, held) in self.held.iter().filter(|_| !orphan) {
            if held.path == path && *ino != attr.ino && !held.orphan {
                let never_else = self.states[held.since..]
                    .iter()
                    .all(|(_, state)| match see(state, path) {
                        Seen::Dir => held.kind == Kind::Dir,
                        Seen::File(_) => held.kind == Kind::File,
                        Seen::Nothing => false,
                    });
                assert!(!never_else, "'{path}' was {ino} and is {}", attr.ino);
            }
        }
        let since = self.oldest_believable();
        let held = self.held.entry(attr.ino).or_insert_with(|| Held {
            path: path.to_owned(),
            kind: attr.kind,
            refs: 0,
            since,
            told: None,
            orphan,
        });
        held.refs += u64::from(parent.is_some());
        let new = (attr.size, attr.version.clone());
        if attr.kind == Kind::File {
            if let Some(old) = &held.told {
                assert_eq!(*old, new, "nothing was said of the change of '{path}'");
            }
            held.told = Some(new);
        }
    }

    fn oldest_believable(&self) -> usize {
        let oldest = self.clock.now() - self.ttl;
        let begun = self.states.iter().rposition(|(begun, _)| *begun <= oldest);
        begun.unwrap_or(0)
    }

    /// The node is said to be gone: then it must have been something else at some time.
    fn gone(&mut self, ino: Ino) {
        self.hear();
        let held = &self.held[&ino];
        let other = self.states[held.since..]
            .iter()
            .any(|(_, state)| match see(state, &held.path) {
                Seen::Dir => held.kind != Kind::Dir,
                Seen::File(_) => held.kind != Kind::File,
                Seen::Nothing => true,
            });
        assert!(other, "'{}' was there all the time", held.path);
        assert!(
            held.orphan || self.is_withdrawn(ino),
            "nothing was said of the end of '{}'",
            held.path
        );
        self.dead.insert(ino);
    }

    /// Whether the kernel was told that the name of this is not what it was, or that of a directory above it.
    fn is_withdrawn(&self, ino: Ino) -> bool {
        let Some((path, _, parent)) = self.meant.get(&ino) else {
            return false;
        };
        let name = path.rsplit('/').next().unwrap();
        self.withdrawn.contains(&(*parent, name.to_owned())) || self.is_withdrawn(*parent)
    }

    async fn lookup(&mut self, parent: Ino, name: &str) -> Option<Ino> {
        let above = &self.held[&parent];
        let path = match above.path.as_str() {
            "" => name.to_owned(),
            above => format!("{above}/{name}"),
        };
        let kind = above.kind;
        let answer = match try_lookup(&self.tree, parent, name) {
            Some(answer) => answer,
            None => lookup(&self.tree, parent, name).await,
        };
        match answer {
            Ok(attr) => {
                assert_eq!(kind, Kind::Dir);
                self.told(&path, &attr, Some(parent));
                Some(attr.ino)
            }
            Err(VfsError::NotFound { valid, .. }) => {
                self.hear();
                assert!(valid <= self.ttl);
                // If the directory itself is gone, it has no names.
                assert!(
                    self.believable(|state| see(state, &path) == Seen::Nothing),
                    "'{path}' is there"
                );
                None
            }
            Err(VfsError::Stale { ino }) => {
                assert_eq!(ino, parent);
                self.gone(parent);
                None
            }
            Err(error) => {
                assert!(
                    kind != Kind::Dir && error.kind() == ErrorKind::Invalid,
                    "{error:?}"
                );
                None
            }
        }
    }

    async fn attr(&mut self, ino: Ino) {
        let answer = match self.tree.try_attr(ino) {
            Some(answer) => answer,
            None => within(self.tree.attr(ino)).await,
        };
        match answer {
            Ok(attr) => {
                assert_eq!(attr.ino, ino);
                let path = self.held[&ino].path.clone();
                if ino != Ino::ROOT {
                    self.told(&path, &attr, None);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Changed, "{error:?}");
                self.gone(ino);
            }
        }
    }

    async fn read_dir(&mut self, ino: Ino, plus: bool) {
        let answer = match self.tree.try_read_dir(ino) {
            Some(answer) => answer,
            None => within(self.tree.read_dir(ino)).await,
        };
        let path = self.held[&ino].path.clone();
        let snapshot = match answer {
            Ok(snapshot) => snapshot,
            Err(VfsError::NotADirectory { .. }) => {
                assert_eq!(self.held[&ino].kind, Kind::File);
                return;
            }
            // It is found out now, or was before.
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Changed),
                    "{error:?}"
                );
                return self.gone(ino);
            }
        };
        self.hear();
        let listed: BTreeSet<(String, bool)> = snapshot
            .iter_from(0)
            .map(|entry| (entry.name.to_owned(), entry.kind == Kind::Dir))
            .collect();
        assert!(
            self.believable(|state| names(state, &path) == listed),
            "'{path}' has not {listed:?}"
        );
        for (index, entry) in snapshot.iter_from(0).enumerate().filter(|_| plus) {
            let path = match path.as_str() {
                "" => entry.name.to_owned(),
                path => format!("{path}/{}", entry.name),
            };
            if let Some(attr) = self.tree.refer(&snapshot, index) {
                self.told(&path, &attr, Some(ino));
            }
        }
    }

    fn forget(&mut self, ino: Ino, count: u64) {
        let held = self.held.get_mut(&ino).unwrap();
        let count = count.min(held.refs);
        self.tree.forget(ino, count);
        if ino == Ino::ROOT {
            return;
        }
        held.refs -= count;
        if held.refs == 0 {
            if let Some(held) = self.held.remove(&ino) {
                let below = format!("{}/", held.path);
                let orphans = self
                    .held
                    .values_mut()
                    .filter(|held| held.path.starts_with(&below));
                orphans.for_each(|held| held.orphan = true);
            }
            assert_eq!(
                self.tree.try_attr(ino).unwrap().unwrap_err().kind(),
                ErrorKind::Changed
            );
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Put(key) => {
                self.sizes += 1;
                let (path, size) = (Path::parse(&key).unwrap(), self.sizes);
                let bytes = vec![0; size as usize];
                self.source.store.put(&path, bytes.into()).await.unwrap();
                self.change(|state| {
                    state.insert(key, size);
                });
            }
            Step::Delete(index) => {
                let keys: Vec<String> = self.now().keys().cloned().collect();
                if keys.is_empty() {
                    return;
                }
                let key = index.get(&keys).clone();
                self.source
                    .store
                    .delete(&Path::parse(&key).unwrap())
                    .await
                    .unwrap();
                self.change(|state| {
                    state.remove(&key);
                });
            }
            Step::Walk(path) => {
                let mut at = Ino::ROOT;
                for name in path.split('/') {
                    match self.lookup(at, name).await {
                        Some(ino) => at = ino,
                        None => break,
                    }
                }
            }
            Step::Lookup(node, name) => {
                self.lookup(self.pick(&node), NAMES[name]).await;
            }
            Step::Attr(node) => self.attr(self.pick(&node)).await,
            Step::ReadDir(node, plus) => self.read_dir(self.pick(&node), plus).await,
            Step::Forget(node, count) => self.forget(self.pick(&node), count),
            Step::Changed(node) => {
                self.tree.changed(self.pick(&node));
                self.hear();
            }
            Step::Wait(ms) => self.clock.advance(Duration::from_millis(ms)),
        }
        assert_eq!(self.tree.stats().nodes as usize, self.held.len());
    }

    fn end(mut self) {
        for ino in self.held.keys().copied().collect::<Vec<_>>() {
            self.forget(ino, u64::MAX);
        }
        assert_eq!(self.tree.stats().nodes, 1);
    }
}

proptest! {
    #[test]
    fn every_answer_was_right_a_moment_ago(
        options in any_options(),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new(options);
            for step in steps {
                model.take(step).await;
            }
            model.end();
        });
    }
}
