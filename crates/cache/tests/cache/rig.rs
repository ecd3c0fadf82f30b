//! What the tests share: objects whose bytes follow from their names, and ways to store, read and damage them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use forebay_cache::{Cache, CacheOptions, CachedObject, Fill, ReadOutcome, Stored, Wait};
use forebay_testkit::Content;
use forebay_types::{ByteRange, Clock, ManualClock, ObjectId, Origin, SystemClock, Version};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;

/// A directory for one test, and the caches opened in it.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub(crate) fn options(&self, max_size: u64) -> CacheOptions {
        let mut options = CacheOptions::new(self.path(), max_size);
        // The machine's disk is not what is tested.
        options.keep_free = 0;
        options
    }

    pub(crate) fn open(&self, max_size: u64) -> Cache {
        open(self.options(max_size))
    }

    /// Two caches in one directory, as two processes have them.
    pub(crate) fn open_two(&self, max_size: u64) -> (Cache, Cache) {
        let scans = |cache: &Cache| cache.stats().scans;
        let one = scanned(self.open(max_size));
        let before = scans(&one);
        let two = self.open(max_size);
        while scans(&two) == before {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        (one, two)
    }

    /// All files below `objects`, maps first.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(&self.path())
    }

    pub(crate) fn maps(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|file| file.extension().is_none())
            .collect()
    }

    pub(crate) fn data(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|file| file.extension().is_some())
            .collect()
    }
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for shard in std::fs::read_dir(dir.join("objects")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort_by_key(|file| (file.extension().is_some(), file.clone()));
    files
}

pub(crate) fn open(options: CacheOptions) -> Cache {
    Cache::open(options, Arc::new(SystemClock::new())).unwrap()
}

/// Waits for the scan at the start, so that figures are exact though several have the directory open.
pub(crate) fn scanned(cache: Cache) -> Cache {
    for _ in 0..1000 {
        if cache.stats().scans > 0 {
            return cache;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("no scan: {:?}", cache.stats());
}

/// A clock that tests move, which starts at the present wall time, so that file times make sense.
#[derive(Clone, Debug)]
pub(crate) struct TestClock {
    manual: ManualClock,
    real: SystemClock,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self {
            manual: ManualClock::default(),
            real: SystemClock::new(),
        }
    }

    pub(crate) fn advance(&self, by: std::time::Duration) {
        self.manual.advance(by);
    }
}

impl Clock for TestClock {
    fn now(&self) -> std::time::Duration {
        self.real.now() + self.manual.now()
    }

    fn wall(&self) -> std::time::Duration {
        self.real.wall() + self.manual.now()
    }
}

pub(crate) fn origin() -> Origin {
    Origin::new("s3://bucket@test", "scope")
}

/// The object `key` in its version `version`.
pub(crate) fn id(key: &str, version: u64, size: u64) -> ObjectId {
    ObjectId {
        origin: origin(),
        key: key.into(),
        version: Version::ETag(format!("\"{version}\"").into()),
        size,
    }
}

/// What an object contains follows from its id, so that any process can check it.
pub(crate) fn content(id: &ObjectId) -> Content {
    let seed = format!("{id:?}").bytes().fold(7u64, |seed, byte| {
        seed.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(byte))
    });
    Content::pattern(seed, id.size)
}

pub(crate) fn fill(id: &ObjectId, range: ByteRange, done: impl FnOnce(Stored) + Send + 'static) -> Fill {
    Fill {
        at: range.start(),
        chunks: content(id).slice(range),
        patient: true,
        hold: Box::new(()),
        done: Box::new(done),
    }
}

/// Stores the bytes of `range` and waits for it.
pub(crate) fn store(object: &CachedObject, range: ByteRange) -> Stored {
    let (told, tell) = mpsc::channel();
    let id = object.id().clone();
    object
        .store(fill(&id, range, move |stored| told.send(stored).unwrap()))
        .unwrap();
    tell.recv().unwrap()
}

/// Stores a whole object.
pub(crate) fn store_all(cache: &Cache, id: &ObjectId) -> Stored {
    store(&cache.object(id), ByteRange::new(0, id.size))
}

/// Reads `range`; what comes must be right. Returns how many bytes came.
pub(crate) fn read(object: &CachedObject, range: ByteRange) -> u64 {
    let mut bytes = vec![0xEE; range.len() as usize];
    let done = match object.read(range.start(), &mut bytes, Wait::Yes) {
        ReadOutcome::Done => bytes.len(),
        ReadOutcome::Missing { done } => done,
        ReadOutcome::WouldBlock { .. } => panic!("{range:?} of {object:?} would block although it may"),
    };
    if let Err(wrong) = content(object.id()).check(range.start(), &bytes[..done]) {
        panic!("{range:?} of {object:?}: {wrong}");
    }
    done as u64
}

/// How many bytes of a whole object can be read from its front.
pub(crate) fn read_all(cache: &Cache, id: &ObjectId) -> u64 {
    read(&cache.object(id), ByteRange::new(0, id.size))
}

/// Flips one bit of a file.
pub(crate) fn flip(path: &Path, byte: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut value = [0];
    file.read_exact_at(&mut value, byte).unwrap();
    file.write_all_at(&[value[0] ^ 1 << bit], byte).unwrap();
}

/// This test binary again, running one ignored test, with its orders on its standard input.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(test: &str, orders: &[&dyn std::fmt::Display]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders_pipe = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self {
            child,
            orders: orders_pipe,
            answers,
        };
        for order in orders {
            process.say(order);
        }
        process
    }

    pub(crate) fn say(&mut self, order: &dyn std::fmt::Display) {
        writeln!(self.orders, "{order}").unwrap();
        self.orders.flush().unwrap();
    }

    /// Waits for a line that begins with `prefix`, and returns the rest of it.
    pub(crate) fn hear(&mut self, prefix: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.answers.read_line(&mut line).unwrap(),
                0,
                "the child ended before it said '{prefix}'"
            );
            if let Some(at) = line.find(prefix) {
                return line[at + prefix.len()..].trim().to_owned();
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn finish(mut self) {
        drop(self.orders);
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.answers, &mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "the child failed:\n{rest}");
    }
}

/// The orders of a child; `None` if the test was not started as one.
pub(crate) fn order() -> Option<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok()?;
    let line = line.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Notes what happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Holds(Arc<Mutex<Vec<&'static str>>>);

impl Holds {
    pub(crate) fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    pub(crate) fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
