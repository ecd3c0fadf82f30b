//! Both sides of a case.

use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_mount::IoMode;
use forebay_types::{Clock, SystemClock};

use super::super::daemon::{Daemon, NAME};
use super::super::job::{Job, Orders as ReadOrders};
use super::super::program::{drop_pages, largest, lost, timed, whole};
use super::super::sample::{Sample, Who};
use super::super::server::{Asked, CHUNKED, LabProcess};
use super::super::worker::{self, Orders as WorkerOrders};
use super::job::{Orders, Places};
use super::place::{Field, Place};
use super::plan::{Against, BLOCK, Case, Of, SMALL, Setting, What};
use super::programs;
use crate::exit::{CliError, Result};

/// Bytes of a block of the overlay.
const OVERLAY_BLOCK: usize = 64 << 10;

/// What the lab has not sent in this time after a read, it does not send.
const SETTLES: Duration = Duration::from_millis(50);

/// Who does what is to be done, and where. Mounts end before their directories go.
pub(super) struct Sides<'a, 'b> {
    field: &'a Field<'b>,
    case: &'a Case,
    /// Ours, and a server that does nothing or forwards; kept from one run to the next.
    ours: Option<Daemon>,
    other: Option<Daemon>,
    place: Place,
}

impl<'a, 'b> Sides<'a, 'b> {
    pub(super) fn new(field: &'a Field<'b>, case: &'a Case) -> Result<Self> {
        Ok(Self {
            field,
            case,
            ours: None,
            other: None,
            place: Place::new(field)?,
        })
    }

    /// One run; nothing if there is nobody to do it.
    pub(super) async fn turn(&mut self, who: Who) -> Result<Option<Sample>> {
        if who != Who::Ours && matches!(self.case.against, Against::Figure(..)) {
            return Ok(None);
        }
        let sample = match self.case.what {
            What::Chunk => self.chunk().await?,
            What::Mount | What::Memory => self.manifest().await?,
            _ => {
                self.make_ready(who).await?;
                let before = self.cpu(who);
                let sample = match self.case.what {
                    What::Clone | What::Build => self.program(who).await?,
                    _ => self.file(who).await?,
                };
                Sample {
                    cpu_seconds: sample.cpu_seconds + (self.cpu(who) - before).as_secs_f64(),
                    ..sample
                }
            }
        };
        Ok(Some(sample))
    }

    fn daemon(&self, who: Who) -> Option<&Daemon> {
        match who {
            Who::Ours => self.ours.as_ref(),
            Who::Baseline | Who::Prepare => self.other.as_ref(),
        }
    }

    fn cpu(&self, who: Who) -> Duration {
        self.daemon(who).map_or(Duration::ZERO, Daemon::cpu)
    }

    /// The directory that it is done in.
    fn dir(&self, who: Who) -> PathBuf {
        self.daemon(who)
            .map_or_else(|| self.place.beside(), |daemon| daemon.path().to_owned())
    }

    /// The file that it is done with.
    fn target(&self, who: Who) -> Result<PathBuf> {
        let is_native = who == Who::Baseline && self.case.against == Against::Native;
        if is_native && self.case.what != What::New {
            return largest(&self.place.contents())
                .ok_or_else(|| lost("the overlay", &"it has no file that was written"));
        }
        Ok(self.dir(who).join(NAME))
    }

    /// Mounts, and makes what is read or written again; what the last run left is gone, or on the disk.
    async fn make_ready(&mut self, who: Who) -> Result<()> {
        if let (Who::Ours, What::Read(_, Of::Lower)) = (who, self.case.what) {
            // What is read is kept above: the next read would find all of it there.
            self.ours = None;
            self.place.forget()?;
        }
        if self.daemon(who).is_none() {
            self.start(who).await?;
        }
        match self.case.what {
            What::New => remove(&self.dir(who).join(NAME))?,
            What::Clone => remove(&self.dir(who).join("clone"))?,
            What::Build => {
                let dir = self.dir(who).join("crate");
                remove(&dir)?;
                programs::write_crate(&dir)?;
            }
            What::Read(..) if self.case.setting == Setting::Served(IoMode::Pages) => {
                drop_pages(&self.target(who)?)?;
            }
            _ => {}
        }
        self.place.settle()
    }

    async fn start(&mut self, who: Who) -> Result<()> {
        let Case { setting, what, .. } = *self.case;
        if who == Who::Ours {
            let lower = self.place.tree().join(NAME);
            if matches!(what, What::Read(_, Of::Lower)) && !lower.exists() {
                self.write_new(&lower).await?;
            }
            self.ours = Some(self.place.mount(self.field, setting)?);
            let file = self.target(who)?;
            match what {
                What::Again(_) | What::Read(_, Of::New) => {
                    self.write_new(&file).await?;
                }
                What::Read(_, Of::Lower) => {
                    self.write_again(&file, OVERLAY_BLOCK, Places::Fourth).await?;
                }
                _ => {}
            }
            return Ok(());
        }
        let io = match setting {
            Setting::Served(io) => io,
            Setting::Handed => IoMode::Pages,
        };
        self.other = match self.case.against {
            Against::Native | Against::Figure(..) => None,
            Against::Memory => {
                let size = self.field.args.size.bytes();
                Some(Daemon::memory(self.field.scratch()?, size, io)?)
            }
            Against::Mirror => {
                let dir = self.field.scratch()?;
                Some(Daemon::mirror(dir, &self.place.beside(), io)?)
            }
        };
        Ok(())
    }

    /// What is done with a file.
    async fn file(&self, who: Who) -> Result<Sample> {
        let file = self.target(who)?;
        match self.case.what {
            What::Again(places) => self.write_again(&file, SMALL, places).await,
            What::Read(job, _) => self.read(&file, job).await,
            _ => self.write_new(&file).await,
        }
    }

    async fn write_new(&self, file: &Path) -> Result<Sample> {
        let orders = Orders::New {
            file: file.to_owned(),
            size: self.field.args.size.bytes(),
            block: BLOCK,
        };
        worker::sample(&WorkerOrders::Write(orders), self.case.name).await
    }

    async fn write_again(&self, file: &Path, block: usize, places: Places) -> Result<Sample> {
        let orders = Orders::Again {
            file: file.to_owned(),
            block,
            places,
        };
        worker::sample(&WorkerOrders::Write(orders), self.case.name).await
    }

    async fn read(&self, file: &Path, job: Job) -> Result<Sample> {
        let orders = ReadOrders::Read {
            file: file.to_owned(),
            job,
            size: self.field.args.size.bytes(),
        };
        worker::sample(&WorkerOrders::Job(orders), self.case.name).await
    }

    async fn program(&self, who: Who) -> Result<Sample> {
        let dir = self.dir(who);
        if self.case.what == What::Build {
            return whole(&mut programs::build(&dir.join("crate")), "cargo build");
        }
        let repository = self.field.repository().await?;
        whole(&mut programs::clone(repository, &dir.join("clone")), "git clone")
    }

    /// The middle of the second chunk, of which nothing is here.
    async fn chunk(&self) -> Result<Sample> {
        let (cache, lab) = (self.field.scratch()?, self.field.lab().await?);
        let daemon = self.field.mount_chunks(cache.path()).await?;
        let (cpu, before) = (daemon.cpu(), lab.asked()?);
        let chunk = self.field.chunk();
        let first = Job::First {
            bytes: SMALL,
            at: chunk + chunk / 2,
        };
        let sample = self.read(&daemon.path().join(CHUNKED), first).await?;
        let after = settled(lab).await?;
        Ok(Sample {
            cpu_seconds: sample.cpu_seconds + (daemon.cpu() - cpu).as_secs_f64(),
            requests: after.requests - before.requests,
            fetched: after.bytes - before.bytes,
            ..sample
        })
    }

    /// Until a file of the manifest is there, and the memory that all of them take.
    async fn manifest(&self) -> Result<Sample> {
        let (cache, dir) = (self.field.scratch()?, self.field.scratch()?);
        let mut command = self.field.mount_manifest(cache.path(), &dir).await?;
        let clock = SystemClock::new();
        let daemon = Daemon::start("forebay mount", dir, &mut command)?;
        let last = programs::path(self.field.args.entries.saturating_sub(1));
        let last = daemon.path().join(last);
        std::fs::metadata(&last).map_err(|e| CliError::local(&last, "look at", &e))?;
        let seconds = clock.now().as_secs_f64();
        Ok(Sample {
            rss_mib: daemon.anonymous_mib(),
            ..timed(seconds, daemon.cpu().as_secs_f64())
        })
    }
}

/// What the lab did, once it sends nothing more.
async fn settled(lab: &LabProcess) -> Result<Asked> {
    let mut last = lab.asked()?;
    loop {
        tokio::time::sleep(SETTLES).await;
        let now = lab.asked()?;
        if now.bytes == last.bytes {
            return Ok(now);
        }
        last = now;
    }
}

/// Removes what the last run made, if it did. The room is free then: an overlay keeps it until names are safe, and new pages
/// are dearer than those that were just used.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    let dir = path.parent().unwrap_or(path);
    let freed = match removed {
        Ok(()) => std::fs::File::open(dir).and_then(|dir| Ok(rustix::fs::fsync(&dir)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    freed.map_err(|e| CliError::local(path, "remove", &e))
}
