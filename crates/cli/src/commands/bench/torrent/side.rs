//! Both sides of a case.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use forebay_testkit::rqbit::Proxy;

use super::super::daemon::Daemon;
use super::super::job::{self, Job};
use super::super::program::{largest, lost, whole};
use super::super::sample::{Sample, Who};
use super::super::worker::{self, Orders as WorkerOrders};
use super::field::{Field, Fresh, Mounted, wait_until};
use super::job::Orders;
use super::lab::Client;
use super::media::{How, Way};
use super::plan::{Case, READERS, What};
use super::player::Script;
use crate::exit::{CliError, Result};

const IN_ORDER: Job = Job::Sequential { block: 1 << 20 };

/// What is on its way after a reader has gone still counts.
const SETTLES: Duration = Duration::from_millis(200);

/// How often a film is read before it has to be in the cache.
const FILLS: u32 = 10;

/// What was read is written to the cache in this time, or not at all.
const WRITTEN: Duration = Duration::from_secs(3);

/// Who does what is to be done.
pub(super) struct Sides<'a, 'b> {
    field: &'a mut Field<'b>,
    case: &'a Case,
    /// A mount that is kept from one run to the next.
    kept: Option<Mounted>,
}

impl<'a, 'b> Sides<'a, 'b> {
    pub(super) fn new(field: &'a mut Field<'b>, case: &'a Case) -> Self {
        Self {
            field,
            case,
            kept: None,
        }
    }

    /// One run; nothing if there is nobody to do it.
    pub(super) async fn turn(&mut self, who: Who) -> Result<Option<Sample>> {
        if who == Who::Baseline && self.case.baseline(self.field.has_curl).is_none() {
            return Ok(None);
        }
        let sample = match (self.case.what, who) {
            (What::Cold { cached }, Who::Ours) => self.cold(cached).await?,
            (What::Cold { .. }, _) => self.fetched().await?,
            (What::Warm, who) => self.warm(who).await?,
            (What::FirstFrame, who) => {
                let script = Script {
                    length: 0,
                    ..self.field.script()
                };
                self.downloading(who, script, How::Exact).await?
            }
            (What::Player, who) => {
                let script = self.field.script_with_skip();
                self.downloading(who, script, How::Stream).await?
            }
            (What::Readers, _) => self.readers().await?,
            (What::Approach { how, whole: false }, _) => {
                let script = self.field.script();
                let sample = self.downloading(Who::Baseline, script, how).await?;
                with_waste(sample)
            }
            (What::Approach { how, whole: true }, _) => with_waste(self.approach(how).await?),
            (What::Surplus, _) => return Ok(None),
        };
        Ok(Some(sample))
    }

    async fn cold(&self, cached: bool) -> Result<Sample> {
        let seeder = &self.field.seeder;
        let mounted = self.field.mount(seeder.started.http, cached)?;
        let orders = self.reads(&mounted);
        self.measured(&orders, seeder, Some(&mounted.daemon), None).await
    }

    /// All of it over HTTP, to nowhere.
    async fn fetched(&self) -> Result<Sample> {
        let seeder = &self.field.seeder;
        let film = self.field.film(seeder.started.http);
        if !self.field.has_curl {
            let orders = WorkerOrders::Torrent(Orders::Fetch(film));
            return self.measured(&orders, seeder, None, None).await;
        }
        let mut curl = Command::new("curl");
        curl.args(["-sf", "-o", "/dev/null"]);
        curl.arg(format!("http://{}/torrents/{}/stream/0", film.addr, film.hash));
        let cpu = seeder.cpu();
        let sample = whole(&mut curl, "curl")?;
        Ok(Sample {
            served: film.size,
            server_cpu_seconds: Some(seeder.cpu().saturating_sub(cpu).as_secs_f64()),
            p50_ms: None,
            ..sample
        })
    }

    async fn warm(&mut self, who: Who) -> Result<Sample> {
        if self.kept.is_none() {
            let mounted = self.field.mount(self.field.seeder.started.http, true)?;
            self.fill(&mounted).await?;
            self.kept = Some(mounted);
        }
        let Some(mounted) = &self.kept else {
            return Err(lost("forebay mount", &"it is gone"));
        };
        if who == Who::Ours {
            let orders = self.reads(mounted);
            let seeder = &self.field.seeder;
            return self.measured(&orders, seeder, Some(&mounted.daemon), None).await;
        }
        let file = largest(&mounted.cache.path().join("objects"))
            .ok_or_else(|| lost("the cache", &"it has no file of the film"))?;
        let size = self.field.args.size.bytes();
        let orders = WorkerOrders::Job(job::Orders::Read {
            file,
            job: IN_ORDER,
            size,
        });
        worker::sample(&orders, self.case.name).await
    }

    /// Reads all of it until all of it is in the cache: what comes faster than a disk writes is left out, and fetched again
    /// by the next read, if the kernel has forgotten it.
    async fn fill(&self, mounted: &Mounted) -> Result<()> {
        let path = mounted.film();
        let film = File::open(&path).map_err(|e| CliError::local(&path, "open", &e))?;
        for _ in 0..FILLS {
            rustix::fs::fadvise(&film, 0, None, rustix::fs::Advice::DontNeed)
                .map_err(|e| CliError::local(&path, "forget the pages of", &e.into()))?;
            worker::sample(&self.reads(mounted), self.case.name).await?;
            if wait_until("the film in the cache", WRITTEN, || is_cached(mounted)).is_ok() {
                return Ok(());
            }
        }
        let why = format!("a part of it is missing after {FILLS} reads; is --cache-dir on a slow disk?");
        Err(lost("the film in the cache", &why))
    }

    /// Somebody watches while it is downloaded: through a mount of ours, or over HTTP.
    async fn downloading(&mut self, who: Who, script: Script, how: How) -> Result<Sample> {
        let mut fresh = self.field.fresh()?;
        let addr = fresh.addr()?;
        let mounted = match who {
            Who::Ours => Some(self.field.mount(addr, true)?),
            Who::Baseline | Who::Prepare => None,
        };
        let way = match &mounted {
            Some(mounted) => Way::File(mounted.film()),
            None => Way::Http(self.field.film(addr), how),
        };
        let path = mounted.as_ref().map(Mounted::film);
        self.field.begin(&mut fresh, path.as_deref())?;
        let orders = WorkerOrders::Torrent(Orders::Watch { way, script });
        let daemon = mounted.as_ref().map(|mounted| &mounted.daemon);
        self.measured(&orders, &fresh.client, daemon, Some(&fresh.proxy))
            .await
    }

    async fn readers(&self) -> Result<Sample> {
        let proxy = self.field.seeder.proxy()?;
        let addr = super::field::addr_of(&proxy)?;
        let mounted = self.field.mount(addr, true)?;
        let orders = WorkerOrders::Torrent(Orders::Parts {
            file: mounted.film(),
            parts: READERS,
        });
        let seeder = &self.field.seeder;
        self.measured(&orders, seeder, Some(&mounted.daemon), Some(&proxy))
            .await
    }

    /// Somebody watches over HTTP what is all there.
    async fn approach(&self, how: How) -> Result<Sample> {
        let Fresh { proxy, client } = self.field.another_seeder()?;
        let film = self.field.film(super::field::addr_of(&proxy)?);
        let orders = WorkerOrders::Torrent(Orders::Watch {
            way: Way::Http(film, how),
            script: self.field.script(),
        });
        self.measured(&orders, &client, None, Some(&proxy)).await
    }

    /// The mounted film, in order.
    fn reads(&self, mounted: &Mounted) -> WorkerOrders {
        WorkerOrders::Job(job::Orders::Read {
            file: mounted.film(),
            job: IN_ORDER,
            size: self.field.args.size.bytes(),
        })
    }

    /// A worker's run, with what the mount and the session of rqbit behind it used.
    async fn measured(
        &self,
        orders: &WorkerOrders,
        client: &Client,
        daemon: Option<&Daemon>,
        proxy: Option<&Proxy>,
    ) -> Result<Sample> {
        if let Some(proxy) = proxy {
            proxy.clear();
        }
        let (mounts, servers) = (daemon.map(Daemon::cpu), client.cpu());
        let mut sample = worker::sample(orders, self.case.name).await?;
        sample.server_cpu_seconds = Some(client.cpu().saturating_sub(servers).as_secs_f64());
        sample.server_rss_mib = Some(client.peak_rss_mib());
        if let Some((daemon, before)) = daemon.zip(mounts) {
            sample.cpu_seconds += daemon.cpu().saturating_sub(before).as_secs_f64();
            sample.rss_mib = daemon.peak_rss_mib();
        }
        if let Some(proxy) = proxy {
            tokio::time::sleep(SETTLES).await;
            let streams = proxy.streams();
            sample.requests = streams.requests as u64;
            sample.fetched = streams.bytes;
            sample.streams = Some(streams.most as u64);
        }
        Ok(sample)
    }
}

/// What came and nobody wanted, among all that came.
fn with_waste(mut sample: Sample) -> Sample {
    let wasted = sample.fetched.saturating_sub(sample.served);
    sample.wasted = Some(wasted as f64 / sample.fetched.max(1) as f64);
    sample
}

/// Whether all of the film is in the cache, written and told.
fn is_cached(mounted: &Mounted) -> bool {
    let mut value = [0; 16];
    let len = rustix::fs::getxattr(mounted.film(), "user.forebay.cached", &mut value[..]);
    len.is_ok_and(|len| value[..len] == *b"100")
}
