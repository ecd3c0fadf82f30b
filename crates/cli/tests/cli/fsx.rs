//! The file system exerciser (fsx) on mounts that are written: reads, writes, mappings, cuts, holes and copies of one file at
//! random places, each read compared with what was written before it.
//!
//! `FOREBAY_TEST_FSX` says where the program is; `./test` installs it. Each file has a seed: some always the same ones, one of
//! the time, which a failure tells. To run longer: `FOREBAY_TEST_FSX_OPERATIONS=1000000 cargo test --workspace --all-features
//! --test cli fsx` adds seeds of the time until each test has done so many operations (`cargo nextest` ends what takes long).
//!
//! fsx begins with a file without bytes. A file from below has bytes, so there it begins with a plain file, and is led to
//! the mount when it closes its file to open it again ([`led`]).

mod led;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use forebay_testkit::{FaultKind, Rule};
use forebay_types::{Clock, SystemClock};
use rustix::process::Pid;

use crate::at::{At, kill, may_mount, mount_writable, tree};
use crate::harness::{World, installed, lab};
use led::Led;

/// Seeds that are always run.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Bytes that the largest file has: many blocks, each of which comes from below.
const LARGEST: u64 = 8 << 20;

/// Operations of each run. fsx never takes its mappings away that it reads, and a process may have 65 530.
const NEW: u64 = 1500;

/// The same of a file from below: by then all of it has come.
const LED: u64 = 1000;

/// The operation from which on it is led away from the plain file: by then that is almost as long as it gets.
const LED_FROM: u64 = 400;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
struct Run {
    seed: u64,
    operations: u64,
    /// Whether it maps the file. A mapping that it reads is never taken away, so a file that was mapped is never closed.
    maps: bool,
    /// Whether it waits after each write to a mapping until that is a write to the file.
    syncs: bool,
    /// Whether it is read by somebody else meanwhile, who opened it first.
    watched: bool,
}

impl Run {
    /// Those of one test, of so many operations each.
    fn all(operations: u64) -> Vec<Self> {
        let now = SystemClock::new().wall().as_nanos() as u64;
        let wanted = operations_wanted().div_ceil(operations);
        let by_time = wanted.saturating_sub(SEEDS.len() as u64).max(1);
        let seeds = SEEDS.into_iter().chain((0..by_time).map(|n| now.wrapping_add(n)));
        let runs = seeds.enumerate().map(|(nth, seed)| Self {
            seed,
            operations,
            maps: nth % 4 != 1,
            syncs: nth % 2 == 0,
            watched: nth % 4 >= 2,
        });
        runs.collect()
    }

    fn config(&self) -> String {
        let maps = if self.maps { 6 } else { 0 };
        format!(
            "flen = {LARGEST}\nnomsyncafterwrite = {}\n[opsize]\nmin = 1\nmax = 140000\n\
             [weights]\nclose_open = 1\nread = 10\nwrite = 8\nmapread = {maps}\nmapwrite = {maps}\ninvalidate = 1\n\
             truncate = 0.4\nfsync = 0.3\nfdatasync = 0.3\nposix_fallocate = 1\npunch_hole = 2\nsendfile = 4\n\
             posix_fadvise = 2\ncopy_file_range = 3\n",
            !self.syncs,
        )
    }

    /// The program, to do the first `operations`.
    fn command(&self, fsx: &Fsx, file: &Path, operations: u64) -> Command {
        let config = fsx.world.write("fsx.toml", self.config());
        let mut command = Command::new(&fsx.program);
        command
            .env_clear()
            .current_dir(fsx.world.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .args(["-P", ".", "-S", &self.seed.to_string()])
            .args(["-N", &operations.to_string(), "-f"])
            .args([config.as_path(), file]);
        command
    }

    /// What the file is after so many operations.
    fn expected(&self, fsx: &Fsx, operations: u64) -> Vec<u8> {
        let plain = fsx.world.path("plain");
        let output = self.command(fsx, &plain, operations).output().unwrap();
        self.check(&output);
        std::fs::read(plain).unwrap()
    }

    #[track_caller]
    fn check(&self, output: &Output) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?}:\n{said}");
    }
}

/// The program and where it works.
struct Fsx {
    program: PathBuf,
    world: World,
}

fn operations_wanted() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "who runs the tests says how long")]
    let wanted = std::env::var("FOREBAY_TEST_FSX_OPERATIONS");
    wanted.map_or(0, |wanted| wanted.parse().unwrap())
}

/// `None`, and it is said, where it cannot be run.
fn program() -> Option<PathBuf> {
    installed("FOREBAY_TEST_FSX").filter(|_| may_mount())
}

/// How files are read and written.
fn with_io(world: World, io: &str) -> World {
    match io {
        "handed over" => world,
        io => world
            .set("FOREBAY_MOUNT_PASSTHROUGH", "false")
            .set("FOREBAY_MOUNT_IO", io),
    }
}

/// Reads anywhere in a file, whatever is there, until it is told to stop.
fn watch(file: &File, stop: &AtomicBool) {
    let mut state: u64 = 88_172_645_463_325_252;
    let mut bytes = vec![0; 100_000];
    while !stop.load(Relaxed) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let len = (state >> 32) as usize % bytes.len();
        file.read_at(&mut bytes[..len], state % LARGEST).unwrap();
    }
}

/// Does `work` while somebody else reads the file.
fn watched<T>(file: &File, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(file, &stop));
        let done = work();
        stop.store(true, Relaxed);
        watching.join().unwrap();
        done
    })
}

/// Files and what is in them: now, and when it is mounted again after its process was killed.
fn check_all(world: &World, at: &At, url: &str, pid: Pid, files: &[(Run, Vec<u8>)]) {
    let check = |when: &str| {
        for (nth, (run, expected)) in files.iter().enumerate() {
            let there = std::fs::read(at.0.join(format!("f{nth}"))).unwrap();
            assert_eq!(there.len(), expected.len(), "{when}: {run:?}");
            let wrong = there.iter().zip(expected).position(|(one, other)| one != other);
            assert_eq!(wrong, None, "{when}: {run:?}");
        }
    };
    check("before the kill");
    if files.iter().any(|(run, _)| !run.syncs) {
        // What a program put into a mapping and did not sync, the kernel has.
        rustix::fs::syncfs(at.open("")).unwrap();
    }
    kill(pid);
    mount_writable(world, at, url, &[]);
    check("after the kill");
    at.unmount(world);
}

fn new_files(io: &str) {
    let Some(program) = program() else { return };
    let fsx = Fsx {
        program,
        world: with_io(World::new().set("FOREBAY_CACHE_ENABLED", "false"), io),
    };
    let world = &fsx.world;
    let url = tree(world);
    let at = At::new(world);
    let pid = mount_writable(world, &at, &url, &[]);
    let files = Run::all(NEW).into_iter().enumerate().map(|(nth, run)| {
        let file = at.0.join(format!("f{nth}"));
        let work = || run.command(&fsx, &file, run.operations).output().unwrap();
        let output = if run.watched {
            std::fs::write(&file, "").unwrap();
            watched(&File::open(&file).unwrap(), work)
        } else {
            work()
        };
        run.check(&output);
        (run, run.expected(&fsx, run.operations))
    });
    let files: Vec<_> = files.collect();
    check_all(world, &at, &url, pid, &files);
}

fn files_from_below(io: &str) {
    let Some(program) = program() else { return };
    let lab = lab();
    let fsx = Fsx {
        program,
        world: with_io(World::with(&lab), io),
    };
    let world = &fsx.world;
    let leads = Run::all(LED).into_iter().enumerate().map(|(nth, run)| {
        let led = Led::new(&fsx, run, LED_FROM);
        lab.objects()
            .put("box", &format!("tree/f{nth}"), led.content.clone());
        led
    });
    let leads: Vec<_> = leads.collect();
    lab.faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(2))));
    let url = "s3://box/tree/";
    let at = At::new(world);
    let pid = mount_writable(world, &at, url, &[]);
    let files = leads.into_iter().enumerate().map(|(nth, led)| {
        let file = at.0.join(format!("f{nth}"));
        let work = || led.exercise(&fsx, &file);
        let output = if led.run.watched {
            watched(&File::open(&file).unwrap(), work)
        } else {
            work()
        };
        led.run.check(&output);
        (led.run, led.run.expected(&fsx, led.run.operations))
    });
    let files: Vec<_> = files.collect();
    // They did come from there, in parts: nothing was copied when they were opened.
    let counts = lab.counts();
    assert!(counts.gets > 10 * files.len() as u64, "{counts:?}");
    check_all(world, &at, url, pid, &files);
}

#[test]
fn new_files_that_the_kernel_writes() {
    new_files("handed over");
}

#[test]
fn new_files_that_are_served_from_pages() {
    new_files("pages");
}

#[test]
fn new_files_that_are_served_directly() {
    new_files("direct");
}

#[test]
fn files_from_below_where_the_kernel_may_write() {
    files_from_below("handed over");
}

#[test]
fn files_from_below_that_are_served_from_pages() {
    files_from_below("pages");
}

#[test]
fn files_from_below_that_are_served_directly() {
    files_from_below("direct");
}
