//! What all runs share: a film, somebody who has it, and how others are started.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay_testkit::rqbit::Proxy;
use forebay_types::{Clock, SystemClock};
use tempfile::TempDir;

use super::super::daemon::Daemon;
use super::super::peers::is_installed;
use super::super::prepare;
use super::super::program::{forebay, lost};
use super::http::Film;
use super::lab::{Client, NAME, Order};
use super::player::Script;
use crate::args::BenchMountArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// How long something that is sure to come may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that are made and written at a time.
const STEP: u64 = 4 << 20;

/// Seconds of a film that are watched: long after what peers may send at first, and before all of it is here.
const WATCHED: u64 = 24;

/// Between the adding of a torrent and the beginning of its download, for whoever watches it: longer than it takes until a
/// mount shows it.
const ADDED: Duration = Duration::from_secs(2);

/// How far back they skip while they watch.
const SKIP: u64 = 8 << 20;

pub(super) struct Field<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a BenchMountArgs,
    pub(super) has_curl: bool,
    /// Has the film, and gives it to everybody.
    pub(super) seeder: Client,
    /// The directory with the film.
    data: TempDir,
}

/// A mount, and the directory of its cache.
pub(super) struct Mounted {
    // Ends before its cache goes.
    pub(super) daemon: Daemon,
    pub(super) cache: TempDir,
}

/// Somebody who has no byte of the film yet.
pub(super) struct Fresh {
    pub(super) proxy: Proxy,
    pub(super) client: Client,
}

impl<'a> Field<'a> {
    pub(super) fn new(session: &'a Session, args: &'a BenchMountArgs) -> Result<Self> {
        let (least, size) = (2 << 20, args.size.bytes());
        if size < least || args.bitrate.bytes() == 0 || u32::try_from(args.bitrate.bytes() * 3).is_err() {
            return Err(CliError::usage(format!(
                "no film has {:#} and {:#} a second",
                args.size, args.bitrate
            ))
            .hint("--size is 2MiB at least, --bitrate between 1B and 1GiB"));
        }
        let data = prepare::scratch(session)?;
        let film = data.path().join(NAME);
        make_film(&film, size).map_err(|e| CliError::local(&film, "write", &e))?;
        let seeder = Client::seeder(data.path(), prepare::scratch(session)?)?;
        Ok(Self {
            session,
            args,
            has_curl: is_installed("curl"),
            seeder,
            data,
        })
    }

    /// The film at a server of rqbit, or at a proxy before it.
    pub(super) fn film(&self, addr: SocketAddr) -> Film {
        Film {
            addr,
            hash: self.seeder.started.hash.clone(),
            size: self.args.size.bytes(),
        }
    }

    /// What is watched of it.
    pub(super) fn script(&self) -> Script {
        let (size, bitrate) = (self.args.size.bytes(), self.args.bitrate.bytes());
        Script {
            size,
            bitrate,
            length: size.min(bitrate * WATCHED),
            skip: 0,
        }
    }

    /// The same, with a skip in the middle.
    pub(super) fn script_with_skip(&self) -> Script {
        Script {
            skip: SKIP,
            ..self.script()
        }
    }

    /// Mounts the torrents of this server, with a new cache.
    pub(super) fn mount(&self, addr: SocketAddr, cached: bool) -> Result<Mounted> {
        let (cache, dir) = (prepare::scratch(self.session)?, prepare::scratch(self.session)?);
        let mut command = forebay(self.session, cache.path(), self.args.size.bytes())?;
        command.env_remove("RQBIT_HTTP_BASIC_AUTH_USERPASS");
        if !cached {
            command.arg("--no-cache");
        }
        command.args(["mount", "--foreground", &format!("rqbit://{addr}/")]);
        command.arg(dir.path());
        let daemon = Daemon::start("forebay mount", dir, &mut command)?;
        Ok(Mounted { daemon, cache })
    }

    /// Somebody else who has the film.
    pub(super) fn another_seeder(&self) -> Result<Fresh> {
        let client = Client::seeder(self.data.path(), prepare::scratch(self.session)?)?;
        let proxy = client.proxy()?;
        Ok(Fresh { proxy, client })
    }

    /// Somebody who is to download it.
    pub(super) fn fresh(&self) -> Result<Fresh> {
        let client = Client::downloader(self.data.path(), prepare::scratch(self.session)?)?;
        let proxy = client.proxy()?;
        Ok(Fresh { proxy, client })
    }

    /// Lets them begin, at the rate of the download; `seen_at` is where the film is to be seen first.
    pub(super) fn begin(&mut self, fresh: &mut Fresh, seen_at: Option<&Path>) -> Result<()> {
        let peers = vec![self.seeder.started.peer];
        let clock = SystemClock::new();
        let added = clock.now();
        fresh.client.order(&Order::Add { peers })?;
        if let Some(path) = seen_at {
            wait_until("the film in the mount", PATIENCE, || path.exists())?;
        }
        std::thread::sleep((added + ADDED).saturating_sub(clock.now()));
        // A limit that is set anew lets the same burst through at first.
        let upload_bps = u32::try_from(self.args.bitrate.bytes() * 3 / 2).ok();
        self.seeder.order(&Order::Limit { upload_bps })?;
        fresh.client.order(&Order::Begin)
    }
}

impl Mounted {
    pub(super) fn film(&self) -> PathBuf {
        self.daemon.path().join(NAME)
    }
}

impl Fresh {
    /// Where the proxy listens.
    pub(super) fn addr(&self) -> Result<SocketAddr> {
        addr_of(&self.proxy)
    }
}

/// Where a proxy listens.
pub(super) fn addr_of(proxy: &Proxy) -> Result<SocketAddr> {
    let url = proxy.api_url();
    let addr = url.trim_start_matches("http://").trim_end_matches('/');
    addr.parse().map_err(|e| lost("the proxy before rqbit", &e))
}

/// Looks until it is so, `patience` at most.
pub(super) fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let clock = SystemClock::new();
    let until = clock.now() + patience;
    while !is_so() {
        if clock.now() > until {
            return Err(lost(what, &format!("not there after {} s", patience.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn make_film(path: &Path, size: u64) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    let mut random = fastrand::Rng::new();
    let mut bytes = vec![0; STEP as usize];
    let mut left = size;
    while left > 0 {
        let step = &mut bytes[..left.min(STEP) as usize];
        random.fill(step);
        file.write_all(step)?;
        left -= step.len() as u64;
    }
    file.sync_data()
}
