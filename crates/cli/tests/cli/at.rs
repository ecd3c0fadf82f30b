//! Where tests mount.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{World, wait_for};

/// A directory to mount on; all that is mounted there is taken away at the end, whatever happened.
pub(crate) struct At(pub(crate) PathBuf);

impl At {
    pub(crate) fn new(world: &World) -> Self {
        let at = world.path("mnt");
        std::fs::create_dir_all(&at).unwrap();
        Self(at)
    }

    pub(crate) fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        !self.mounts().is_empty()
    }

    /// The types of what is mounted there, the lowest first.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = list
            .lines()
            .filter(|line| line.split(' ').nth(4) == Some(self.name()));
        here.map(|line| {
            line.split_once(" - ")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
    }

    /// A file in it, opened by this program.
    pub(crate) fn open(&self, name: &str) -> File {
        File::open(self.0.join(name)).unwrap()
    }

    /// Once nobody has a file open there: another test of this process may just be starting a program, which has all its
    /// files for a moment.
    pub(crate) fn unmount(&self, world: &World) {
        let unmount = || world.run(&["unmount", self.name()]);
        wait_for("the end of all opens", || match unmount() {
            busy if busy.stderr.contains("a program has a file") => false,
            unmounted => {
                unmounted.ok();
                true
            }
        });
    }
}

/// A directory of this machine, made if need be, as what is mounted.
pub(crate) fn tree(world: &World) -> String {
    let tree = world.path("tree");
    std::fs::create_dir_all(&tree).unwrap();
    format!("{}/", tree.display())
}

impl Drop for At {
    fn drop(&mut self) {
        while rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).is_ok() {}
    }
}

/// Only root may mount.
pub(crate) fn may_mount() -> bool {
    let may = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !may {
        eprintln!("not run: this process may not mount");
    }
    may
}

/// Mounts `url` so that it can be written, with what is written in `overlay`; the process that serves it.
pub(crate) fn mount_writable(world: &World, at: &At, url: &str, more: &[&str]) -> Pid {
    mount_over(world, at, url, &world.path("overlay"), more)
}

/// The same with what is written in another directory.
pub(crate) fn mount_over(world: &World, at: &At, url: &str, overlay: &Path, more: &[&str]) -> Pid {
    let words = [
        "mount",
        "--writable",
        "--overlay-dir",
        overlay.to_str().unwrap(),
        url,
        at.name(),
        "--json",
    ];
    let answer = world.run(&[&words[..], more].concat()).json();
    let pid = i32::try_from(answer["pid"].as_u64().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

/// Ends the process of a mount as a crash would, and waits until it has ended.
pub(crate) fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
    wait_for("the end of the daemon", || {
        // Nobody may have fetched its exit code yet.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}
