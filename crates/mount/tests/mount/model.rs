//! Anything that programs do, on a mount and on a folder with the same files in it, while files change at the source.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use forebay_mount::IoMode;
use forebay_testkit::Content;
use forebay_types::ByteRange;
use forebay_vfs::Freshness;
use proptest::prelude::*;
use proptest::sample::Index;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use tempfile::TempDir;

use crate::maps::read_mapped;
use crate::readers::directory;
use crate::world::{BUCKET, CacheAt, MIB, Mounted, Setup, World, local, soon};

const KIB: u64 = 1 << 10;

/// Sizes that files have by turns: empty, one page and more, some blocks, several parts.
const SIZES: [u64; 7] = [0, 77, 4096, 64 * KIB, 200_000, MIB + 9, 2 * MIB + 300 * KIB + 5];

/// `c` is by turns a file and a directory.
const FILES: [&str; 7] = ["a", "b", "c", "c/z", "d/a", "d/e/f", "d/e/g"];

/// These are looked at too: directories, and what is never there.
const OTHERS: [&str; 6] = ["", "d", "d/e", "none", "a/below", "d/none/at all"];

#[derive(Clone, Debug)]
enum Step {
    List(Index),
    Look(Index),
    Attributes(Index),
    Write(Index),
    Open(usize),
    Close(Index),
    Read(Read),
    /// The kernel is to forget what it has of an open file.
    Drop(Index),
    /// What was read reaches the disk: from now on whole files can be handed over.
    Settle,
    Put(usize, usize),
    Remove(usize),
    /// A file is replaced while all that are open are read.
    Race(usize, usize),
}

#[derive(Clone, Debug)]
struct Read {
    handle: Index,
    way: Way,
    at: Index,
    len: u64,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Pread,
    SeekAndRead,
    Map,
    SendFile,
    Splice,
    CopyRange,
    /// Many small reads all over the file.
    Storm,
    /// By two handles, far apart.
    Two,
}

fn any_step() -> impl Strategy<Value = Step> {
    let file = || 0..FILES.len();
    let size = || 0..SIZES.len();
    prop_oneof![
        2 => any::<Index>().prop_map(Step::List),
        2 => any::<Index>().prop_map(Step::Look),
        1 => any::<Index>().prop_map(Step::Attributes),
        1 => any::<Index>().prop_map(Step::Write),
        6 => file().prop_map(Step::Open),
        2 => any::<Index>().prop_map(Step::Close),
        12 => any_read().prop_map(Step::Read),
        1 => any::<Index>().prop_map(Step::Drop),
        2 => Just(Step::Settle),
        3 => (file(), size()).prop_map(|(file, size)| Step::Put(file, size)),
        1 => file().prop_map(Step::Remove),
        1 => (file(), size()).prop_map(|(file, size)| Step::Race(file, size)),
    ]
}

fn any_read() -> impl Strategy<Value = Read> {
    let way = prop_oneof![
        4 => Just(Way::Pread),
        2 => Just(Way::SeekAndRead),
        3 => Just(Way::Map),
        1 => Just(Way::SendFile),
        1 => Just(Way::Splice),
        1 => Just(Way::CopyRange),
        1 => Just(Way::Storm),
        1 => Just(Way::Two),
    ];
    let len = prop_oneof![Just(0), 1u64..100, 1..300 * KIB, 1..3 * MIB];
    (any::<Index>(), way, any::<Index>(), len).prop_map(|(handle, way, at, len)| Read {
        handle,
        way,
        at,
        len,
    })
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Nowhere,
    Some,
    All,
    /// The source is a directory of this machine.
    Local,
}

#[derive(Clone, Debug)]
struct Rules {
    kept: Kept,
    passthrough: bool,
    io: IoMode,
    threads: usize,
    memory: u64,
    ttl: u64,
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let kept = prop_oneof![
        2 => Just(Kept::Nowhere),
        1 => Just(Kept::Some),
        3 => Just(Kept::All),
        2 => Just(Kept::Local),
    ];
    let memory = prop_oneof![Just(MIB), Just(4 * MIB), Just(256 * MIB)];
    let threads = prop_oneof![Just(1), Just(2), Just(4)];
    let ttl = prop_oneof![Just(0), Just(10), Just(40)];
    let io = prop_oneof![Just(IoMode::Pages), Just(IoMode::Direct)];
    (kept, any::<bool>(), io, threads, memory, ttl).prop_map(
        |(kept, passthrough, io, threads, memory, ttl)| Rules {
            kept,
            passthrough,
            io,
            threads,
            memory,
            ttl,
        },
    )
}

/// Where files are changed.
enum Source {
    Bucket(World),
    Folder(TempDir),
}

impl Source {
    fn put(&self, name: &str, content: &Content) {
        match self {
            Self::Bucket(world) => world.put(name, content.clone()),
            Self::Folder(dir) => replace(dir.path(), name, content),
        }
    }

    fn remove(&self, name: &str) {
        match self {
            Self::Bucket(world) => assert!(world.lab.objects().delete(BUCKET, name)),
            Self::Folder(dir) => take_away(dir.path(), name),
        }
    }
}

/// A new file under the name; whoever has the old one open keeps it.
fn replace(dir: &Path, name: &str, content: &Content) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let next = dir.with_extension("next");
    fs::write(&next, content.read(ByteRange::new(0, content.size()))).unwrap();
    fs::rename(next, path).unwrap();
}

/// A file, and the directories that nothing is left in.
fn take_away(dir: &Path, name: &str) {
    fs::remove_file(dir.join(name)).unwrap();
    for above in Path::new(name).ancestors().skip(1) {
        if above.as_os_str().is_empty() || fs::remove_dir(dir.join(above)).is_err() {
            break;
        }
    }
}

/// A file of the mount that is open, and what it was then.
struct Open {
    file: File,
    name: &'static str,
    content: Content,
    /// The same as long as the name is the same file.
    life: u64,
}

struct Model {
    mounted: Mounted,
    source: Source,
    /// The same files on a local disk.
    folder: TempDir,
    files: BTreeMap<&'static str, (Content, u64)>,
    open: Vec<Open>,
    /// What is being replaced at the moment.
    replaced: Option<&'static str>,
    versions: u64,
    lives: u64,
}

impl Model {
    fn new(rules: &Rules) -> Option<Self> {
        let mut setup = Setup {
            freshness: Freshness::Ttl(Duration::from_millis(rules.ttl)),
            memory: rules.memory,
            ..Setup::default()
        };
        setup.range.chunk_size = 256 * KIB;
        setup.range.min_split_size = 256 * KIB;
        setup.options.passthrough = rules.passthrough;
        setup.options.io = rules.io;
        setup.options.threads = rules.threads;
        match rules.kept {
            Kept::Nowhere => setup.cache = CacheAt::Nowhere,
            Kept::Some => setup.cache_size = 2 * MIB,
            Kept::All | Kept::Local => {}
        }
        let (source, mounted) = match rules.kept {
            Kept::Local => {
                let dir = directory();
                let inside = dir.path().join("tree");
                fs::create_dir(&inside).unwrap();
                let mounted = Mounted::new(local(&inside), setup);
                (Source::Folder(dir), mounted)
            }
            Kept::Nowhere | Kept::Some | Kept::All => {
                let world = World::new();
                let mounted = world.mount(setup);
                (Source::Bucket(world), mounted)
            }
        };
        let folder = directory();
        fs::create_dir(folder.path().join("tree")).unwrap();
        let mut model = Self {
            mounted: mounted?,
            source,
            folder,
            files: BTreeMap::new(),
            open: Vec::new(),
            replaced: None,
            versions: 0,
            lives: 0,
        };
        for (file, size) in [(0, 6), (2, 3), (4, 5)] {
            model.put(file, size);
            model.agree(FILES[file]);
        }
        Some(model)
    }

    fn here(&self, name: &str) -> PathBuf {
        self.folder.path().join("tree").join(name)
    }

    fn there(&self, name: &str) -> PathBuf {
        self.mounted.at(name)
    }

    fn put(&mut self, file: usize, size: usize) {
        let name = FILES[file];
        // A file gives way to a directory and the other way round.
        for other in ["c", "c/z"] {
            if name.starts_with('c') && other != name && self.files.contains_key(other) {
                self.remove(other);
                self.agree(other);
            }
        }
        self.versions += 1;
        let content = Content::pattern(self.versions, SIZES[size]);
        self.source_put(name, &content);
        replace(&self.folder.path().join("tree"), name, &content);
        let life = match self.files.get(name) {
            Some((_, life)) => *life,
            None => {
                self.lives += 1;
                self.lives
            }
        };
        self.files.insert(name, (content, life));
    }

    fn source_put(&self, name: &str, content: &Content) {
        match &self.source {
            Source::Folder(dir) => replace(&dir.path().join("tree"), name, content),
            bucket @ Source::Bucket(_) => bucket.put(name, content),
        }
    }

    fn remove(&mut self, name: &'static str) {
        if self.files.remove(name).is_none() {
            return;
        }
        match &self.source {
            Source::Folder(dir) => take_away(&dir.path().join("tree"), name),
            bucket @ Source::Bucket(_) => bucket.remove(name),
        }
        take_away(&self.folder.path().join("tree"), name);
    }

    /// Waits until the mount shows what the folder has under a name, and above it.
    fn agree(&self, name: &str) {
        let mut seen = String::new();
        let agreed = soon(|| {
            for above in Path::new(name).ancestors().skip(1) {
                let above = above.to_str().unwrap();
                let (there, here) = (names(&self.there(above)), names(&self.here(above)));
                if there != here {
                    seen = format!("{above:?} has {there:?}, not {here:?}");
                    return false;
                }
            }
            let (there, here) = (fs::read(self.there(name)), fs::read(self.here(name)));
            match (there, here) {
                (Ok(there), Ok(here)) if there == here => {
                    // Attributes are believed for as long as names.
                    seen = "another size".to_owned();
                    fs::metadata(self.there(name)).is_ok_and(|meta| meta.len() == here.len() as u64)
                }
                (Err(there), Err(here)) if there.kind() == here.kind() => true,
                (there, here) => {
                    seen = format!("{:?}, not {:?}", there.map(|b| b.len()), here.map(|b| b.len()));
                    false
                }
            }
        });
        assert!(agreed, "{name} does not become what it is at the source: {seen}");
    }

    /// Any name, of a file or not.
    fn any(&self, which: &Index) -> &'static str {
        let at = which.index(FILES.len() + OTHERS.len());
        FILES.get(at).unwrap_or_else(|| &OTHERS[at - FILES.len()])
    }

    fn look(&self, name: &str) {
        let (there, here) = (fs::metadata(self.there(name)), fs::metadata(self.here(name)));
        match (there, here) {
            (Ok(there), Ok(here)) => {
                assert_eq!(there.is_dir(), here.is_dir(), "{name}");
                if here.is_file() {
                    assert_eq!(there.len(), here.len(), "{name}");
                }
            }
            (there, here) => same_error(name, there.map(drop), here.map(drop)),
        }
        let (there, here) = (fs::read_link(self.there(name)), fs::read_link(self.here(name)));
        same_error(name, there.map(drop), here.map(drop));
    }

    fn attributes(&self, name: &str) {
        let mut value = [0; 256];
        let get = |attribute: &str, value: &mut [u8; 256]| {
            rustix::fs::getxattr(self.there(name), attribute, &mut value[..])
        };
        let exists = self.here(name).exists();
        let unknown = get("user.unknown", &mut value);
        if exists {
            assert_eq!(unknown, Err(Errno::NODATA), "{name}");
        } else {
            assert!(
                matches!(unknown, Err(Errno::NOENT | Errno::NOTDIR)),
                "{name}: {unknown:?}"
            );
        }
        if self.files.contains_key(name) {
            let len = get("user.forebay.cached", &mut value).unwrap();
            let cached: u64 = std::str::from_utf8(&value[..len]).unwrap().parse().unwrap();
            assert!(cached <= 100, "{name}: {cached} %");
        }
    }

    fn open(&mut self, file: usize) {
        let name = FILES[file];
        match (File::open(self.there(name)), self.files.get(name)) {
            (Ok(file), Some((content, life))) => self.open.push(Open {
                file,
                name,
                content: content.clone(),
                life: *life,
            }),
            // It may be a directory.
            (there, _) => same_error(name, there.map(drop), File::open(self.here(name)).map(drop)),
        }
    }

    /// It is the present version, and will be so.
    fn is_present(&self, open: &Open) -> bool {
        let present = self.files.get(open.name);
        present.is_some_and(|(content, life)| *life == open.life && *content == open.content)
            && self.replaced != Some(open.name)
    }

    /// Bytes of the version that was opened; if it is not the present one any more, perhaps an error that says so. Never
    /// bytes of another one, and never fewer than there were.
    fn judge(&self, open: &Open, at: u64, len: u64, outcome: io::Result<Vec<u8>>, way: Way) {
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(error) => {
                assert_eq!(
                    error.raw_os_error(),
                    Some(libc::ESTALE),
                    "{way:?} {}: {error}",
                    open.name
                );
                assert!(!self.is_present(open), "{way:?} {}: it did not change", open.name);
                return;
            }
        };
        let expected = ByteRange::at(at, len).clamp_to(open.content.size()).len();
        let present = self.files.get(open.name);
        assert_eq!(
            bytes.len() as u64,
            expected,
            "{way:?} {}: bytes at {at} of {:?}; present: {present:?}",
            open.name,
            open.content,
        );
        open.content.check(at, &bytes).unwrap_or_else(|wrong| {
            panic!(
                "{way:?} {}: bytes at {at} are not of {:?}; present: {present:?}; {wrong:?}",
                open.name, open.content
            )
        });
    }

    fn read(&self, read: &Read) {
        if self.open.is_empty() {
            return;
        }
        let open = read.handle.get(&self.open);
        let at = read.at.index(open.content.size() as usize + 2) as u64;
        let len = read.len;
        match read.way {
            Way::Map if !self.is_present(open) => {
                // The program would get SIGBUS.
            }
            Way::Map => {
                let size = open.content.size();
                let start = (at / 4096 * 4096).min(size / 4096 * 4096);
                let len = len.min(size - start) as usize;
                if len > 0 {
                    let seen = read_mapped(&open.file, start, len);
                    self.judge(open, start, len as u64, Ok(seen), read.way);
                }
            }
            Way::Storm => {
                let mut place = at + 1;
                for _ in 0..20 {
                    place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = (place >> 20) % (open.content.size() + 1);
                    self.judge(open, at, 1000, pread(&open.file, at, 1000), read.way);
                }
            }
            Way::Two => {
                let Ok(other) = File::open(self.there(open.name)) else {
                    return;
                };
                let other = self.is_present(open).then_some(other);
                let far = open.content.size() / 2;
                for step in 0..4 {
                    let at = step * 30_000;
                    self.judge(open, at, 30_000, pread(&open.file, at, 30_000), read.way);
                    if let Some(other) = &other {
                        let outcome = pread(other, far + at, 30_000);
                        self.judge(open, far + at, 30_000, outcome, read.way);
                    }
                }
            }
            way => {
                let outcome = self.bytes(&open.file, way, at, len);
                self.judge(open, at, len, outcome, way);
            }
        }
    }

    /// The bytes, read in one of the ways that end in a buffer or a file.
    fn bytes(&self, file: &File, way: Way, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut copy = tempfile::tempfile_in(self.folder.path()).unwrap();
        let (mut left, mut from) = (len as usize, at);
        match way {
            Way::SeekAndRead => {
                let mut file = file;
                file.seek(SeekFrom::Start(at))?;
                let mut bytes = Vec::new();
                file.take(len).read_to_end(&mut bytes)?;
                return Ok(bytes);
            }
            Way::SendFile => {
                while left > 0 {
                    match rustix::fs::sendfile(&copy, file, Some(&mut from), left)? {
                        0 => break,
                        some => left -= some,
                    }
                }
            }
            Way::Splice => {
                let (drain, tap) = rustix::pipe::pipe()?;
                while left > 0 {
                    let flags = SpliceFlags::empty();
                    let mut some =
                        rustix::pipe::splice(file, Some(&mut from), &tap, None, left.min(65_536), flags)?;
                    if some == 0 {
                        break;
                    }
                    left -= some;
                    while some > 0 {
                        some -= rustix::pipe::splice(&drain, None, &copy, None, some, flags)?;
                    }
                }
            }
            Way::CopyRange => {
                while left > 0 {
                    match rustix::fs::copy_file_range(file, Some(&mut from), &copy, None, left) {
                        Ok(0) => break,
                        Ok(some) => left -= some,
                        // Not between these file systems.
                        Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL) => return pread(file, at, len),
                        Err(errno) => return Err(errno.into()),
                    }
                }
            }
            Way::Pread | Way::Map | Way::Storm | Way::Two => return pread(file, at, len),
        }
        let mut bytes = Vec::new();
        copy.seek(SeekFrom::Start(0))?;
        copy.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// All that is open is read all the time, while a file is replaced.
    fn race(&mut self, file: usize, size: usize) {
        let name = FILES[file];
        if !self.files.contains_key(name) {
            return;
        }
        let over = AtomicBool::new(false);
        let next = Content::pattern(self.versions + 1, SIZES[size]);
        self.replaced = Some(name);
        let replaced = std::thread::scope(|scope| {
            for open in &self.open {
                let (over, this) = (&over, &*self);
                scope.spawn(move || {
                    let mut at = 0;
                    while !over.load(Relaxed) {
                        let outcome = pread(&open.file, at, 20_000);
                        this.judge(open, at, 20_000, outcome, Way::Pread);
                        at = (at + 333_333) % (open.content.size() + 1);
                    }
                });
            }
            self.source_put(name, &next);
            // It is seen by somebody who asks.
            let is_next = |bytes: Vec<u8>| bytes.len() as u64 == next.size() && next.check(0, &bytes).is_ok();
            let replaced = soon(|| fs::read(self.there(name)).is_ok_and(is_next));
            over.store(true, Relaxed);
            replaced
        });
        assert!(replaced, "{name} is not replaced");
        self.replaced = None;
        self.versions += 1;
        replace(&self.folder.path().join("tree"), name, &next);
        let life = self.files[name].1;
        self.files.insert(name, (next, life));
        self.agree(name);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::List(which) => {
                let name = self.any(&which);
                let (there, here) = (names(&self.there(name)), names(&self.here(name)));
                assert_eq!(there, here, "{name:?}");
            }
            Step::Look(which) => self.look(self.any(&which)),
            Step::Attributes(which) => self.attributes(self.any(&which)),
            Step::Write(which) => {
                let name = self.any(&which);
                let kind = File::options()
                    .write(true)
                    .open(self.there(name))
                    .unwrap_err()
                    .kind();
                let excuses = [
                    ErrorKind::ReadOnlyFilesystem,
                    ErrorKind::NotFound,
                    ErrorKind::IsADirectory,
                    ErrorKind::NotADirectory,
                ];
                assert!(excuses.contains(&kind), "{name:?}: {kind}");
            }
            Step::Open(file) => self.open(file),
            Step::Close(which) => {
                if !self.open.is_empty() {
                    let at = which.index(self.open.len());
                    self.open.swap_remove(at);
                }
            }
            Step::Read(read) => self.read(&read),
            Step::Drop(which) => {
                if !self.open.is_empty() {
                    let open = which.get(&self.open);
                    rustix::fs::fadvise(&open.file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                }
            }
            Step::Settle => self.mounted.block_on(self.mounted.reader.flush()),
            Step::Put(file, size) => {
                self.put(file, size);
                self.agree(FILES[file]);
            }
            Step::Remove(file) => {
                self.remove(FILES[file]);
                self.agree(FILES[file]);
            }
            Step::Race(file, size) => self.race(file, size),
        }
    }

    fn end(mut self) {
        for at in 0..self.open.len() {
            let open = &self.open[at];
            let len = open.content.size() + 1;
            self.judge(open, 0, len, pread(&open.file, 0, len), Way::Pread);
        }
        self.open.clear();
        for name in FILES.iter().chain(&OTHERS) {
            self.look(name);
            self.agree(name);
        }
        let engine = self.mounted.reader.engine();
        assert!(
            soon(|| engine.budget().in_flight() == 0 && self.mounted.mount.stats().waiting == 0),
            "memory is left behind: {}",
            engine.budget().in_flight()
        );
    }
}

/// Until the end, or as much as was asked for.
fn pread(file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], at + done as u64) {
            Ok(0) => break,
            Ok(some) => done += some,
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

fn names(dir: &Path) -> Result<Vec<(String, bool)>, ErrorKind> {
    let entries = fs::read_dir(dir).map_err(|e| e.kind())?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| e.kind())?;
        let is_dir = entry.file_type().map_err(|e| e.kind())?.is_dir();
        names.push((entry.file_name().into_string().unwrap(), is_dir));
    }
    names.sort();
    Ok(names)
}

fn same_error(name: &str, there: io::Result<()>, here: io::Result<()>) {
    let kind = |outcome: io::Result<()>| outcome.map_err(|e| e.kind());
    assert_eq!(kind(there), kind(here), "{name:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_mount_is_what_a_folder_with_the_same_files_is(
        rules in any_rules(),
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        if let Some(mut model) = Model::new(&rules) {
            for step in steps {
                model.take(step);
            }
            model.end();
        }
    }
}
