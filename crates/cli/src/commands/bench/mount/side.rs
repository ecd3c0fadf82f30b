//! One side of a comparison.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use forebay_mount::IoMode;
use tempfile::TempDir;

use super::super::cases::{Case as ReadCase, RANDOM_READERS};
use super::super::daemon::{Daemon, NAME};
use super::super::direct::Scratch;
use super::super::job::{Job, Orders};
use super::super::peers::lab_env;
use super::super::prepare;
use super::super::program::{drop_pages, forebay, largest, lost, whole};
use super::super::sample::{Place, Sample, Spec, Who};
use super::super::server::{BIG, BUCKET, EXACT, LabProcess};
use super::super::worker::{self, Orders as WorkerOrders};
use super::plan::{Before, Case, Setting, What};
use crate::args::BenchMountArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// What all sides share.
pub(super) struct Field<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a BenchMountArgs,
    pub(super) lab: &'a LabProcess,
    /// A cache that has the large object, once it was wanted.
    warm: tokio::sync::OnceCell<TempDir>,
    /// A directory with a file of the same size, once it was wanted.
    local: tokio::sync::OnceCell<(Scratch, TempDir)>,
}

/// Who does what is to be done.
pub(super) enum Side {
    /// A mount of ours, and a directory for its cache; kept from one run to the next unless each begins with an empty cache.
    Ours(Option<(Daemon, TempDir)>),
    /// The file where it lies.
    Native,
    /// A server that does nothing.
    Memory(Option<Daemon>, IoMode),
    Get,
    BenchRead,
    RawListing,
}

/// Bytes of the first read of a file.
const FIRST: usize = 1024;

impl<'a> Field<'a> {
    pub(super) fn new(session: &'a Session, args: &'a BenchMountArgs, lab: &'a LabProcess) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            tracing::warn!("without root nothing is handed to the kernel: those rows show the daemon");
        }
        Ok(Self {
            session,
            args,
            lab,
            warm: tokio::sync::OnceCell::new(),
            local: tokio::sync::OnceCell::new(),
        })
    }

    /// A directory beside the user's cache.
    pub(super) fn scratch(&self) -> Result<TempDir> {
        prepare::scratch(self.session)
    }

    /// This program, told about the lab and nothing else that the user has set.
    fn forebay(&self, cache: &Path) -> Result<Command> {
        let mut command = forebay(self.session, cache, self.args.size.bytes())?;
        lab_env(&mut command, self.lab.endpoint());
        Ok(command)
    }

    /// The cache that has the large object.
    async fn warm(&self) -> Result<&Path> {
        let warmed = self.warm.get_or_try_init(async || {
            let dir = self.scratch()?;
            let mut warm = self.forebay(dir.path())?;
            warm.arg("warm").arg(format!("s3://{BUCKET}/{EXACT}"));
            let status = warm.stdout(Stdio::null()).status();
            match status {
                Ok(status) if status.success() => Ok(dir),
                Ok(status) => Err(lost("forebay warm", &status)),
                Err(error) => Err(lost("forebay warm", &error)),
            }
        });
        warmed.await.map(TempDir::path)
    }

    async fn local(&self) -> Result<&Path> {
        let made = self.local.get_or_try_init(async || {
            let dir = self.scratch()?;
            let file = Scratch::take(&dir.path().join(NAME), self.args.size.bytes())?;
            file.fill().await?;
            // Read from the disk it lies in memory in larger pieces than as it was written: 20 instead of 10 GB/s here.
            drop_pages(file.path())?;
            Ok::<_, CliError>((file, dir))
        });
        made.await.map(|(_, dir)| dir.path())
    }

    /// The file that the kernel is given in this setting.
    async fn backing(&self, setting: Setting) -> Result<PathBuf> {
        match setting {
            Setting::Local => Ok(self.local().await?.join(NAME)),
            _ => largest(&self.warm().await?.join("objects"))
                .ok_or_else(|| lost("the cache", &"it has no file of the object")),
        }
    }

    /// Mounts for a case.
    async fn mount(&self, setting: Setting, cache: &Path) -> Result<Daemon> {
        let mut command = self.forebay(cache)?;
        let url = match setting {
            Setting::Local => format!("file://{}/", self.local().await?.display()),
            _ => format!("s3://{BUCKET}/"),
        };
        if let Setting::Served(io) = setting {
            let io = if io == IoMode::Direct { "direct" } else { "pages" };
            command.env("FOREBAY_MOUNT_PASSTHROUGH", "false");
            command.env("FOREBAY_MOUNT_IO", io);
        }
        let dir = self.scratch()?;
        command.args(["mount", "--foreground", &url]).arg(dir.path());
        Daemon::start("forebay mount", dir, &mut command)
    }
}

impl Side {
    pub(super) fn ours() -> Self {
        Self::Ours(None)
    }

    pub(super) fn memory(case: &Case) -> Self {
        let io = match case.setting {
            Setting::Served(io) => io,
            _ => IoMode::Pages,
        };
        Self::Memory(None, io)
    }

    /// One run.
    pub(super) async fn sample(&mut self, field: &Field<'_>, case: &Case) -> Result<Sample> {
        match self {
            Self::Ours(kept) => {
                if case.setting == Setting::Cold {
                    let cache = field.scratch()?;
                    let daemon = field.mount(case.setting, cache.path()).await?;
                    return perform(field, case, &daemon, EXACT, BIG).await;
                }
                if kept.is_none() {
                    let own = field.scratch()?;
                    let cache = match case.setting {
                        Setting::Warm | Setting::Served(_) => field.warm().await?,
                        Setting::Local | Setting::Cold | Setting::Listed => own.path(),
                    };
                    *kept = Some((field.mount(case.setting, cache).await?, own));
                }
                let Some((daemon, _)) = kept else {
                    return Err(lost("forebay mount", &"it is gone"));
                };
                let file = if case.setting == Setting::Local {
                    NAME
                } else {
                    EXACT
                };
                perform(field, case, daemon, file, BIG).await
            }
            Self::Native => {
                let file = field.backing(case.setting).await?;
                make_ready(field, case, &file).await?;
                read(field, case, &file).await
            }
            Self::Memory(kept, io) => {
                if kept.is_none() {
                    *kept = Some(Daemon::memory(field.scratch()?, field.args.size.bytes(), *io)?);
                }
                let Some(daemon) = kept else {
                    return Err(lost("the server that does nothing", &"it is gone"));
                };
                perform(field, case, daemon, NAME, NAME).await
            }
            Self::Get => {
                let cache = field.scratch()?;
                let mut get = field.forebay(cache.path())?;
                get.args(["get", &format!("s3://{BUCKET}/{EXACT}"), "-"]);
                let sample = whole(&mut get, "forebay get")?;
                Ok(Sample {
                    served: field.args.size.bytes(),
                    ..sample
                })
            }
            Self::BenchRead => {
                let spec = Spec {
                    who: Who::Ours,
                    case: ReadCase::Random,
                    place: Place::Lab(field.lab.endpoint().to_owned()),
                    size: field.args.size.bytes(),
                    connections: field
                        .session
                        .settings
                        .range
                        .max_concurrent_ranges
                        .unwrap_or(RANDOM_READERS),
                    objects: 0,
                    config: field.session.config_flag.clone(),
                    cache_dir: None,
                };
                worker::sample(&WorkerOrders::Read(spec), case.name).await
            }
            Self::RawListing => {
                let orders = Orders::List {
                    endpoint: field.lab.endpoint().to_owned(),
                    prefix: "small".to_owned(),
                };
                worker::sample(&WorkerOrders::Job(orders), case.name).await
            }
        }
    }
}

/// What is to be done, in a mounted directory.
pub(super) async fn perform(
    field: &Field<'_>,
    case: &Case,
    daemon: &Daemon,
    file: &str,
    largest: &str,
) -> Result<Sample> {
    let file = match case.what {
        What::First | What::Read(Job::RandomRanges, _) => daemon.path().join(largest),
        What::Read(..) | What::List => daemon.path().join(file),
    };
    make_ready(field, case, &file).await?;
    let (cpu, requests) = (daemon.cpu(), field.lab.requests()?);
    let sample = match case.what {
        What::List => {
            let mut ls = Command::new("ls");
            ls.env("LC_ALL", "C").arg("-l").arg(daemon.path().join("small"));
            whole(&mut ls, "ls")?
        }
        What::First | What::Read(..) => read(field, case, &file).await?,
    };
    let spent = (daemon.cpu() - cpu).as_secs_f64();
    Ok(Sample {
        cpu_seconds: sample.cpu_seconds + spent,
        requests: field.lab.requests()? - requests,
        ..sample
    })
}

/// A worker that reads `file`.
async fn read(field: &Field<'_>, case: &Case, file: &Path) -> Result<Sample> {
    let job = match case.what {
        What::Read(job, _) => job,
        What::First | What::List => Job::First { bytes: FIRST, at: 0 },
    };
    reader(field, case, file, job).await
}

async fn reader(field: &Field<'_>, case: &Case, file: &Path, job: Job) -> Result<Sample> {
    let orders = Orders::Read {
        file: file.to_owned(),
        job,
        size: field.args.size.bytes(),
    };
    worker::sample(&WorkerOrders::Job(orders), case.name).await
}

/// Reads the file once, if the case wants it so, as it will be read: the kernel takes memory that was not used for a
/// minute away from the page cache here and there.
async fn make_ready(field: &Field<'_>, case: &Case, file: &Path) -> Result<()> {
    let What::Read(job, before) = case.what else {
        return Ok(());
    };
    if before == Before::AsItIs {
        return Ok(());
    }
    let once = match job {
        Job::Map => job,
        _ => Job::Sequential { block: 1 << 20 },
    };
    reader(field, case, file, once).await?;
    if before != Before::Hot {
        drop_pages(file)?;
    }
    if before == Before::Kept {
        for _ in 0..2 {
            reader(field, case, file, once).await?;
        }
    }
    Ok(())
}
