//! Small file systems of our own, on loop devices.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::world::on_disk;

/// A file that looks like a disk, with sectors of 512 bytes; detached when it is dropped.
pub(crate) struct Loop {
    dir: TempDir,
    device: PathBuf,
}

/// A file system in a file, unmounted when it is dropped.
pub(crate) struct Mounted {
    device: Loop,
    options: String,
}

impl Loop {
    /// `None`, and why on standard error, where that cannot be.
    pub(crate) fn new(size: u64) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root makes loop devices");
            return None;
        }
        let dir = on_disk();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(size).unwrap();
        let made = ran(Command::new("losetup")
            .args(["--find", "--show", "--sector-size", "512"])
            .arg(&image))?;
        let device = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        Some(Self { dir, device })
    }

    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    /// The bytes that the device shows.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = ran(Command::new("losetup").arg("-d").arg(&self.device));
    }
}

impl Mounted {
    /// A new ext4 of `size` bytes.
    pub(crate) fn ext4(size: u64, options: &str) -> Option<Self> {
        let device = Loop::new(size)?;
        ran(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(device.device()))?;
        let this = Self {
            device,
            options: options.to_owned(),
        };
        std::fs::create_dir(this.path()).unwrap();
        this.mount()?;
        Some(this)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.device.dir.path().join("mnt")
    }

    /// Takes it away and puts it back: nothing of it is in memory then.
    pub(crate) fn again(&self) {
        // Others look at new file systems for a moment, and it is busy then.
        let mut tries = 0;
        while ran(Command::new("umount").arg(self.path())).is_none() {
            tries += 1;
            assert!(tries < 50, "{} stays busy", self.path().display());
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        self.mount().unwrap();
    }

    fn mount(&self) -> Option<Output> {
        ran(Command::new("mount")
            .args(["-t", "ext4", "-o", &self.options])
            .arg(self.device.device())
            .arg(self.path()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may have a file of it open.
        let _ = ran(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

/// The program's output, if it succeeded; else it is said what failed.
fn ran(command: &mut Command) -> Option<Output> {
    // Where Debian has programs of root.
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    let name = command.get_program().to_string_lossy().into_owned();
    let why = match command.output() {
        Ok(output) if output.status.success() => return Some(output),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("skipped: {name}: {why}");
    None
}
