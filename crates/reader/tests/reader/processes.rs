//! Several processes on one cache directory with a budget that is far too small, some of them killed.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_range::{RangeEngine, Target};
use forebay_reader::{OpenOptions, Reader};
use forebay_types::{ByteRange, ErrorKind, RangeSpec};
use futures::StreamExt;

use crate::world::{BUCKET, KIB, MIB, Setup, World, content_of, opener, within};

const BUDGET: u64 = 3 * MIB;

/// Sizes by key: inside a map, some blocks, about the budget.
const SIZES: [u64; 6] = [300, 200 * KIB, 400 * KIB + 1, MIB, 2 * MIB + 77, 4 * MIB];

fn options(dir: PathBuf) -> CacheOptions {
    let mut options = CacheOptions::new(dir, BUDGET);
    options.keep_free = 0;
    options.max_open = 4;
    options
}

/// The child: reads at random, every byte is checked.
#[test]
#[ignore = "a process that other tests start"]
fn a_user() {
    let Some(dir) = order() else { return };
    let (endpoint, seed) = (order().unwrap(), order().unwrap());
    let visits: u32 = order().unwrap().parse().unwrap();
    let mut random = fastrand::Rng::with_seed(seed.parse().unwrap());
    let mut setup = Setup::small_parts();
    setup.range.stall_timeout = Duration::from_secs(30);
    setup.engine.memory_budget = 16 * MIB;
    let cache = Cache::open(options(dir.into()), setup.clock.clone()).unwrap();
    let engine = RangeEngine::with_options(setup.range.clone(), setup.engine, setup.clock.clone());
    let reader = Reader::new(engine, Some(cache), setup.reader.clone());
    let opener = opener(&endpoint);
    let config = Arc::new(setup.range);
    let target = |key: u64| {
        let url = format!("s3://{BUCKET}/object-{key}").parse().unwrap();
        Target::new(&opener.open(&url).unwrap(), config.clone())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        println!("ready");
        for _ in 0..visits {
            let key = random.u64(0..SIZES.len() as u64);
            match within(visit(&reader, target(key), &mut random)).await {
                Ok(()) => {}
                // Whoever is parent puts new versions there.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{error:?}"),
            }
        }
        reader.flush().await;
    });
    println!("done");
}

async fn visit(
    reader: &Reader,
    target: Target,
    random: &mut fastrand::Rng,
) -> Result<(), forebay_reader::ReadError> {
    if random.u8(0..8) == 0 {
        let mut stream = reader.stream(target, RangeSpec::From(0)).await?;
        let content = content_of(stream.handle().id());
        let mut at = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            content.check(at, &chunk).unwrap();
            at += chunk.len() as u64;
        }
        assert_eq!(at, content.size());
        return Ok(());
    }
    if random.u8(0..12) == 0 {
        reader.warm(target).await?;
        return Ok(());
    }
    let handle = reader.open(target, OpenOptions::default()).await?;
    let content = content_of(handle.id());
    for _ in 0..random.u8(1..8) {
        let range = ByteRange::at(random.u64(0..handle.size()), random.u64(1..300 * KIB));
        let mut buf = vec![0; range.len() as usize];
        let got = match handle.try_read_at(range.start(), &mut buf) {
            Some(got) => got,
            None => handle.read_into(range.start(), &mut buf).await?,
        };
        assert_eq!(got as u64, range.clamp_to(handle.size()).len());
        content.check(range.start(), &buf[..got]).unwrap();
    }
    Ok(())
}

/// An order of the parent; `None` if there is none.
fn order() -> Option<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok()?;
    let line = line.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

/// This test binary again, as [`a_user`].
struct User {
    child: Child,
    _orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl User {
    fn start(world: &World, seed: u64, visits: u32) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::a_user", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut orders = child.stdin.take().unwrap();
        let dir = world.dir.path().join("cache");
        let all: [&dyn Display; 4] = [&dir.display(), &world.lab.endpoint(), &seed, &visits];
        for order in all {
            writeln!(orders, "{order}").unwrap();
        }
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut user = Self {
            child,
            _orders: orders,
            answers,
        };
        user.hear("ready");
        user
    }

    fn hear(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            let read = self.answers.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the child ended before it said '{word}'");
        }
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn finish(mut self) {
        self.hear("done");
        let mut rest = String::new();
        self.answers.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

fn shop() -> World {
    let world = World::new(Setup::small_parts());
    for (key, size) in (0..).zip(SIZES) {
        world.put_tagged(&format!("object-{key}"), key, size);
    }
    world
}

/// Nothing that lies there is wrong, and the directory is of use to whoever comes next.
fn verify(world: &World) {
    let clock = world.setup.clock.clone();
    let cache = Cache::open(options(world.dir.path().join("cache")), clock).unwrap();
    let verified = cache.verify(&mut |_| {}).unwrap();
    assert_eq!((verified.bad_blocks, verified.removed), (0, 0), "{verified:?}");
    cache.flush();
    let stats = cache.stats();
    assert!(stats.current_size <= BUDGET, "{stats:?}");
    assert_eq!((stats.corrupt, stats.io_errors), (0, 0), "{stats:?}");
}

#[test]
fn processes_share_a_directory_that_is_too_small() {
    let world = shop();
    let users: Vec<_> = (0..3).map(|seed| User::start(&world, seed, 60)).collect();
    // Meanwhile the objects change.
    let mut random = fastrand::Rng::with_seed(1);
    for version in 100..120 {
        let key = random.usize(0..SIZES.len());
        world.put_tagged(&format!("object-{key}"), version, SIZES[key]);
        std::thread::sleep(Duration::from_millis(20));
    }
    users.into_iter().for_each(User::finish);
    verify(&world);
}

#[test]
fn processes_that_are_killed_leave_nothing_wrong_behind() {
    let world = shop();
    let steady = User::start(&world, 7, 100);
    let mut random = fastrand::Rng::with_seed(2);
    for seed in 20..32 {
        let victim = User::start(&world, seed, u32::MAX);
        std::thread::sleep(Duration::from_millis(random.u64(0..80)));
        victim.kill();
    }
    steady.finish();
    User::start(&world, 50, 30).finish();
    verify(&world);
}
