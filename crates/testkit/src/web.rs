//! Web servers that others wrote, for as long as a test runs: nginx, and Python's `http.server`.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use forebay_types::{Clock, SystemClock};

/// Far above what a start takes, since the machine may be building something beside it.
const START: Duration = Duration::from_secs(30);

/// A server that serves a directory; it ends when this is dropped.
#[derive(Debug)]
pub struct WebServer {
    child: Child,
    port: u16,
}

impl WebServer {
    /// nginx, which serves `root` four times: `/` with listings in HTML, `/json/` in JSON, `/rounded/` in HTML with
    /// rounded sizes, `/off/` without. `scratch` is a directory for its files. `None` (said) if it is not installed:
    /// `FOREBAY_TEST_NGINX` names the program, else it is looked for.
    ///
    /// # Panics
    /// If it does not start.
    pub fn nginx(root: &Path, scratch: &Path) -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test command tells by the environment what it installed"
        )]
        let program = std::env::var_os("FOREBAY_TEST_NGINX");
        let program = program.unwrap_or_else(|| "/usr/sbin/nginx".into());
        Self::start("nginx", |port| {
            let (root, scratch) = (root.display(), scratch.display());
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|kind| format!("{kind}_temp_path {scratch}/{kind};\n"))
                .collect();
            let settings = format!(
                "daemon off; master_process off; pid {scratch}/pid; error_log {scratch}/error.log;
                 events {{ worker_connections 256; }}
                 http {{ access_log off; {temporary}
                   server {{ listen 127.0.0.1:{port}; root {root};
                     location / {{ autoindex on; }}
                     location /json/ {{ alias {root}/; autoindex on; autoindex_format json; }}
                     location /rounded/ {{ alias {root}/; autoindex on; autoindex_exact_size off; }}
                     location /off/ {{ alias {root}/; }} }} }}"
            );
            let file = format!("{scratch}/nginx.conf");
            std::fs::write(&file, settings)?;
            let mut command = Command::new(&program);
            command.args(["-p", &scratch.to_string(), "-c", &file]);
            Ok(command)
        })
    }

    /// Python's `http.server`, which serves `root`. `None` (said) if there is no Python.
    ///
    /// # Panics
    /// If it does not start.
    pub fn python(root: &Path) -> Option<Self> {
        Self::start("python3", |port| {
            let mut command = Command::new("python3");
            command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
            command.arg(root).arg(port.to_string());
            Ok(command)
        })
    }

    fn start(name: &str, make: impl Fn(u16) -> io::Result<Command>) -> Option<Self> {
        let clock = SystemClock::new();
        loop {
            // Free now; if somebody else takes it first, the server ends and another one is tried.
            let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let port = port.expect("a port is free").port();
            let mut command = make(port).expect("its settings can be written");
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let child = match command.spawn() {
                Ok(child) => child,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    eprintln!("not run: {name} is not installed");
                    return None;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            let mut server = Self { child, port };
            while matches!(server.child.try_wait(), Ok(None)) {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(server);
                }
                assert!(clock.now() < START, "{name} does not listen");
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(clock.now() < START, "{name} does not start");
        }
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
