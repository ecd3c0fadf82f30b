//! A PostgreSQL server of a test's own.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use forebay_types::{Clock, SystemClock};

/// Far above what a start takes, since the machine may be building something beside it.
const START: Duration = Duration::from_secs(40);
/// Whom the server runs as when the test is root, which it refuses to be.
const USER: &str = "postgres";

/// A server with a directory of its own on a free port of 127.0.0.1, in which everybody may be `postgres`. It syncs as
/// servers do. It ends, and its directory goes, when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one. `None` (said) if PostgreSQL is not installed: `FOREBAY_TEST_POSTGRES_BIN` names the directory of its
    /// programs, else they are looked for in `PATH` and where Debian puts them.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// [`Self::start`], with lines for its `postgresql.conf`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("not run: PostgreSQL is not installed (./test installs it)");
            return None;
        };
        let dir = tempfile::Builder::new()
            .prefix("forebay-postgres-")
            .tempdir()
            .expect("a directory can be made");
        let mut server = Self { bin, dir, port: 0 };
        if root() {
            let owned = Command::new("chown").arg(USER).arg(server.dir.path()).status();
            assert!(
                owned.is_ok_and(|status| status.success()),
                "there is no user {USER}"
            );
        }
        let data = server.data();
        let data = data.to_string_lossy();
        let made = server.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ],
        );
        assert!(made.status.success(), "initdb: {made:?}");
        let clock = SystemClock::new();
        loop {
            // Free now; if somebody else takes it first, another one is tried.
            let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            server.port = port.expect("a port is free").port();
            let conf = format!(
                "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n\
                 shared_buffers = 32MB\nlog_min_messages = warning\n{}\n",
                server.port,
                settings.join("\n")
            );
            let written = std::fs::write(server.data().join("postgresql.conf"), conf);
            written.expect("its settings can be written");
            if server.control(&["start"]).status.success() {
                return Some(server);
            }
            assert!(clock.now() < START, "PostgreSQL does not start: {}", server.log());
        }
    }

    /// Its address, of the database `postgres`, without encryption.
    pub fn url(&self) -> String {
        format!(
            "postgres://{USER}@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its data: readable by whom it runs as.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends it as a crash does, without a word to its clients, and starts it again.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn restart(&self) {
        let done = self.control(&["restart", "-m", "immediate"]);
        assert!(
            done.status.success(),
            "PostgreSQL does not come back: {}",
            self.log()
        );
    }

    /// Ends it as a crash does.
    pub fn stop(&self) {
        self.control(&["stop", "-m", "immediate"]);
    }

    /// Starts it after [`Self::stop`].
    ///
    /// # Panics
    /// If it does not come back.
    pub fn resume(&self) {
        let done = self.control(&["start"]);
        assert!(
            done.status.success(),
            "PostgreSQL does not come back: {}",
            self.log()
        );
    }

    /// Whether somebody listens on its port.
    pub fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn control(&self, args: &[&str]) -> Output {
        let (data, log) = (self.data(), self.dir.path().join("log"));
        let wait = START.as_secs().to_string();
        let (data, log) = (data.to_string_lossy(), log.to_string_lossy());
        let mut all = vec!["-D", &*data, "-l", &*log, "-w", "-t", &*wait, "-s"];
        all.extend(args);
        self.run("pg_ctl", &all)
    }

    /// Runs one of its programs, as its user. Nothing that it leaves behind holds our pipes.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let path = self.bin.join(program);
        let mut command = if root() {
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        let said = self.dir.path().join("said");
        let file = std::fs::File::create(&said).expect("a file can be made");
        let other = file.try_clone().expect("a file can be opened twice");
        // Below the directory of the user that it runs as, not of ours.
        command.args(args).current_dir("/").stdin(Stdio::null());
        command.stdout(Stdio::from(file)).stderr(Stdio::from(other));
        match command.status() {
            Ok(status) => Output {
                status,
                stdout: std::fs::read(&said).unwrap_or_default(),
                stderr: Vec::new(),
            },
            Err(error) => panic!("{program}: {error}"),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The directory of `initdb` and `pg_ctl`.
fn programs() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test command tells by the environment what it installed"
    )]
    let (named, path) = (
        std::env::var_os("FOREBAY_TEST_POSTGRES_BIN"),
        std::env::var_os("PATH"),
    );
    if let Some(named) = named {
        return Some(PathBuf::from(named));
    }
    let path = path.unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).find(|dir| runs(&dir.join("initdb"))) {
        return Some(found);
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry: io::Result<_>| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| runs(&bin.join("initdb")))
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin)
}

fn runs(program: &Path) -> bool {
    program
        .metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}
