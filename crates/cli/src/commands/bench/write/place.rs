//! Directories and mounts that cases have, and what is made for them once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use forebay_mount::IoMode;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::super::daemon::Daemon;
use super::super::peers::lab_env;
use super::super::prepare;
use super::super::program::{forebay, lost};
use super::super::server::{BUCKET, CONTENTS, LabProcess, LabSpec, MANIFEST};
use super::plan::Setting;
use super::programs;
use super::side::remove;
use crate::args::BenchWriteArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// What all cases share.
pub(super) struct Field<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a BenchWriteArgs,
    lab: OnceCell<LabProcess>,
    repository: OnceCell<TempDir>,
    manifest: OnceCell<TempDir>,
}

/// The directories of a case.
pub(super) struct Place {
    dir: TempDir,
}

/// The largest chunk.
const CHUNK: u64 = 256 << 20;

impl<'a> Field<'a> {
    pub(super) fn new(session: &'a Session, args: &'a BenchWriteArgs) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            tracing::warn!("without root nothing is handed to the kernel: those rows show the daemon");
        }
        Ok(Self {
            session,
            args,
            lab: OnceCell::new(),
            repository: OnceCell::new(),
            manifest: OnceCell::new(),
        })
    }

    /// A directory where was said, or beside the user's cache.
    pub(super) fn scratch(&self) -> Result<TempDir> {
        let Some(dir) = &self.args.dir else {
            return prepare::scratch(self.session);
        };
        let made = tempfile::Builder::new().prefix("forebay-bench-").tempdir_in(dir);
        made.map_err(|e| CliError::local(dir, "make a directory in", &e))
    }

    /// Bytes of a chunk of the lab's manifest.
    pub(super) fn chunk(&self) -> u64 {
        self.args.size.bytes().clamp(1, CHUNK)
    }

    pub(super) async fn lab(&self) -> Result<&LabProcess> {
        let start = async || {
            LabProcess::start(&LabSpec {
                standard: true,
                chunk: Some(self.chunk()),
                ..LabSpec::default()
            })
        };
        self.lab.get_or_try_init(start).await
    }

    /// The repository that is cloned.
    pub(super) async fn repository(&self) -> Result<&Path> {
        let make = async || {
            let dir = self.scratch()?;
            programs::make_repository(dir.path(), self.args.files)?;
            Ok::<_, CliError>(dir)
        };
        self.repository.get_or_try_init(make).await.map(TempDir::path)
    }

    /// The directory with the manifest of many files.
    async fn manifest(&self) -> Result<&Path> {
        let make = async || {
            let dir = self.scratch()?;
            let path = dir.path().join(MANIFEST);
            let bytes = programs::manifest(self.args.entries)?;
            std::fs::write(&path, bytes).map_err(|e| CliError::local(&path, "write", &e))?;
            Ok::<_, CliError>(dir)
        };
        self.manifest.get_or_try_init(make).await.map(TempDir::path)
    }

    /// `forebay mount` with a cache of its own.
    fn mount(&self, cache: &Path) -> Result<Command> {
        let mut command = forebay(self.session, cache, self.args.size.bytes())?;
        command.args(["mount", "--foreground"]);
        Ok(command)
    }

    /// Mounts the lab's manifest.
    pub(super) async fn mount_chunks(&self, cache: &Path) -> Result<Daemon> {
        let mut command = self.mount(cache)?;
        lab_env(&mut command, self.lab().await?.endpoint());
        let dir = self.scratch()?;
        let url = format!("manifest+s3://{BUCKET}/{MANIFEST}?cas=s3://{BUCKET}/{CONTENTS}");
        command.arg(url).arg(dir.path());
        Daemon::start("forebay mount", dir, &mut command)
    }

    /// The command that mounts the manifest of many files on `dir`.
    pub(super) async fn mount_manifest(&self, cache: &Path, dir: &TempDir) -> Result<Command> {
        let mut command = self.mount(cache)?;
        let manifest = self.manifest().await?;
        let (manifest, contents) = (manifest.join(MANIFEST), manifest.join(CONTENTS));
        command.arg(format!(
            "manifest+{}?cas={}",
            manifest.display(),
            contents.display()
        ));
        command.arg(dir.path());
        Ok(command)
    }
}

impl Place {
    pub(super) fn new(field: &Field<'_>) -> Result<Self> {
        let place = Self {
            dir: field.scratch()?,
        };
        for dir in [place.tree(), place.beside(), place.cache()] {
            std::fs::create_dir(&dir).map_err(|e| CliError::local(&dir, "make", &e))?;
        }
        Ok(place)
    }

    /// What is mounted.
    pub(super) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Where the others write.
    pub(super) fn beside(&self) -> PathBuf {
        self.dir.path().join("beside")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn overlay(&self) -> PathBuf {
        self.dir.path().join("overlay")
    }

    /// Where the overlay has the contents of files.
    pub(super) fn contents(&self) -> PathBuf {
        self.overlay().join("data")
    }

    /// Takes away what was written to the tree, which nobody has mounted.
    pub(super) fn forget(&self) -> Result<()> {
        remove(&self.overlay())
    }

    /// Mounts the tree, to be written to.
    pub(super) fn mount(&self, field: &Field<'_>, setting: Setting) -> Result<Daemon> {
        let mut command = field.mount(&self.cache())?;
        if let Setting::Served(io) = setting {
            let io = if io == IoMode::Direct { "direct" } else { "pages" };
            command.env("FOREBAY_MOUNT_PASSTHROUGH", "false");
            command.env("FOREBAY_MOUNT_IO", io);
        }
        let dir = field.scratch()?;
        command.arg("--writable").arg("--overlay-dir").arg(self.overlay());
        command.arg(format!("{}/", self.tree().display())).arg(dir.path());
        Daemon::start("forebay mount", dir, &mut command)
    }

    /// What was written before is on the disk: no run pays for another.
    pub(super) fn settle(&self) -> Result<()> {
        let synced = File::open(self.dir.path()).and_then(|dir| Ok(rustix::fs::syncfs(&dir)?));
        synced.map_err(|e| lost("the file system", &e))
    }
}
