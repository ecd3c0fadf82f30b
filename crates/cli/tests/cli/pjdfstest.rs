//! The tests of pjdfstest: all that a writable mount can hold, and those of a read-only one. Which they are stands in
//! `crates/mount/tests/pjdfstest.md`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::mount::MountFlags;

use crate::at::{At, may_mount, mount_writable, tree};
use crate::harness::{World, installed};

fn notes(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../mount/tests")
        .join(name)
}

/// The names in a list of `pjdfstest.md`.
fn listed(heading: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(notes("pjdfstest.md")).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix("- `"));
    items
        .filter_map(|item| Some(item.split_once('`')?.0.to_owned()))
        .collect()
}

/// The names whose line of the report ends so.
fn reported(report: &str, end: &str) -> BTreeSet<String> {
    let ended = report.lines().filter_map(|line| line.strip_suffix(end));
    ended.map(|name| name.trim().to_owned()).collect()
}

fn pjdfstest(world: &World, config: &str, words: &[&str]) -> Option<Output> {
    let program = installed("FOREBAY_TEST_PJDFSTEST")?;
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display());
    let output = Command::new(program)
        .env_clear()
        .env("PATH", path)
        .env("HOME", world.home())
        .env("NO_COLOR", "1")
        .arg("-c")
        .arg(notes(config))
        .args(words)
        .current_dir("/")
        .output();
    Some(output.unwrap())
}

#[test]
fn what_pjdfstest_asks_of_a_read_only_file_system_holds() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    for name in ["tree", "at", "other", "other-tree", "bin"] {
        std::fs::create_dir(world.path(name)).unwrap();
    }
    let [tree, at, other] = ["tree", "at", "other"].map(|name| At(world.path(name)));
    // A file system of its own, seen twice: in one place it is written to, above it in the other place ours is mounted.
    rustix::mount::mount(c"pjdfstest", &tree.0, c"tmpfs", MountFlags::empty(), c"mode=755").unwrap();
    rustix::mount::mount_bind(&tree.0, &at.0).unwrap();
    let command = world.command(&["--no-cache"]);
    let program = command.get_program().to_str().unwrap();
    let remount = format!(
        "#!/bin/sh\nset -e\n\
         case \"$*\" in\n\
         '-o remount,ro {at}') exec '{program}' --no-cache mount '{tree}/' '{at}' ;;\n\
         '-o remount,rw {at}') exec '{program}' unmount '{at}' ;;\n\
         *) echo \"mount $*: not known here\" >&2; exit 1 ;;\n\
         esac\n",
        at = at.0.display(),
        tree = tree.0.display(),
    );
    let script = world.write("bin/mount", remount);
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (at_name, other_name) = (at.name(), other.name());
    let other_tree = format!("{}/", world.path("other-tree").display());
    world.run(&["--no-cache", "mount", &other_tree, other_name]).ok();

    let words = ["-p", at_name, "-s", other_name, "erofs", "exdev"];
    let Some(output) = pjdfstest(&world, "pjdfstest.toml", &words) else {
        return;
    };
    let report = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        reported(&report, " ok"),
        listed("Tests that pass"),
        "{report}{said}"
    );
    assert_eq!(
        reported(&report, " failed as expected"),
        listed("Tests that fail"),
        "{report}{said}"
    );
    assert!(output.status.success(), "{report}{said}");
    // The reason for leaving the others out: they begin with a directory of their own.
    let output = pjdfstest(&world, "pjdfstest.toml", &["-p", other_name]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Read-only file system") && output.stdout.is_empty(),
        "{said}"
    );
}

#[test]
fn what_pjdfstest_asks_of_a_writable_file_system_holds() {
    if !may_mount() {
        return;
    }
    let world = World::new();
    for name in ["at", "other", "bin"] {
        std::fs::create_dir(world.path(name)).unwrap();
    }
    let [at, other] = ["at", "other"].map(|name| At(world.path(name)));
    rustix::mount::mount(c"pjdfstest", &other.0, c"tmpfs", MountFlags::empty(), c"mode=755").unwrap();
    let (at_name, other_name) = (at.name(), other.name());
    mount_writable(&world, &at, &tree(&world), &["--no-cache", "--allow-other"]);
    // Others have to get there.
    for dir in [world.path(""), at.0.clone()] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let words = ["-p", at_name, "-s", other_name];
    let Some(output) = pjdfstest(&world, "pjdfstest-writable.toml", &words) else {
        return;
    };
    let report = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let passed = reported(&report, " ok");
    // Of some four hundred lines those that tell: the last ones, with the reason below the name.
    let telling = report.lines().filter(|line| !line.ends_with(" ok"));
    let told = telling.collect::<Vec<_>>().join("\n");
    assert_eq!(
        reported(&report, " FAILED"),
        listed("Writable: tests that fail"),
        "{} passed, and\n{told}\n{said}",
        passed.len()
    );
    assert_eq!(
        reported(&report, " skipped"),
        listed("Writable: tests that are left out"),
        "{told}\n{said}"
    );
    assert!(passed.len() > 380, "{} passed\n{told}\n{said}", passed.len());
}
