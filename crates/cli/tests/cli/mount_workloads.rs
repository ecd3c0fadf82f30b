//! What people do in writable mounts: version control, builds, databases, many writers, full disks, crashes.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::mount::MountFlags;
use rustix::process::Pid;

use crate::at::{At, kill, may_mount, mount_over, mount_writable, tree};
use crate::harness::{World, wait_for};
use crate::mount_manifest::noise;

/// A writable mount over an empty local directory.
struct Mounted {
    world: World,
    at: At,
    pid: Pid,
}

fn mounted() -> Mounted {
    let world = World::new();
    let at = At::new(&world);
    let pid = mount(&world, &at);
    Mounted { world, at, pid }
}

fn mount(world: &World, at: &At) -> Pid {
    mount_writable(world, at, &tree(world), &[])
}

/// Runs a program in a directory; what it printed.
#[track_caller]
fn run(dir: &Path, program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    let command = command
        .args(words)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_repository_is_made_cloned_and_found_good() {
    if !may_mount() {
        return;
    }
    let Mounted { world, at, pid } = mounted();
    let git = |dir: &Path, words: &[&str]| run(dir, "git", words);
    let one = at.0.join("one");
    std::fs::create_dir(&one).unwrap();
    git(&one, &["init", "-q"]);
    for dir in 0..10 {
        std::fs::create_dir(one.join(format!("dir{dir}"))).unwrap();
        for file in 0..50 {
            std::fs::write(
                one.join(format!("dir{dir}/file{file}")),
                noise(3000, dir * 50 + file),
            )
            .unwrap();
        }
    }
    git(&one, &["add", "."]);
    let commit = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-q",
        "-m",
        "all",
    ];
    git(&one, &commit);
    git(&at.0, &["clone", "-q", "--no-hardlinks", "one", "two"]);
    git(&at.0, &["clone", "-q", "one", "three"]);
    kill(pid);
    mount(&world, &at);
    for name in ["one", "two", "three"] {
        let dir = at.0.join(name);
        git(&dir, &["fsck", "--full", "--strict"]);
        assert_eq!(git(&dir, &["status", "--porcelain"]), "", "{name}");
    }
    git(&at.0.join("two"), &["gc", "-q", "--aggressive", "--prune=now"]);
    git(&at.0.join("two"), &["fsck", "--full"]);
    at.unmount(&world);
}

#[test]
fn a_crate_is_built_and_runs() {
    if !may_mount() {
        return;
    }
    let Mounted { world, at, .. } = mounted();
    let dir = at.0.join("hello");
    std::fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    let main = "mod other;\nfn main() { println!(\"{}\", other::text()); }\n";
    std::fs::write(dir.join("src/main.rs"), main).unwrap();
    std::fs::write(
        dir.join("src/other.rs"),
        "pub fn text() -> &'static str { \"one\" }\n",
    )
    .unwrap();
    assert_eq!(run(&dir, "cargo", &["run", "--offline", "-q"]), "one\n");
    // What changed is built again, and only that.
    std::fs::write(
        dir.join("src/other.rs"),
        "pub fn text() -> &'static str { \"two\" }\n",
    )
    .unwrap();
    assert_eq!(run(&dir, "cargo", &["run", "--offline", "-q"]), "two\n");
    let fresh = run(
        &dir,
        "cargo",
        &["build", "--offline", "--message-format", "json", "-q"],
    );
    assert!(fresh.contains("\"fresh\":true"), "{fresh}");
    at.unmount(&world);
}

#[test]
fn a_database_keeps_what_it_committed() {
    if !may_mount() {
        return;
    }
    let Mounted { world, at, pid } = mounted();
    let file = at.0.join("data.db");
    let mut pid = pid;
    for (round, journal) in (0_i64..).zip(["wal", "delete", "truncate"]) {
        let database = rusqlite::Connection::open(&file).unwrap();
        database.pragma_update(None, "journal_mode", journal).unwrap();
        database
            .execute_batch("create table if not exists t (id integer primary key, round int, bytes blob)")
            .unwrap();
        for n in 0..50 {
            database
                .execute(
                    "insert into t (round, bytes) values (?1, ?2)",
                    rusqlite::params![round, noise(2000, n)],
                )
                .unwrap();
        }
        // Without a good-bye.
        kill(pid);
        drop(database);
        pid = mount(&world, &at);
        let database = rusqlite::Connection::open(&file).unwrap();
        let good: String = database
            .query_row("pragma integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(good, "ok", "{journal}");
        let rows: i64 = database
            .query_row("select count(*) from t where round = ?1", [round], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(rows, 50, "{journal}");
    }
    at.unmount(&world);
}

#[test]
fn many_write_at_a_time() {
    if !may_mount() {
        return;
    }
    let Mounted { world, at, .. } = mounted();
    let shared = std::fs::File::create(at.0.join("shared")).unwrap();
    let bytes = |writer: u64| noise(100_000, writer as u32);
    std::thread::scope(|scope| {
        for writer in 0..64_u64 {
            let (at, shared) = (&at, &shared);
            scope.spawn(move || {
                shared.write_all_at(&bytes(writer), writer * 100_000).unwrap();
                let dir = at.0.join(format!("dir{}", writer % 8));
                let _ = std::fs::create_dir(&dir);
                for n in 0..20 {
                    let (new, name) = (
                        dir.join(format!("new{writer}-{n}")),
                        dir.join(format!("{writer}-{n}")),
                    );
                    std::fs::write(&new, noise(5000, n)).unwrap();
                    std::fs::rename(&new, &name).unwrap();
                }
            });
        }
    });
    let all = std::fs::read(at.0.join("shared")).unwrap();
    for writer in 0..64_u64 {
        let start = writer as usize * 100_000;
        assert!(all[start..start + 100_000] == bytes(writer), "{writer}");
    }
    for writer in 0..64 {
        for n in 0..20 {
            let file = at.0.join(format!("dir{}/{writer}-{n}", writer % 8));
            assert!(std::fs::read(file).unwrap() == noise(5000, n));
        }
    }
    drop(shared);
    at.unmount(&world);
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    std::fs::create_dir(world.path("small")).unwrap();
    let small = At(world.path("small"));
    rustix::mount::mount(c"small", &small.0, c"tmpfs", MountFlags::empty(), c"size=8m").unwrap();
    let at = At::new(&world);
    let mount = || mount_over(&world, &at, &tree(&world), &small.0.join("overlay"), &[]);
    mount();
    std::fs::write(at.0.join("kept"), noise(1 << 20, 1)).unwrap();
    let mut file = std::fs::File::create(at.0.join("large")).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&noise(1 << 18, 2)) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    assert!(std::fs::read(at.0.join("kept")).unwrap() == noise(1 << 20, 1));
    drop(file);
    // What is there can be removed, and then there is room.
    std::fs::remove_file(at.0.join("large")).unwrap();
    wait_for("room", || {
        std::fs::write(at.0.join("again"), noise(1 << 20, 3)).is_ok()
    });
    assert!(std::fs::read(at.0.join("again")).unwrap() == noise(1 << 20, 3));
    at.unmount(&world);
    mount();
    assert!(std::fs::read(at.0.join("kept")).unwrap() == noise(1 << 20, 1));
    assert!(!at.0.join("large").exists());
    at.unmount(&world);
}

#[test]
fn whatever_was_answered_is_there_whenever_it_is_killed() {
    if !may_mount() {
        return;
    }
    let Mounted { world, at, mut pid } = mounted();
    let mut random = fastrand::Rng::with_seed(7);
    let mut answered: Vec<(String, u32)> = Vec::new();
    for round in 0..6 {
        let stop = AtomicBool::new(false);
        let more = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_until(&at.0, round, &stop));
            std::thread::sleep(Duration::from_millis(random.u64(5..150)));
            kill(pid);
            stop.store(true, Relaxed);
            writer.join().unwrap()
        });
        answered.extend(more);
        pid = mount(&world, &at);
        for (name, seed) in &answered {
            let bytes = std::fs::read(at.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(bytes == noise(9000, *seed), "{name}: {} bytes", bytes.len());
        }
        // What was not answered is there or not, and never under two names.
        let there = std::fs::read_dir(&at.0).unwrap().count();
        assert!(
            there <= answered.len() + 1 + round,
            "{there} of {}",
            answered.len()
        );
    }
    assert!(answered.len() > 10, "{}", answered.len());
    at.unmount(&world);
}

/// Writes files until that fails, which it does when the daemon is gone; those of which every call was answered.
fn write_until(dir: &Path, round: usize, stop: &AtomicBool) -> Vec<(String, u32)> {
    let mut done = Vec::new();
    for n in 0.. {
        let (seed, name) = (n * 7 + round as u32, format!("{round}-{n}"));
        let all = || {
            let bytes = noise(9000, seed);
            let new = dir.join(format!("{name}.new"));
            let file = std::fs::File::create(&new)?;
            file.write_all_at(&bytes[..5000], 0)?;
            file.write_all_at(&bytes[5000..], 5000)?;
            drop(file);
            std::fs::rename(&new, dir.join(&name))
        };
        match all() {
            Ok(()) => done.push((name, seed)),
            Err(_) => break,
        }
        if stop.load(Relaxed) {
            break;
        }
    }
    done
}
