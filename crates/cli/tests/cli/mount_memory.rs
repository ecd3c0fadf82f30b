//! A mount whose process has little memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_testkit::Content;

use crate::at::{At, may_mount};
use crate::harness::{lab, on_disk, wait_for};
use crate::mount_process::world;

const MIB: u64 = 1 << 20;

/// A control group with a limit of memory, in which processes are started.
struct Group {
    dir: PathBuf,
    is_v2: bool,
}

impl Group {
    /// Below that of this process. `None` where that cannot be made.
    fn new(name: &str, bytes: u64) -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let found = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let v1 = controllers.split(',').any(|name| name == "memory");
            let mount = Path::new("/sys/fs/cgroup");
            let dir = mount.join(if v1 { "memory" } else { "" }).join(path);
            let v2 = controllers.is_empty()
                && std::fs::read_to_string(dir.join("cgroup.subtree_control"))
                    .is_ok_and(|all| all.split_whitespace().any(|name| name == "memory"));
            (v1 || v2).then_some((dir, v2))
        });
        let (above, is_v2) = found?;
        let dir = above.join(format!("forebay-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).ok()?;
        let group = Self { dir, is_v2 };
        let limit = if is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        std::fs::write(group.dir.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }

    /// The same command, started in the group.
    fn start(&self, command: &Command) -> Child {
        let mut inside = Command::new("/bin/sh");
        inside
            .arg("-c")
            .arg("echo $$ > \"$0\"/cgroup.procs && exec \"$@\"")
            .arg(&self.dir)
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside.spawn().unwrap()
    }

    /// How many processes were killed for want of memory.
    fn killed(&self) -> u64 {
        let file = if self.is_v2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = std::fs::read_to_string(self.dir.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.map_or(0, |count| count.trim().parse().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty only when the last of its processes is gone.
        for _ in 0..200 {
            if std::fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ended, however the test ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A figure of a process in bytes.
fn status(pid: u32, what: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(what))?;
    let kib: u64 = line
        .trim_start_matches(':')
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .ok()?;
    Some(kib << 10)
}

/// The most anonymous memory that a process had at a time.
fn watch(pid: u32, over: Arc<AtomicBool>) -> Arc<AtomicU64> {
    let most = Arc::new(AtomicU64::new(0));
    let seen = most.clone();
    std::thread::spawn(move || {
        while !over.load(Relaxed) {
            seen.fetch_max(status(pid, "RssAnon").unwrap_or(0), Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    most
}

#[test]
fn a_mount_with_little_memory_reads_much_more_than_that() {
    if !may_mount() {
        return;
    }
    let Some(group) = Group::new("mount", 192 * MIB) else {
        eprintln!("not run: no control group with a limit of memory can be made here");
        return;
    };
    let (lab, cache) = (lab(), on_disk());
    // Four of 512 MiB.
    let contents: Vec<_> = (0..4)
        .map(|n| {
            let content = Content::pattern(n, 512 * MIB);
            lab.objects().put("bucket", &format!("f{n}"), content.clone());
            content
        })
        .collect();
    // A quarter of the limit, which is found by itself.
    let budget = 48 * MIB;
    let world = world(&lab, &cache).set("FOREBAY_CACHE_SIZE", "4GiB");
    let at = At::new(&world);
    let child = group.start(&world.command(&["mount", "s3://bucket/", at.name(), "--foreground"]));
    let mut daemon = Daemon(child);
    let pid = daemon.0.id();
    wait_for("the mount", || at.0.join("f0").exists());
    let over = Arc::new(AtomicBool::new(false));
    let most = watch(pid, over.clone());
    for round in ["cold", "warm"] {
        std::thread::scope(|scope| {
            for (n, content) in contents.iter().enumerate() {
                let path = at.0.join(format!("f{n}"));
                scope.spawn(move || {
                    let file = File::open(path).unwrap();
                    let mut bytes = vec![0; 1 << 20];
                    for start in (0..content.size()).step_by(1 << 20) {
                        file.read_exact_at(&mut bytes, start).unwrap();
                        content.check(start, &bytes).unwrap();
                    }
                });
            }
        });
        let now = status(pid, "VmRSS").unwrap();
        eprintln!(
            "{round}: RSS {} MiB, anonymous at most {} MiB",
            now / MIB,
            most.load(Relaxed) / MIB
        );
    }
    assert!(daemon.0.try_wait().unwrap().is_none(), "it lives");
    assert_eq!(group.killed(), 0);
    // The program's own file, which is mapped, is not its memory.
    let highest = status(pid, "VmHWM").unwrap() - status(pid, "RssFile").unwrap();
    over.store(true, Relaxed);
    let anonymous = most.load(Relaxed);
    assert!(
        anonymous <= budget + 64 * MIB && highest <= budget + 64 * MIB,
        "{} MiB anonymous, {} MiB in all, {} allowed",
        anonymous / MIB,
        highest / MIB,
        (budget + 64 * MIB) / MIB
    );
    world.run(&["unmount", at.name()]).ok();
    wait_for("the end of the daemon", || daemon.0.try_wait().unwrap().is_some());
}
