//! Random changes of names against a model of paths, with restarts between them, and every beginning of the journal.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rustix::io::Errno;

use super::*;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Dir { over: bool, mode: u32 },
    File { number: u32, lower: bool, data: bool },
    Link { number: u32 },
    Whiteout,
}

/// Paths and what is there: all that the kernel would see, told in another way.
#[derive(Clone, Debug, Default)]
struct Model {
    things: BTreeMap<String, Thing>,
    /// Of everything that is no directory, by its number: how many names lead there follows from `things`.
    modes: BTreeMap<u32, u32>,
    numbers: u32,
}

#[derive(Clone, Debug)]
enum Op {
    Mkdir(String),
    Create(String),
    Symlink(String),
    AdoptDir(String),
    AdoptFile(String),
    Hide(String),
    Link(String, String),
    Unlink(String, bool),
    Rmdir(String, bool),
    Rename(String, String, Rename, bool),
    Mode(String, u32),
    Data(String),
    Sync,
    Rewrite,
    Reopen,
    Kill,
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap()
}

impl Model {
    /// Whether names in the directory can hide lower ones; the error if it is none.
    fn over(&self, dir: &str) -> Result<bool, Errno> {
        match self.things.get(dir) {
            _ if dir.is_empty() => Ok(true),
            Some(Thing::Dir { over, .. }) => Ok(*over),
            Some(Thing::Whiteout) | None => Err(Errno::NOENT),
            Some(_) => Err(Errno::NOTDIR),
        }
    }

    fn thing(&self, path: &str) -> Result<Option<Thing>, Errno> {
        self.over(split(path).0)?;
        let thing = self.things.get(path);
        Ok(thing.filter(|thing| **thing != Thing::Whiteout).cloned())
    }

    fn put(&mut self, path: &str, thing: Thing) -> Result<(), Errno> {
        if self.thing(path)?.is_some() {
            return Err(Errno::EXIST);
        }
        self.things.insert(path.to_owned(), thing);
        Ok(())
    }

    fn number(&mut self, mode: u32) -> u32 {
        self.numbers += 1;
        self.modes.insert(self.numbers, mode);
        self.numbers
    }

    fn adopt(&mut self, path: &str, thing: Thing) -> Result<(), Errno> {
        let over = self.over(split(path).0)?;
        match self.things.get(path) {
            None if over => self.things.insert(path.to_owned(), thing),
            None | Some(Thing::Whiteout) => return Err(Errno::NOENT),
            // The same lower thing, known by the path in the tests.
            Some(Thing::Dir { over: true, .. }) if matches!(thing, Thing::Dir { .. }) => {
                return Err(Errno::ALREADY);
            }
            Some(Thing::File { lower: true, .. }) if matches!(thing, Thing::File { .. }) => {
                return Err(Errno::ALREADY);
            }
            Some(_) => return Err(Errno::EXIST),
        };
        Ok(())
    }

    fn empty(&self, dir: &str) -> bool {
        let below = format!("{dir}/");
        self.things
            .iter()
            .all(|(path, thing)| !path.starts_with(&below) || *thing == Thing::Whiteout)
    }

    fn remove(&mut self, path: &str, whiteout: bool) -> Result<(), Errno> {
        let below = format!("{path}/");
        self.things.retain(|other, _| !other.starts_with(&below));
        self.things.remove(path);
        if whiteout && self.over(split(path).0)? {
            self.things.insert(path.to_owned(), Thing::Whiteout);
        }
        Ok(())
    }

    fn lift(&mut self, path: &str) -> Vec<(String, Thing)> {
        let below = format!("{path}/");
        let all: Vec<_> = self
            .things
            .iter()
            .filter(|(other, _)| *other == path || other.starts_with(&below))
            .map(|(other, thing)| (other[path.len()..].to_owned(), thing.clone()))
            .collect();
        self.things
            .retain(|other, _| other != path && !other.starts_with(&below));
        all
    }

    fn drop_at(&mut self, path: &str, things: Vec<(String, Thing)>) {
        for (rest, thing) in things {
            self.things.insert(format!("{path}{rest}"), thing);
        }
    }

    fn same(a: &Thing, b: &Thing) -> bool {
        match (a, b) {
            (Thing::File { number: a, .. }, Thing::File { number: b, .. })
            | (Thing::Link { number: a }, Thing::Link { number: b }) => a == b,
            _ => false,
        }
    }

    fn rename(&mut self, from: &str, to: &str, how: Rename, whiteout: bool) -> Result<(), Errno> {
        let source = self.thing(from)?.ok_or(Errno::NOENT)?;
        let target = self.thing(to)?;
        let inside = |a: &str, b: &str| b.starts_with(&format!("{a}/"));
        if how == Rename::Exchange {
            let target = target.ok_or(Errno::NOENT)?;
            if inside(from, to) || inside(to, from) {
                return Err(Errno::INVAL);
            }
            if from != to && !Self::same(&source, &target) {
                let (a, b) = (self.lift(from), self.lift(to));
                self.drop_at(to, a);
                self.drop_at(from, b);
            }
            return Ok(());
        }
        if target.is_some() && how == Rename::NoReplace {
            return Err(Errno::EXIST);
        }
        if inside(from, to) {
            return Err(Errno::INVAL);
        }
        if let Some(target) = target {
            if from == to || Self::same(&source, &target) {
                return Ok(());
            }
            match (&source, &target) {
                (Thing::Dir { .. }, Thing::Dir { .. }) if !self.empty(to) => return Err(Errno::NOTEMPTY),
                (Thing::Dir { .. }, Thing::Dir { .. }) => {}
                (Thing::Dir { .. }, _) => return Err(Errno::NOTDIR),
                (_, Thing::Dir { .. }) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        self.lift(to);
        let all = self.lift(from);
        self.remove(from, whiteout)?;
        self.drop_at(to, all);
        Ok(())
    }

    fn go(&mut self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::Mkdir(path) => self.put(
                path,
                Thing::Dir {
                    over: false,
                    mode: 0o711,
                },
            ),
            Op::Create(path) => {
                let number = self.number(0o604);
                self.put(
                    path,
                    Thing::File {
                        number,
                        lower: false,
                        data: true,
                    },
                )
            }
            Op::Symlink(path) => {
                let number = self.number(0o777);
                self.put(path, Thing::Link { number })
            }
            Op::AdoptDir(path) => self.adopt(
                path,
                Thing::Dir {
                    over: true,
                    mode: 0o755,
                },
            ),
            Op::AdoptFile(path) => {
                let number = self.number(0o444);
                self.adopt(
                    path,
                    Thing::File {
                        number,
                        lower: true,
                        data: false,
                    },
                )
            }
            Op::Hide(path) => {
                let over = self.over(split(path).0)?;
                match self.things.get(path) {
                    Some(Thing::Whiteout) => return Err(Errno::NOENT),
                    Some(_) => return Err(Errno::EXIST),
                    None if !over => return Err(Errno::NOENT),
                    None => self.things.insert(path.clone(), Thing::Whiteout),
                };
                Ok(())
            }
            Op::Link(from, to) => {
                let thing = self.thing(from)?.ok_or(Errno::NOENT)?;
                if matches!(thing, Thing::Dir { .. }) {
                    return Err(Errno::PERM);
                }
                self.put(to, thing)
            }
            Op::Unlink(path, whiteout) => match self.thing(path)? {
                None => Err(Errno::NOENT),
                Some(Thing::Dir { .. }) => Err(Errno::ISDIR),
                Some(_) => self.remove(path, *whiteout),
            },
            Op::Rmdir(path, whiteout) => match self.thing(path)? {
                None => Err(Errno::NOENT),
                Some(Thing::Dir { .. }) if self.empty(path) => self.remove(path, *whiteout),
                Some(Thing::Dir { .. }) => Err(Errno::NOTEMPTY),
                Some(_) => Err(Errno::NOTDIR),
            },
            Op::Rename(from, to, how, whiteout) => self.rename(from, to, *how, *whiteout),
            Op::Mode(path, mode) => {
                match self.thing(path)?.ok_or(Errno::NOENT)? {
                    Thing::Dir { over, .. } => {
                        self.things.insert(path.clone(), Thing::Dir { over, mode: *mode });
                    }
                    Thing::File { number, .. } | Thing::Link { number } => {
                        self.modes.insert(number, *mode);
                    }
                    Thing::Whiteout => {}
                }
                Ok(())
            }
            Op::Data(path) => match self.thing(path)?.ok_or(Errno::NOENT)? {
                Thing::File { number, .. } => {
                    for thing in self.things.values_mut() {
                        if let Thing::File { number: n, data, .. } = thing
                            && *n == number
                        {
                            *data = true;
                        }
                    }
                    Ok(())
                }
                _ => Err(Errno::INVAL),
            },
            Op::Sync | Op::Rewrite | Op::Reopen | Op::Kill => Ok(()),
        }
    }

    fn dump(&self) -> BTreeMap<String, String> {
        let number = |thing: &Thing| match thing {
            Thing::File { number, .. } | Thing::Link { number } => Some(*number),
            _ => None,
        };
        let told = |path: &str, thing: &Thing| {
            let same = || {
                let all = self.things.iter();
                all.filter(|(_, other)| number(other).is_some() && number(other) == number(thing))
            };
            let node = |mode: u32| {
                format!(
                    "links={} mode={mode:o} {}",
                    same().count(),
                    same().next().unwrap().0
                )
            };
            match thing {
                Thing::Whiteout => "whiteout".to_owned(),
                Thing::Dir { over, mode } => format!("dir over={over} links=2 mode={mode:o} {path}"),
                Thing::File { number, lower, data } => {
                    format!("file lower={lower} data={data} {}", node(self.modes[number]))
                }
                Thing::Link { number } => format!("link {}", node(self.modes[number])),
            }
        };
        self.things
            .iter()
            .map(|(path, thing)| (path.clone(), told(path, thing)))
            .collect()
    }
}

/// Does `op` above; an answer of ALREADY stands for a thing that was adopted before.
fn go(upper: &Upper, op: &Op) -> Result<(), Errno> {
    let dir = |path: &str| -> Result<NodeId, Errno> {
        let (dir, _) = split(path);
        let id = at(upper, dir).ok_or(Errno::NOENT)?;
        Ok(id)
    };
    let name = |path: &'_ str| split(path).1.as_bytes().to_vec();
    let errno = |error: UpperError| error.errno();
    let known = |path: &str| at(upper, path);
    match op {
        Op::Mkdir(path) => upper
            .mkdir(dir(path)?, &name(path), new(0o711))
            .map(drop)
            .map_err(errno),
        Op::Create(path) => {
            let (_, file) = upper.create(dir(path)?, &name(path), new(0o604)).map_err(errno)?;
            write(&file, 0, b"new");
            Ok(())
        }
        Op::Symlink(path) => upper
            .symlink(dir(path)?, &name(path), b"target", new(0o777))
            .map(drop)
            .map_err(errno),
        Op::AdoptDir(path) => {
            let before = known(path);
            let id = upper
                .adopt_dir(dir(path)?, &name(path), "lower dir", attrs(0o755))
                .map_err(errno)?;
            if before == Some(id) {
                Err(Errno::ALREADY)
            } else {
                Ok(())
            }
        }
        Op::AdoptFile(path) => {
            let before = known(path);
            let id = upper
                .adopt_file(dir(path)?, &name(path), &origin("lower file", 10), attrs(0o444))
                .map_err(errno)?;
            if before == Some(id) {
                Err(Errno::ALREADY)
            } else {
                Ok(())
            }
        }
        Op::Hide(path) => upper.hide(dir(path)?, &name(path)).map_err(errno),
        Op::Link(from, to) => {
            dir_of(upper, from)?;
            let id = at(upper, from).ok_or(Errno::NOENT)?;
            if upper.kind(id).map_err(errno)? != NodeKind::Dir {
                dir_of(upper, to)?;
            }
            let to_dir = at(upper, split(to).0).unwrap_or(NodeId::ROOT);
            upper.link(id, to_dir, &name(to)).map_err(errno)
        }
        Op::Unlink(path, whiteout) => upper
            .unlink(dir(path)?, &name(path), *whiteout)
            .map(drop)
            .map_err(errno),
        Op::Rmdir(path, whiteout) => upper
            .rmdir(dir(path)?, &name(path), *whiteout)
            .map(drop)
            .map_err(errno),
        Op::Rename(from, to, how, whiteout) => {
            dir_of(upper, from)?;
            at(upper, from).ok_or(Errno::NOENT)?;
            upper
                .rename((dir(from)?, &name(from)), (dir(to)?, &name(to)), *how, *whiteout)
                .map(drop)
                .map_err(errno)
        }
        Op::Mode(path, mode) => {
            dir_of(upper, path)?;
            let id = at(upper, path).ok_or(Errno::NOENT)?;
            let set = SetAttrs {
                mode: Some(*mode),
                ..SetAttrs::default()
            };
            let told = upper.set_attrs(id, &set).map_err(errno)?;
            assert_eq!(told.attrs.mode, *mode);
            Ok(())
        }
        Op::Data(path) => {
            dir_of(upper, path)?;
            let id = at(upper, path).ok_or(Errno::NOENT)?;
            upper.data(id).map(drop).map_err(errno)
        }
        Op::Sync => upper.sync().map_err(errno),
        Op::Rewrite => upper.shared.rewrite().map_err(errno),
        Op::Reopen | Op::Kill => Ok(()),
    }
}

/// As the kernel looks it up: what is there must be a directory.
fn dir_of(upper: &Upper, path: &str) -> Result<(), Errno> {
    let id = at(upper, split(path).0).ok_or(Errno::NOENT)?;
    upper.entries(id).map(drop).map_err(|error| error.errno())
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
        .prop_map(|names| format!("/{}", names.join("/")))
}

fn how() -> impl Strategy<Value = Rename> {
    prop_oneof![
        2 => Just(Rename::Replace),
        1 => Just(Rename::NoReplace),
        1 => Just(Rename::Exchange)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => path().prop_map(Op::Mkdir),
        3 => path().prop_map(Op::Create),
        2 => path().prop_map(Op::Symlink),
        4 => path().prop_map(Op::AdoptDir),
        3 => path().prop_map(Op::AdoptFile),
        1 => path().prop_map(Op::Hide),
        3 => (path(), path()).prop_map(|(a, b)| Op::Link(a, b)),
        2 => (path(), any::<bool>()).prop_map(|(a, w)| Op::Unlink(a, w)),
        2 => (path(), any::<bool>()).prop_map(|(a, w)| Op::Rmdir(a, w)),
        6 => (path(), path(), how(), any::<bool>()).prop_map(|(a, b, how, w)| Op::Rename(a, b, how, w)),
        2 => (path(), 0u32..0o1000).prop_map(|(a, mode)| Op::Mode(a, mode)),
        1 => path().prop_map(Op::Data),
        1 => Just(Op::Sync),
        1 => Just(Op::Rewrite),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
    ]
}

/// Without what makes or removes files on disk, or the journal anew: any beginning of the journal can be opened.
fn journal_op() -> impl Strategy<Value = Op> {
    op().prop_map(|op| match op {
        Op::Create(path) | Op::Data(path) => Op::AdoptFile(path),
        Op::Rewrite | Op::Reopen | Op::Kill => Op::Sync,
        op => op,
    })
}

/// An answer that does not tell whether the directory of a path was missing or no directory: a look-up finds the one or
/// the other first.
fn agree(model: Result<(), Errno>, above: Result<(), Errno>) -> bool {
    let missing = |answer| matches!(answer, Err(Errno::NOENT | Errno::NOTDIR));
    model == above || missing(model) && missing(above)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn names_are_what_the_model_says(ops in prop::collection::vec(op(), 1..60), has_ledger in any::<bool>()) {
        let mut rig = Rig::with_ledger(has_ledger);
        let mut upper = rig.open();
        let mut model = Model::default();
        for op in &ops {
            let before = model.clone();
            let expected = model.go(op);
            if expected.is_err() {
                model = before;
            }
            let got = go(&upper, op);
            prop_assert!(agree(expected, got), "{op:?}: {got:?}, not {expected:?}");
            match op {
                Op::Reopen => {
                    drop(upper);
                    upper = rig.open();
                }
                Op::Kill => {
                    rig = { let killed = rig.killed(); drop(upper); killed };
                    upper = rig.open();
                }
                _ => {}
            }
            prop_assert_eq!(dump(&upper), model.dump(), "after {:?}", op);
        }
        // What nothing leads to is gone from the disk, at the next start at the latest.
        drop(upper);
        let upper = rig.open();
        let stats = upper.stats();
        let maps = rig.files().iter().filter(|file| file.ends_with(".map")).count();
        prop_assert_eq!(rig.files().len() - maps, stats.files as usize);
        let whiteouts = model.things.values().filter(|thing| **thing == Thing::Whiteout).count();
        prop_assert_eq!(stats.whiteouts, whiteouts as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_beginning_of_the_journal_is_what_was_then(
        ops in prop::collection::vec(journal_op(), 1..14),
        has_ledger in any::<bool>(),
    ) {
        let rig = Rig::with_ledger(has_ledger);
        let upper = rig.open();
        let len = || fs::metadata(rig.names()).unwrap().len();
        let mut states = vec![(len(), dump(&upper))];
        for op in &ops {
            let _ = go(&upper, op);
            states.push((len(), dump(&upper)));
        }
        drop(upper);
        let names = fs::read(rig.names()).unwrap();
        let begin = states[0].0 as usize;
        // All of them would be thousands: every cut within the last two records, and some of the others.
        let recent = states[states.len().saturating_sub(3)].0 as usize;
        for cut in (begin..=names.len()).filter(|cut| *cut >= recent || cut % 13 == 0) {
            let copy = rig.killed();
            fs::write(copy.names(), &names[..cut]).unwrap();
            let (_, expected) = states.iter().rfind(|(len, _)| *len as usize <= cut).unwrap();
            prop_assert_eq!(&dump(&copy.open()), expected, "cut at {}", cut);
            // And once more: what was cut off stays so.
            prop_assert_eq!(&dump(&copy.open()), expected, "cut at {}", cut);
        }
    }
}
