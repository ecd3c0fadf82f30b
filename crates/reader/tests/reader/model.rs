//! Any order of anything, by several processes at once: every byte is of one version, or there is an error that says so.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_range::RangeSink;
use forebay_reader::{Freshness, Handle, OpenOptions, ReadError, Reader};
use forebay_types::{ByteRange, ErrorKind, RangeSpec, Version};
use futures::StreamExt;
use futures::future::join_all;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::Builder;

use crate::world::{BUCKET, KIB, MIB, Setup, World, content_of, settled, within};

/// Sizes that objects have by turns: empty, inside their map, at its border, some blocks, more than the small budgets.
const SIZES: [u64; 7] = [
    0,
    77,
    200 * KIB,
    256 * KIB,
    256 * KIB + 1,
    MIB + 9,
    2 * MIB + 300 * KIB + 5,
];

const KEYS: u64 = 3;
const READERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Reader, object, and whether whatever is cached will do.
    Open(usize, u64, bool),
    Close(Index),
    Read(Read),
    /// All at once.
    Together(Vec<Read>),
    /// Reader, object, and where from.
    Stream(usize, u64, RangeSpec),
    Warm(usize, u64),
    /// Object, size.
    Replace(u64, usize),
    /// Reads while the object is replaced.
    Race(Vec<Read>, u64, usize, u64),
    Remove(u64),
    Clear(usize),
    Reopen(usize),
    /// All end, the files suffer, all begin anew.
    Restart(Vec<Damage>),
    /// The files suffer under those who use them.
    Damage(Damage),
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
    ReadAt,
    ReadInto,
    TryReadAt,
    Stream,
    CopyTo,
    /// Gives up after so many milliseconds.
    Impatient(u64),
}

#[derive(Clone, Debug)]
enum Damage {
    FlipMap(Index, Index, u8),
    FlipData(Index, Index, u8),
    CutMap(Index, Index),
    CutData(Index, Index),
    RemoveMap(Index),
    RemoveData(Index),
    FlipLedger(Index, u8),
}

fn any_read() -> impl Strategy<Value = Read> {
    let way = prop_oneof![
        3 => Just(Way::ReadAt),
        2 => Just(Way::ReadInto),
        2 => Just(Way::TryReadAt),
        2 => Just(Way::Stream),
        2 => Just(Way::CopyTo),
        1 => (0u64..20).prop_map(Way::Impatient),
    ];
    let len = prop_oneof![Just(0), 1u64..100, 1..300 * KIB, 1..4 * MIB];
    (any::<Index>(), way, any::<Index>(), len).prop_map(|(handle, way, at, len)| Read {
        handle,
        way,
        at,
        len,
    })
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let place = || (any::<Index>(), any::<Index>());
    prop_oneof![
        3 => (place(), 0u8..8).prop_map(|((file, at), bit)| Damage::FlipMap(file, at, bit)),
        3 => (place(), 0u8..8).prop_map(|((file, at), bit)| Damage::FlipData(file, at, bit)),
        1 => place().prop_map(|(file, at)| Damage::CutMap(file, at)),
        1 => place().prop_map(|(file, at)| Damage::CutData(file, at)),
        1 => any::<Index>().prop_map(Damage::RemoveMap),
        1 => any::<Index>().prop_map(Damage::RemoveData),
        1 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::FlipLedger(at, bit)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let reader = || 0..READERS;
    let reads = || prop::collection::vec(any_read(), 2..6);
    let spec = prop_oneof![
        (0..3 * MIB).prop_map(RangeSpec::From),
        (0..3 * MIB).prop_map(RangeSpec::Last),
        (0..3 * MIB, 0..MIB).prop_map(|(at, len)| RangeSpec::Bounded(ByteRange::at(at, len))),
    ];
    prop_oneof![
        6 => (reader(), 0..KEYS, any::<bool>()).prop_map(|(reader, key, any)| Step::Open(reader, key, any)),
        2 => any::<Index>().prop_map(Step::Close),
        10 => any_read().prop_map(Step::Read),
        4 => reads().prop_map(Step::Together),
        3 => (reader(), 0..KEYS, spec).prop_map(|(reader, key, spec)| Step::Stream(reader, key, spec)),
        2 => (reader(), 0..KEYS).prop_map(|(reader, key)| Step::Warm(reader, key)),
        2 => (0..KEYS, 0..SIZES.len()).prop_map(|(key, size)| Step::Replace(key, size)),
        2 => (reads(), 0..KEYS, 0..SIZES.len(), 0u64..10).prop_map(|(r, key, size, ms)| Step::Race(r, key, size, ms)),
        1 => (0..KEYS).prop_map(Step::Remove),
        1 => reader().prop_map(Step::Clear),
        1 => reader().prop_map(Step::Reopen),
        2 => prop::collection::vec(any_damage(), 0..4).prop_map(Step::Restart),
        2 => any_damage().prop_map(Step::Damage),
    ]
}

#[derive(Clone, Debug)]
struct Rules {
    budget: u64,
    memory: u64,
    read_ahead: bool,
    /// Without it nobody may touch the data of complete objects.
    verify_sealed: bool,
    max_open: usize,
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let budget = prop_oneof![1 => Just(64 * KIB), 4 => MIB..4 * MIB, 2 => Just(1 << 30)];
    let memory = prop_oneof![Just(MIB), Just(3 * MIB), Just(256 * MIB)];
    (budget, memory, any::<bool>(), any::<bool>(), 1usize..5).prop_map(
        |(budget, memory, read_ahead, verify_sealed, max_open)| Rules {
            budget,
            memory,
            read_ahead,
            verify_sealed,
            max_open,
        },
    )
}

/// What is written into it, each byte once or not at all.
#[derive(Default)]
struct Sheet(Mutex<Vec<Option<u8>>>);

impl RangeSink for Sheet {
    fn begin(&self, len: u64) -> std::io::Result<()> {
        *self.0.lock().unwrap() = vec![None; len as usize];
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut sheet = self.0.lock().unwrap();
        for (at, byte) in (offset as usize..).zip(bytes) {
            assert!(sheet[at].replace(*byte).is_none(), "byte {at} is written twice");
        }
        Ok(())
    }
}

struct Model {
    world: World,
    rules: Rules,
    readers: Vec<Reader>,
    handles: Vec<Handle>,
    versions: u64,
}

/// An object's name at the source.
fn name(key: u64) -> String {
    format!("object-{key}")
}

impl Model {
    fn new(rules: Rules) -> Self {
        let mut setup = Setup::small_parts();
        // Nothing stalls here, and the machine may be busy.
        setup.range.stall_timeout = Duration::from_secs(20);
        setup.engine.memory_budget = rules.memory;
        setup.reader.read_ahead.enabled = rules.read_ahead;
        let mut model = Self {
            world: World::new(setup),
            rules,
            readers: Vec::new(),
            handles: Vec::new(),
            versions: 0,
        };
        for key in 0..KEYS {
            model.replace(key, SIZES.len() - 1 - key as usize);
        }
        model.readers = (0..READERS).map(|_| model.reader()).collect();
        model
    }

    fn cache_dir(&self) -> PathBuf {
        self.world.dir.path().join("cache")
    }

    fn reader(&self) -> Reader {
        let mut options = CacheOptions::new(self.cache_dir(), self.rules.budget);
        options.verify_sealed = self.rules.verify_sealed;
        options.max_open = self.rules.max_open;
        options.keep_free = 0;
        let cache = Cache::open(options, self.world.setup.clock.clone()).unwrap();
        self.world.reader_with(Some(cache))
    }

    fn replace(&mut self, key: u64, size: usize) {
        self.versions += 1;
        self.world.put_tagged(&name(key), self.versions, SIZES[size]);
    }

    /// The tag of the present version of a key.
    fn present(&self, key: &str) -> Option<String> {
        Some(self.world.lab.objects().get(BUCKET, key)?.etag.clone())
    }

    /// An error must say that the version is gone, and it must be gone. `was_absent`: there was none when the read began.
    fn excused(&self, handle: &Handle, error: &ReadError, was_absent: bool) {
        let present = self.present(&handle.id().key);
        let gone = match &handle.id().version {
            Version::ETag(tag) => present.as_deref() != Some(&**tag),
            _ => false,
        };
        // It may have been made anew while the read was under way.
        let was_missed = error.kind() == ErrorKind::NotFound && (present.is_none() || was_absent);
        assert!(
            gone && (was_missed || error.kind() == ErrorKind::Changed),
            "{}: {error:?}",
            handle.id()
        );
    }

    async fn read(&self, read: &Read) {
        if self.handles.is_empty() {
            return;
        }
        let handle = read.handle.get(&self.handles);
        let at = read.at.index(handle.size() as usize + 2) as u64;
        let expected = ByteRange::at(at, read.len).clamp_to(handle.size());
        let was_absent = self.present(&handle.id().key).is_none();
        match within(attempt(handle, at, read.len, read.way)).await {
            Ok(Some(bytes)) => {
                assert_eq!(bytes.len() as u64, expected.len(), "{} {read:?}", handle.id());
                let checked = content_of(handle.id()).check(at, &bytes);
                assert_eq!(checked, Ok(()), "{} {read:?}", handle.id());
            }
            Ok(None) => {}
            Err(error) => self.excused(handle, &error, was_absent),
        }
    }

    async fn open(&mut self, reader: usize, key: u64, any: bool) {
        let mut options = OpenOptions::default();
        if any {
            options = options.freshness(Freshness::Never);
        }
        let target = self.world.target(&name(key));
        match within(self.readers[reader].open(target, options)).await {
            Ok(handle) => {
                if !any {
                    self.is_present(&handle);
                }
                self.handles.push(handle);
            }
            Err(error) => self.is_absent(key, &error),
        }
    }

    fn is_present(&self, handle: &Handle) {
        let present = self.present(&handle.id().key);
        let Version::ETag(tag) = &handle.id().version else {
            panic!("{}", handle.id());
        };
        assert_eq!(present.as_deref(), Some(&**tag), "{}", handle.id());
    }

    fn is_absent(&self, key: u64, error: &ReadError) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert_eq!(self.present(&name(key)), None);
    }

    async fn stream(&self, reader: usize, key: u64, spec: RangeSpec) {
        let target = self.world.target(&name(key));
        let size = self
            .world
            .lab
            .objects()
            .get(BUCKET, &name(key))
            .map(|it| it.size());
        let mut stream = match within(self.readers[reader].stream(target, spec)).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::Invalid => {
                let size = size.unwrap();
                let empty = matches!(spec, RangeSpec::Bounded(range) if range.is_empty())
                    || matches!(spec, RangeSpec::Last(0));
                assert!(
                    spec.resolve(size).is_none() || empty,
                    "{spec:?} of {size}: {error:?}"
                );
                return;
            }
            Err(error) => return self.is_absent(key, &error),
        };
        self.is_present(stream.handle());
        let content = content_of(stream.handle().id());
        let range = stream.range();
        assert_eq!(Some(range), spec.resolve(content.size()), "{spec:?}");
        let mut at = range.start();
        while let Some(chunk) = within(stream.next()).await {
            let chunk = chunk.unwrap();
            content.check(at, &chunk).unwrap();
            at += chunk.len() as u64;
        }
        assert_eq!(at, range.end());
    }

    async fn warm(&self, reader: usize, key: u64) {
        let reader = &self.readers[reader];
        match within(reader.warm(self.world.target(&name(key)))).await {
            Ok(warmed) => {
                let size = self.world.lab.objects().get(BUCKET, &name(key)).unwrap().size();
                assert_eq!(warmed.size, size);
                assert!(warmed.cached <= size && warmed.found <= size, "{warmed:?}");
            }
            Err(error) => self.is_absent(key, &error),
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Open(reader, key, any) => self.open(reader, key, any).await,
            Step::Close(handle) => {
                if !self.handles.is_empty() {
                    let handle = handle.index(self.handles.len());
                    self.handles.swap_remove(handle);
                }
            }
            Step::Read(read) => self.read(&read).await,
            Step::Together(reads) => {
                join_all(reads.iter().map(|read| self.read(read))).await;
            }
            Step::Stream(reader, key, spec) => self.stream(reader, key, spec).await,
            Step::Warm(reader, key) => self.warm(reader, key).await,
            Step::Replace(key, size) => self.replace(key, size),
            Step::Race(reads, key, size, ms) => {
                self.versions += 1;
                let version = self.versions;
                let replace = async {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    self.world.put_tagged(&name(key), version, SIZES[size]);
                };
                let reads = join_all(reads.iter().map(|read| self.read(read)));
                futures::future::join(reads, replace).await;
            }
            Step::Remove(key) => {
                self.world.lab.objects().delete(BUCKET, &name(key));
            }
            Step::Clear(reader) => {
                self.readers[reader].cache().unwrap().clear().unwrap();
            }
            Step::Reopen(reader) => self.readers[reader] = self.reader(),
            Step::Restart(damage) => {
                self.handles.clear();
                for reader in std::mem::take(&mut self.readers) {
                    settled(&self.world, &reader).await;
                }
                for damage in damage {
                    self.damage(&damage, false);
                }
                self.readers = (0..READERS).map(|_| self.reader()).collect();
            }
            Step::Damage(damage) => self.damage(&damage, true),
        }
    }

    /// What a process has checked it trusts while it has the file open, and everybody trusts what is sealed: such data is
    /// left alone. Small objects have theirs in the map.
    fn damage(&self, damage: &Damage, in_use: bool) {
        let (maps, data) = files(&self.cache_dir());
        let outside = |map: &&PathBuf| {
            let stem = map.file_name().unwrap().to_str().unwrap();
            data.iter().any(|data| {
                let name = data.file_name().unwrap().to_str().unwrap();
                name.starts_with(stem) && data.parent() == map.parent()
            })
        };
        let large: Vec<_> = maps.iter().filter(outside).cloned().collect();
        let careful = self.rules.verify_sealed && !in_use;
        match damage {
            Damage::FlipMap(file, at, bit) if careful => flip(&maps, file, at, *bit),
            Damage::FlipMap(file, at, bit) => flip(&large, file, at, *bit),
            Damage::FlipData(file, at, bit) if careful => flip(&data, file, at, *bit),
            Damage::CutMap(file, at) if !in_use => cut(&maps, file, at),
            Damage::CutMap(file, at) => cut(&large, file, at),
            Damage::CutData(file, at) if !in_use => cut(&data, file, at),
            // Written anew further on it would have a hole where its process knows bytes to be.
            Damage::FlipData(..) | Damage::CutData(..) => {}
            Damage::RemoveMap(file) => remove(&maps, file),
            Damage::RemoveData(file) => remove(&data, file),
            Damage::FlipLedger(at, bit) => flip(&[self.cache_dir().join("ledger")], at, at, *bit),
        }
    }

    async fn end(mut self) {
        self.handles.clear();
        for reader in &self.readers {
            settled(&self.world, reader).await;
        }
        for reader in &self.readers {
            for key in 0..KEYS {
                self.world.put_tagged(&name(key), 1000 + key, SIZES[6]);
                let handle = self.world.open(reader, &name(key)).await;
                let bytes = within(handle.read_at(0, usize::MAX)).await.unwrap();
                assert_eq!(bytes.len() as u64, SIZES[6]);
                content_of(handle.id()).check(0, &bytes).unwrap();
            }
        }
        for reader in std::mem::take(&mut self.readers) {
            settled(&self.world, &reader).await;
        }
        // What was damaged may still lie there; whoever looked for it has thrown it out.
        let reader = self.reader();
        let cache = reader.cache().unwrap();
        cache.verify(&mut |_| {}).unwrap();
        let verified = cache.verify(&mut |_| {}).unwrap();
        assert_eq!((verified.bad_blocks, verified.removed), (0, 0), "{verified:?}");
    }
}

/// One read; `None` if it was given up, or the bytes were not here.
async fn attempt(handle: &Handle, at: u64, len: u64, way: Way) -> Result<Option<Vec<u8>>, ReadError> {
    let range = ByteRange::at(at, len);
    let bytes = match way {
        Way::ReadAt => handle.read_at(at, len as usize).await?.to_vec(),
        Way::ReadInto => {
            let mut buf = vec![0xEE; len as usize];
            let got = handle.read_into(at, &mut buf).await?;
            buf.truncate(got);
            buf
        }
        Way::TryReadAt => {
            let mut buf = vec![0xEE; len as usize];
            let Some(got) = handle.try_read_at(at, &mut buf) else {
                return Ok(None);
            };
            buf.truncate(got);
            buf
        }
        Way::Stream => {
            let mut stream = handle.stream(range);
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk?);
            }
            bytes
        }
        Way::CopyTo => {
            let sheet = Arc::new(Sheet::default());
            let copied = handle.copy_to(range, sheet.clone()).await?;
            let bytes: Option<Vec<u8>> = sheet.0.lock().unwrap().iter().copied().collect();
            let bytes = bytes.expect("all of it is written");
            assert_eq!(bytes.len() as u64, copied);
            bytes
        }
        Way::Impatient(ms) => {
            let read = handle.read_at(at, len as usize);
            match tokio::time::timeout(Duration::from_millis(ms), read).await {
                Ok(bytes) => bytes?.to_vec(),
                Err(_) => return Ok(None),
            }
        }
    };
    Ok(Some(bytes))
}

/// Maps, and files of data.
fn files(dir: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut files = Vec::new();
    for shard in std::fs::read_dir(dir.join("objects")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    files.into_iter().partition(|file| file.extension().is_none())
}

/// The file, unless there is none or it went away meanwhile: others are at work.
fn opened(files: &[PathBuf], file: &Index) -> Option<(std::fs::File, u64)> {
    let path = files.get(file.index(files.len().max(1)))?;
    let file = std::fs::File::options().read(true).write(true).open(path).ok()?;
    let len = file.metadata().unwrap().len();
    Some((file, len))
}

fn flip(files: &[PathBuf], file: &Index, at: &Index, bit: u8) {
    use std::os::unix::fs::FileExt;
    let Some((file, len)) = opened(files, file) else {
        return;
    };
    let at = at.index(len.max(1) as usize) as u64;
    let mut value = [0];
    if file.read_exact_at(&mut value, at).is_ok() {
        file.write_all_at(&[value[0] ^ 1 << bit], at).unwrap();
    }
}

fn cut(files: &[PathBuf], file: &Index, at: &Index) {
    if let Some((file, len)) = opened(files, file) {
        file.set_len(at.index(len.max(1) as usize) as u64).unwrap();
    }
}

fn remove(files: &[PathBuf], file: &Index) {
    if let Some(path) = files.get(file.index(files.len().max(1))) {
        // It may have gone by itself.
        let _ = std::fs::remove_file(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_every_read_is_of_one_version(
        rules in any_rules(),
        steps in prop::collection::vec(any_step(), 1..50),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new(rules);
            for step in steps {
                model.take(step).await;
            }
            model.end().await;
        });
    }
}
