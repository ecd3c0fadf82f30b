//! File systems of our own, on loop devices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The least that mkfs.xfs takes; the image is sparse.
const SIZE: u64 = 320 << 20;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory with what is mounted in it; both go when it is dropped.
#[derive(Debug)]
pub(crate) struct Mounted {
    dir: PathBuf,
    /// From the first to the last one mounted.
    points: Vec<PathBuf>,
}

/// A block device over a file.
#[derive(Debug)]
pub(crate) struct Loop {
    dir: PathBuf,
    device: PathBuf,
}

impl Mounted {
    /// A file system on a loop device with sectors of `sector` bytes. `None`, and why on standard error, where that
    /// cannot be.
    pub(crate) fn new(kind: &str, sector: u32, mkfs: &[&str], options: &str) -> Option<Self> {
        let device = Loop::new(SIZE, sector)?;
        let program = format!("mkfs.{kind}");
        ran(Command::new(&program).args(mkfs).arg(&device.device))?;
        let point = device.dir.join("mnt");
        std::fs::create_dir(&point).unwrap();
        ran(Command::new("mount")
            .args(["-t", kind, "-o", options])
            .arg(&device.device)
            .arg(&point))?;
        let dir = device.dir.clone();
        // Detached as soon as it is unmounted, whoever does that.
        device.detach();
        std::mem::forget(device);
        Some(Self {
            dir,
            points: vec![point],
        })
    }

    pub(crate) fn tmpfs() -> Option<Self> {
        may_mount()?;
        let mut this = Self {
            dir: unique_dir(),
            points: Vec::new(),
        };
        let point = this.dir.join("mnt");
        std::fs::create_dir(&point).unwrap();
        ran(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "none"])
            .arg(&point))?;
        this.points.push(point);
        Some(this)
    }

    /// Lays an overlay over the directory `lower` of what is mounted; [`Self::path`] is the overlay from then on.
    pub(crate) fn overlay(mut self) -> Option<Self> {
        let base = self.path().to_owned();
        for name in ["lower", "upper", "work"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        let point = self.dir.join("overlay");
        std::fs::create_dir(&point).unwrap();
        let at = |name: &str| base.join(name).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            at("lower"),
            at("upper"),
            at("work")
        );
        ran(Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&point))?;
        self.points.push(point);
        Some(self)
    }

    /// Where the last one is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.points.last().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for point in self.points.iter().rev() {
            unmount(point);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Loop {
    pub(crate) fn new(size: u64, sector: u32) -> Option<Self> {
        may_mount()?;
        let dir = unique_dir();
        let image = dir.join("image");
        File::create(&image).unwrap().set_len(size).unwrap();
        let made = ran(Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector.to_string()])
            .arg(&image));
        let Some(made) = made else {
            let _ = std::fs::remove_dir_all(&dir);
            return None;
        };
        let device = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        Some(Self { dir, device })
    }

    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    /// The file that the device shows.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.join("image")
    }

    fn detach(&self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).output();
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.detach();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The program's output, if it succeeded; else it is said what failed.
fn ran(command: &mut Command) -> Option<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    // Where Debian has programs of root.
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    match command.output() {
        Ok(output) if output.status.success() => Some(output),
        Ok(output) => {
            eprintln!(
                "skipped: {name}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            None
        }
        Err(error) => {
            eprintln!("skipped: {name}: {error}");
            None
        }
    }
}

fn may_mount() -> Option<()> {
    sweep();
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root mounts file systems");
    }
    is_root.then_some(())
}

/// Directories are called after the process that made them.
fn unique_dir() -> PathBuf {
    let name = format!("mounted-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Unmounts what test processes left behind that were killed.
fn sweep() {
    let Ok(dirs) = std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")) else {
        return;
    };
    for dir in dirs.flatten() {
        let name = dir.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("mounted-")
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            unmount(&dir.path().join("overlay"));
            unmount(&dir.path().join("mnt"));
            detach_all_of(&dir.path().join("image"));
            let _ = std::fs::remove_dir_all(dir.path());
        }
    }
}

fn detach_all_of(image: &Path) {
    let devices = Command::new("losetup")
        .args(["--noheadings", "--output", "NAME", "-j"])
        .arg(image)
        .output();
    let devices = devices.map(|output| output.stdout).unwrap_or_default();
    for device in String::from_utf8_lossy(&devices).lines() {
        let _ = Command::new("losetup").arg("-d").arg(device).output();
    }
}

fn unmount(point: &Path) {
    // Lazily: a read that a test left to the kernel still has the file.
    let _ = Command::new("umount").arg("--lazy").arg(point).output();
}
