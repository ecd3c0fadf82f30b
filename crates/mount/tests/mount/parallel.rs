//! Many readers, far apart, in a storm of seeks, and gone: what they cost.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use forebay_testkit::{Content, Profile};

use crate::world::{CacheAt, MIB, Mounted, Setup, World, soon};

const KIB: u64 = 1 << 10;

/// Far enough away that many requests are under way at a time, however fast this machine is.
const FAR: Profile = Profile::of("far", Duration::from_millis(20), Some(40_000_000));

/// The most memory that was in use at a time: looked at every millisecond.
struct Watermark {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
}

impl Watermark {
    fn of(mounted: &Mounted) -> Self {
        let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let budget = mounted.reader.engine().budget().clone();
        let (seen, end) = (most.clone(), over.clone());
        let watch = std::thread::spawn(move || {
            while !end.load(Relaxed) {
                seen.fetch_max(budget.in_flight(), Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            most,
            over,
            watch: Some(watch),
        }
    }

    /// Bytes.
    fn end(self) -> u64 {
        self.most.load(Relaxed)
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
    }
}

fn pattern(world: &World, name: &str, seed: u64, size: u64) -> Content {
    let content = Content::pattern(seed, size);
    world.put(name, content.clone());
    content
}

fn check(file: &File, content: &Content, at: u64, len: u64) {
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, at).unwrap();
    content.check(at, &bytes).unwrap();
}

/// Memory and turns have come back, and the lab has nothing left to answer.
fn settled(world: &World, mounted: &Mounted) {
    mounted.block_on(mounted.reader.flush());
    let engine = mounted.reader.engine();
    let held = || {
        (
            engine.budget().in_flight(),
            engine.gate().in_flight(),
            world.lab.counts().concurrent_requests,
            mounted.mount.stats().waiting,
        )
    };
    assert!(
        soon(|| held() == (0, 0, 0, 0)),
        "left behind (memory, turns, requests at the lab, programs): {:?}",
        held()
    );
}

#[test]
fn sixty_four_handles_keep_to_the_memory_that_there_is() {
    let (handles, total) = (64, 16 * MIB);
    for cache in [CacheAt::Beside, CacheAt::Nowhere] {
        let world = World::at(FAR);
        // Each would have 32 MiB read ahead if it could.
        let files: Vec<_> = (0..16)
            .map(|n| pattern(&world, &format!("f{n}"), n, 64 * MIB))
            .collect();
        let mut setup = Setup {
            memory: total,
            cache,
            ..Setup::default()
        };
        setup.options.max_readahead = 128 << 10;
        let Some(mounted) = world.mount(setup) else { return };
        let watermark = Watermark::of(&mounted);
        std::thread::scope(|scope| {
            for handle in 0..handles {
                let (mounted, files) = (&mounted, &files);
                scope.spawn(move || {
                    let n = handle as usize % files.len();
                    let file = File::open(mounted.at(&format!("f{n}"))).unwrap();
                    // Four readers of a file, at four places of it.
                    let start = handle / 16 * 16 * MIB;
                    for piece in 0..12 {
                        check(&file, &files[n], start + piece * 128 * KIB, 128 * KIB);
                    }
                });
            }
        });
        let most = watermark.end();
        // Above it each read under way has what it needs itself: the kernel asks for 128 KiB, and once ahead of that.
        let bound = total + handles * 2 * 128 * KIB;
        assert!(most <= bound, "{} MiB, {} allowed", most / MIB, bound / MIB);
        assert_eq!(mounted.mount.stats().errors, 0);
        settled(&world, &mounted);
    }
}

#[test]
fn two_readers_of_one_file_far_apart_do_not_disturb_each_other() {
    let world = World::at(FAR);
    let content = pattern(&world, "file", 1, 256 * MIB);
    for cache in [CacheAt::Beside, CacheAt::Nowhere] {
        // What one reader costs, and what two do.
        let costs = [1u64, 2].map(|readers| {
            let setup = Setup {
                cache: cache.clone(),
                memory: 64 * MIB,
                ..Setup::default()
            };
            let mounted = world.mount(setup)?;
            let files: Vec<_> = (0..readers)
                .map(|_| File::open(mounted.at("file")).unwrap())
                .collect();
            let before = world.lab.counts();
            for piece in 0..128 {
                for (file, start) in files.iter().zip([0, 128 * MIB]) {
                    check(file, &content, start + piece * 128 * KIB, 128 * KIB);
                }
            }
            drop(files);
            settled(&world, &mounted);
            let after = world.lab.counts();
            Some((after.gets - before.gets, after.bytes_sent - before.bytes_sent))
        });
        let [Some(one), Some(two)] = costs else { return };
        eprintln!("{cache:?}: GETs and bytes: one {one:?}, two {two:?}");
        // Each has its own run: no more than twice the requests and bytes of one, but for where memory cut them short.
        assert!(two.0 <= 2 * one.0 + 8, "{cache:?}: GETs {one:?} {two:?}");
        assert!(two.1 <= 2 * one.1 + 64 * MIB, "{cache:?}: bytes {one:?} {two:?}");
    }
}

#[test]
fn two_readers_of_the_same_bytes_fetch_them_once() {
    let world = World::at(FAR);
    let size = 32 * MIB;
    let content = pattern(&world, "file", 2, size);
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let before = world.lab.counts();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (mounted, content) = (&mounted, &content);
            scope.spawn(move || {
                let file = File::open(mounted.at("file")).unwrap();
                for at in (0..size).step_by(256 << 10) {
                    check(&file, content, at, 256 * KIB);
                }
            });
        }
    });
    settled(&world, &mounted);
    let sent = world.lab.counts().bytes_sent - before.bytes_sent;
    assert!(
        sent >= size && sent <= size + MIB,
        "{sent} bytes for a file of {size}"
    );
}

#[test]
fn a_storm_of_seeks_fetches_about_what_it_reads() {
    let size = 256 * MIB;
    for (advised, cache) in [
        (true, CacheAt::Beside),
        (false, CacheAt::Beside),
        (false, CacheAt::Nowhere),
    ] {
        let world = World::new();
        let content = pattern(&world, "file", 3, size);
        let setup = Setup {
            cache: cache.clone(),
            ..Setup::default()
        };
        let Some(mounted) = world.mount(setup) else { return };
        let file = File::open(mounted.at("file")).unwrap();
        if advised {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        }
        let before = world.lab.counts();
        let reads = 300;
        let mut place = 88_172_645_463_325_252u64;
        for _ in 0..reads {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            check(&file, &content, (place >> 20) % (size - 4096), 4096);
        }
        drop(file);
        settled(&world, &mounted);
        let after = world.lab.counts();
        let (gets, sent) = (after.gets - before.gets, after.bytes_sent - before.bytes_sent);
        eprintln!("advised {advised}, {cache:?}: {gets} GETs, {sent} bytes");
        // Whole blocks of 64 KiB, two where the kernel's pages lie across a border.
        assert!(
            sent <= reads * 2 * 64 * KIB + 2 * MIB,
            "advised: {advised}: {sent} bytes for {reads} reads of 4 KiB"
        );
        assert!(gets <= reads * 3 / 2, "advised: {advised}: {gets} GETs");
    }
}

#[test]
fn what_is_read_ahead_ends_when_the_file_is_closed() {
    for cache in [CacheAt::Beside, CacheAt::Nowhere] {
        let world = World::at(Profile::STANDARD);
        let content = pattern(&world, "file", 4, 1 << 30);
        let setup = Setup {
            cache,
            ..Setup::default()
        };
        let Some(mounted) = world.mount(setup) else { return };
        let file = File::open(mounted.at("file")).unwrap();
        let mut at = 0;
        let is_ahead = soon(|| {
            check(&file, &content, at, 128 * KIB);
            at += 128 * KIB;
            at > 4 * MIB && world.lab.counts().bytes_sent > at + 2 * MIB
        });
        assert!(is_ahead, "it reads ahead");
        drop(file);
        settled(&world, &mounted);
        let sent = world.lab.counts().bytes_sent;
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(10));
            assert_eq!(world.lab.counts().bytes_sent, sent, "nothing comes any more");
        }
        assert!(sent < at + 256 * MIB, "{sent} bytes sent for {at} read");
    }
}

#[test]
fn what_is_read_ahead_ends_with_the_program() {
    let world = World::at(Profile::STANDARD);
    let content = pattern(&world, "file", 5, 1 << 30);
    let Some(mounted) = world.mount(Setup::default()) else {
        return;
    };
    let mut child = Command::new("cat")
        .arg(mounted.at("file"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads, and is stopped by a pipe that nobody empties.
    let mut first = vec![0; 2 << 20];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    content.check(0, &first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    settled(&world, &mounted);
    let sent = world.lab.counts().bytes_sent;
    assert!(sent < 512 * MIB, "{sent}");
}
