//! Anything that programs do, in a mount with something below and in a plain directory that began with the same files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use forebay_mount::IoMode;
use proptest::prelude::*;
use rustix::fs::{CWD, FallocateFlags, RenameFlags, SeekFrom, XattrFlags};

use super::{How, Overlaid, served};
use crate::shared::{Place, Thing, see};
use crate::world::{World, noise};

const NAMES: [&str; 9] = ["a", "b", "d", "d/x", "d/y", "d/e", "d/e/z", "n", "d/n"];
const BELOW: [(&str, u64); 5] = [
    ("a", 200_000),
    ("b", 0),
    ("d/x", 65_536),
    ("d/y", 70_000),
    ("d/e/z", 1000),
];
const SLOTS: usize = 3;

type Name = usize;

#[derive(Clone, Debug)]
enum Step {
    Create(Name, u64),
    CreateNew(Name),
    MkDir(Name),
    Symlink(Name),
    Link(Name, Name),
    Unlink(Name),
    RmDir(Name),
    Rename(Name, Name, u32),
    Mode(Name, u32),
    Cut(Name, u64),
    Time(Name, i64),
    Xattr(Name, u8),
    Read(Name),
    List(Name),
    Open(usize, Name, bool),
    Close(usize),
    WriteOpen(usize, u64, u64),
    ReadOpen(usize, u64, usize),
    CutOpen(usize, u64),
    Space(usize, u64, u64, u32),
    Seek(usize, u64, bool),
    Copy(usize, usize, u64, u64, usize),
    Sync(usize),
    Again,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let slot = || 0..SLOTS;
    let at = || prop_oneof![0..1000u64, 60_000..70_000u64, 0..250_000u64];
    let len = || prop_oneof![1..100u64, 65_000..66_000u64, 1..140_000u64];
    let how = prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(2)];
    let space = prop_oneof![Just(0), Just(1), Just(3), Just(16), Just(17)];
    prop_oneof![
        2 => (name(), len()).prop_map(|(name, len)| Step::Create(name, len)),
        1 => name().prop_map(Step::CreateNew),
        1 => name().prop_map(Step::MkDir),
        1 => name().prop_map(Step::Symlink),
        2 => (name(), name()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => name().prop_map(Step::Unlink),
        1 => name().prop_map(Step::RmDir),
        4 => (name(), name(), how).prop_map(|(from, to, how)| Step::Rename(from, to, how)),
        1 => (name(), 0..0o1000u32).prop_map(|(name, mode)| Step::Mode(name, mode)),
        2 => (name(), at()).prop_map(|(name, len)| Step::Cut(name, len)),
        1 => (name(), -5..5i64).prop_map(|(name, time)| Step::Time(name, time)),
        1 => (name(), any::<u8>()).prop_map(|(name, value)| Step::Xattr(name, value)),
        3 => name().prop_map(Step::Read),
        2 => name().prop_map(Step::List),
        5 => (slot(), name(), any::<bool>()).prop_map(|(slot, name, write)| Step::Open(slot, name, write)),
        2 => slot().prop_map(Step::Close),
        5 => (slot(), at(), len()).prop_map(|(slot, at, len)| Step::WriteOpen(slot, at, len)),
        5 => (slot(), at(), len()).prop_map(|(slot, at, len)| Step::ReadOpen(slot, at, len as usize)),
        2 => (slot(), at()).prop_map(|(slot, len)| Step::CutOpen(slot, len)),
        2 => (slot(), at(), len(), space).prop_map(|(slot, at, len, how)| Step::Space(slot, at, len, how)),
        1 => (slot(), at(), any::<bool>()).prop_map(|(slot, at, hole)| Step::Seek(slot, at, hole)),
        2 => (slot(), slot(), at(), at(), len())
            .prop_map(|(from, to, at, into, len)| Step::Copy(from, to, at, into, len as usize)),
        1 => slot().prop_map(Step::Sync),
        1 => Just(Step::Again),
    ]
}

/// What a step came to: something to compare, or an errno.
type Outcome = Result<Vec<u8>, i32>;

struct Side {
    root: PathBuf,
    open: [Option<File>; SLOTS],
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(-1)
}

fn nothing<E: Into<io::Error>>(done: Result<(), E>) -> Outcome {
    done.map(|()| Vec::new()).map_err(|error| number(&error.into()))
}

impl Side {
    fn at(&self, name: Name) -> PathBuf {
        self.root.join(NAMES[name])
    }

    fn with(&self, slot: usize, what: impl FnOnce(&File) -> io::Result<Vec<u8>>) -> Outcome {
        match &self.open[slot] {
            Some(file) => what(file).map_err(|error| number(&error)),
            None => Ok(Vec::new()),
        }
    }

    fn apply(&mut self, step: &Step, seed: u64) -> Outcome {
        match *step {
            Step::Create(name, len) => nothing(fs::write(self.at(name), noise(seed, len))),
            Step::CreateNew(name) => nothing(File::create_new(self.at(name)).map(drop)),
            Step::MkDir(name) => nothing(fs::create_dir(self.at(name))),
            Step::Symlink(name) => nothing(symlink("x", self.at(name))),
            Step::Link(from, to) => nothing(fs::hard_link(self.at(from), self.at(to))),
            Step::Unlink(name) => nothing(fs::remove_file(self.at(name))),
            Step::RmDir(name) => nothing(fs::remove_dir(self.at(name))),
            Step::Rename(from, to, how) => {
                let how = RenameFlags::from_bits_retain(how);
                nothing(rustix::fs::renameat_with(
                    CWD,
                    self.at(from),
                    CWD,
                    self.at(to),
                    how,
                ))
            }
            Step::Mode(name, mode) => {
                let mode = fs::Permissions::from_mode(mode);
                nothing(fs::set_permissions(self.at(name), mode))
            }
            Step::Cut(name, len) => nothing(
                rustix::fs::open(
                    self.at(name),
                    rustix::fs::OFlags::WRONLY,
                    rustix::fs::Mode::empty(),
                )
                .and_then(|file| rustix::fs::ftruncate(file, len)),
            ),
            Step::Time(name, seconds) => {
                let time = rustix::fs::Timespec {
                    tv_sec: seconds,
                    tv_nsec: 500,
                };
                let times = rustix::fs::Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                let at = self.at(name);
                let set = rustix::fs::utimensat(CWD, &at, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
                nothing(set)?;
                let meta = fs::symlink_metadata(&at).map_err(|error| number(&error))?;
                Ok([meta.mtime().to_le_bytes(), meta.mtime_nsec().to_le_bytes()].concat())
            }
            Step::Xattr(name, value) => {
                let at = self.at(name);
                nothing(rustix::fs::setxattr(
                    &at,
                    "user.model",
                    &[value],
                    XattrFlags::empty(),
                ))?;
                let mut kept = [0; 5];
                let len = rustix::fs::getxattr(&at, "user.model", &mut kept);
                len.map(|len| kept[..len].to_vec())
                    .map_err(|error| error.raw_os_error())
            }
            Step::Read(name) => fs::read(self.at(name)).map_err(|error| number(&error)),
            Step::List(name) => {
                let listed = fs::read_dir(self.at(name)).map_err(|error| number(&error))?;
                let mut names: Vec<_> = listed
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                names.sort();
                Ok(names.join("/").into_bytes())
            }
            Step::Open(slot, name, write) => {
                let opened = OpenOptions::new().read(true).write(write).open(self.at(name));
                // Of directories nothing is read here.
                let opened = opened.and_then(|file| Ok((file.metadata()?.is_file(), file)));
                let is_file = opened.as_ref().map(|(is_file, _)| *is_file);
                let outcome = is_file.map(|is_file| vec![u8::from(is_file)]).map_err(number);
                if let Ok((true, file)) = opened {
                    self.open[slot] = Some(file);
                }
                outcome
            }
            Step::Close(slot) => {
                self.open[slot] = None;
                Ok(Vec::new())
            }
            Step::WriteOpen(slot, at, len) => self.with(slot, |file| {
                file.write_all_at(&noise(seed, len), at)?;
                Ok(file.metadata()?.len().to_le_bytes().to_vec())
            }),
            Step::ReadOpen(slot, at, len) => self.with(slot, |file| {
                let mut bytes = vec![0; len];
                let mut done = 0;
                while done < len {
                    match file.read_at(&mut bytes[done..], at + done as u64)? {
                        0 => break,
                        read => done += read,
                    }
                }
                bytes.truncate(done);
                Ok(bytes)
            }),
            Step::CutOpen(slot, len) => self.with(slot, |file| {
                file.set_len(len)?;
                Ok(file.metadata()?.len().to_le_bytes().to_vec())
            }),
            Step::Space(slot, at, len, how) => self.with(slot, |file| {
                rustix::fs::fallocate(file, FallocateFlags::from_bits_retain(how), at, len)?;
                Ok(file.metadata()?.len().to_le_bytes().to_vec())
            }),
            Step::Seek(slot, at, hole) => self.with(slot, |file| {
                // Where holes are differs: that one leads from data to data does not.
                let to = if hole {
                    SeekFrom::Hole(at)
                } else {
                    SeekFrom::Data(at)
                };
                match rustix::fs::seek(file, to) {
                    Ok(found) => Ok(vec![u8::from(found >= at)]),
                    Err(rustix::io::Errno::NXIO) if !hole => Ok(vec![1]),
                    Err(error) => Err(error.into()),
                }
            }),
            Step::Copy(from, to, mut at, mut into, len) => {
                let (Some(source), Some(target)) = (&self.open[from], &self.open[to]) else {
                    return Ok(Vec::new());
                };
                let mut left = len;
                while left > 0 {
                    let copied =
                        rustix::fs::copy_file_range(source, Some(&mut at), target, Some(&mut into), left);
                    match copied.map_err(|error| error.raw_os_error())? {
                        0 => break,
                        copied => left -= copied,
                    }
                }
                Ok(left.to_le_bytes().to_vec())
            }
            Step::Sync(slot) => self.with(slot, |file| file.sync_all().map(|()| Vec::new())),
            Step::Again => {
                self.open = Default::default();
                Ok(Vec::new())
            }
        }
    }

    /// What there is to see that is the same on all file systems.
    fn picture(&self) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
        let mut all = BTreeMap::new();
        see(&self.root, Path::new(""), &mut all);
        let same = |thing: Thing| {
            let is_dir = thing.mode & 0o170_000 == 0o040_000;
            let links = if is_dir { 0 } else { thing.nlink };
            (thing.mode, links, thing.content)
        };
        all.into_iter()
            .map(|(path, thing)| (path, same(thing)))
            .filter(|(path, _)| !path.as_os_str().is_empty())
            .collect()
    }
}

fn check(steps: &[Step], how: How) {
    let world = World::new();
    let plain = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (seed, (name, len)) in BELOW.into_iter().enumerate() {
        world.put(name, noise(seed as u64, len));
        let path = plain.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(seed as u64, len)).unwrap();
    }
    let Some(mut overlaid) = Overlaid::new(world.source(), how) else {
        return;
    };
    let side = |root: PathBuf| Side {
        root,
        open: Default::default(),
    };
    let (mut ours, mut theirs) = (side(overlaid.at("")), side(plain.path().to_owned()));
    for (number, step) in steps.iter().enumerate() {
        let (is, should) = (ours.apply(step, number as u64), theirs.apply(step, number as u64));
        let short = |outcome: &Outcome| match outcome {
            Ok(bytes) => format!("{} bytes {:?}", bytes.len(), &bytes[..bytes.len().min(30)]),
            Err(errno) => format!("errno {errno}"),
        };
        assert!(
            is == should,
            "{number} {step:?}: {} instead of {}",
            short(&is),
            short(&should)
        );
        if matches!(step, Step::Again) {
            overlaid.again();
        }
    }
    assert!(ours.picture() == theirs.picture());
    ours.open = Default::default();
    overlaid.again();
    let (is, should) = (ours.picture(), theirs.picture());
    assert!(is.keys().eq(should.keys()), "{:?} {:?}", is.keys(), should.keys());
    for (path, thing) in &should {
        assert!(is.get(path) == Some(thing), "{}", path.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_mount_is_like_a_directory(steps in prop::collection::vec(step(), 1..120), which in 0..3usize) {
        let how = [How::default(), served(IoMode::Pages), served(IoMode::Direct)];
        check(&steps, how[which].clone());
    }
}
