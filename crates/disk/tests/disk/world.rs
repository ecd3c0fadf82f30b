//! What the tests share: files whose every byte tells its place, disks, runtimes, and an end to waiting.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use forebay_disk::{DirectFile, Disk, DiskOptions, EngineChoice, Wanted};
use forebay_types::{ByteRange, Clock, SystemClock};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub(crate) const MIB: u64 = 1 << 20;

/// Longer than anything here takes on a busy machine; less than nextest waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that differ at every place: a misplaced read shows, by whatever multiple of a unit.
pub(crate) fn contents(len: u64) -> Vec<u8> {
    let words = (0..len.div_ceil(8)).flat_map(|word| {
        let mixed = (word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).to_le_bytes()
    });
    words.take(len as usize).collect()
}

/// A directory on the disk that the build is on.
pub(crate) fn on_disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A file that is on its disk, not only in the page cache.
pub(crate) fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    path
}

pub(crate) fn direct(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
}

/// Offsets, lengths and addresses in multiples of `unit`.
pub(crate) fn unit(unit: u64) -> Wanted {
    Wanted {
        direct: true,
        alignment: Some(unit),
        min_io_size: 512,
    }
}

/// The engines of this machine; a test that lacks one says so.
pub(crate) fn engines() -> Vec<EngineChoice> {
    let all = [EngineChoice::IoUring, EngineChoice::Pread];
    all.into_iter().filter(|engine| has(*engine)).collect()
}

pub(crate) fn has(engine: EngineChoice) -> bool {
    let options = DiskOptions {
        engine,
        ..DiskOptions::default()
    };
    let made = Disk::new(options, None);
    if let Err(error) = &made {
        eprintln!("skipped: {engine}: {error}");
    }
    made.is_ok()
}

pub(crate) fn disk(engine: EngineChoice) -> Disk {
    let options = DiskOptions {
        engine,
        ..DiskOptions::default()
    };
    Disk::new(options, None).unwrap()
}

/// A file read directly.
pub(crate) fn open(disk: &Disk, path: &Path, wanted: Wanted) -> DirectFile {
    let file = disk.open(direct(path).unwrap(), wanted).unwrap();
    assert!(file.is_direct(), "{} is not read directly", path.display());
    file
}

pub(crate) fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The part of `bytes` that a read of `range` has to give.
pub(crate) fn part(bytes: &[u8], range: ByteRange) -> &[u8] {
    let range = range.clamp_to(bytes.len() as u64);
    &bytes[range.start() as usize..range.end() as usize]
}

/// Compares without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], want: &[u8], what: &dyn std::fmt::Debug) {
    if got == want {
        return;
    }
    let differs = got.iter().zip(want).position(|(got, want)| got != want);
    panic!(
        "{what:?}: {} bytes for {}, the first that differs is {differs:?}",
        got.len(),
        want.len()
    );
}

/// Begins all reads, then waits for each: all are under way at once.
pub(crate) async fn check(file: &DirectFile, bytes: &[u8], ranges: &[ByteRange]) {
    let reads: Vec<_> = ranges.iter().map(|range| (*range, file.read(*range))).collect();
    for (range, read) in reads {
        let got = read.await.unwrap();
        assert_same(&got, part(bytes, range), &(range, file.geometry()));
    }
}

pub(crate) fn check_blocking(file: &DirectFile, bytes: &[u8], ranges: &[ByteRange]) {
    for range in ranges {
        let got = file.read_blocking(*range).unwrap();
        assert_same(&got, part(bytes, *range), &(range, file.geometry()));
    }
}

/// Both ways of one disk.
pub(crate) fn check_all(file: &DirectFile, bytes: &[u8], ranges: &[ByteRange]) {
    let runtime = multi_thread();
    for ranges in ranges.chunks(256) {
        runtime.block_on(check(file, bytes, ranges));
    }
    check_blocking(file, bytes, ranges);
}

/// Runs `body` on a thread of its own: one that hangs is a failure, not a wait.
pub(crate) fn finishes<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = tell.send(body());
    });
    match told.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs:\n{}", threads()),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("it ended without a result"),
        },
    }
}

/// What every thread of this process waits for, as far as the kernel tells: its name, where in the kernel it is, and in which
/// system call. A child process that has not ended shows as a thread in wait4 (61) or poll (7).
fn threads() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let tell = |task: PathBuf| {
        let read = |name: &str| std::fs::read_to_string(task.join(name)).unwrap_or_default();
        let [comm, wchan, syscall] = ["comm", "wchan", "syscall"].map(read);
        format!("{} in {wchan}, {}", comm.trim(), syscall.trim())
    };
    let told = tasks.flatten().map(|task| tell(task.path()));
    told.collect::<Vec<_>>().join("\n")
}

/// Waits until `done` says so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !done() {
        assert!(clock.now() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// All memory is back.
#[track_caller]
pub(crate) fn all_is_back(disk: &Disk) {
    eventually("buffers stay on loan", || {
        let pool = disk.pool().stats();
        pool.in_use == 0 && pool.apart == 0
    });
}

/// An executor of the smallest kind, which no read can lean on.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// This test binary, to run its ignored test `name` alone in a process of its own.
pub(crate) fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// Runs it; its one test has to pass.
pub(crate) fn run(mut child: Command) {
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
