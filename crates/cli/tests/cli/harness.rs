//! A home directory, a lab, and runs of the program that know nothing else.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use forebay_testkit::{Face, Lab, LabBuilder};
use forebay_types::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

/// What the lab's full face accepts.
pub(crate) const KEY_ID: &str = "forebay-lab";
pub(crate) const SECRET: &str = "forebay-lab-secret";

/// A machine with nothing on it but the program.
pub(crate) struct World {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A directory on a disk: where temporary files go may be memory, which O_DIRECT has nothing to do with.
pub(crate) fn on_disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The fast face with one bucket `b`.
pub(crate) fn lab() -> Lab {
    builder().start().unwrap()
}

pub(crate) fn builder() -> LabBuilder {
    Lab::builder().bucket("box")
}

/// The face that looks at signatures.
pub(crate) fn strict_lab() -> Lab {
    builder().face(Face::Full).start().unwrap()
}

impl World {
    /// Without any store.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        Self {
            dir,
            variables: Vec::new(),
        }
    }

    /// With the settings of S3 that reach the lab.
    pub(crate) fn with(lab: &Lab) -> Self {
        Self::new()
            .set("AWS_ENDPOINT_URL", &lab.endpoint())
            .set("AWS_ALLOW_HTTP", "true")
            .set("AWS_REGION", "lab-1")
            .set("AWS_ACCESS_KEY_ID", KEY_ID)
            .set("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// With an environment variable more.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the settings file that is read unless another one is named.
    pub(crate) fn settings(self, text: &str) -> Self {
        let path = self.dir.path().join(".config/forebay");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("forebay.toml"), text).unwrap();
        self
    }

    /// A path in the directory that runs start in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// The home directory.
    pub(crate) fn home(&self) -> &Path {
        self.dir.path()
    }

    /// Of what a bench made nothing is left, mounted or not.
    #[track_caller]
    pub(crate) fn has_nothing_left_of_a_bench(&self) {
        let left = files_below(self.home());
        let of_bench = |path: &PathBuf| path.to_string_lossy().contains("forebay-bench-");
        assert!(!left.iter().any(of_bench), "{left:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.home().to_str().unwrap()), "{mounts}");
    }

    /// Where runs have their cache unless told otherwise.
    pub(crate) fn cache(&self) -> PathBuf {
        self.home().join("xdg-cache/forebay")
    }

    /// What the directory that runs start in holds, hidden names too.
    pub(crate) fn files(&self) -> Vec<String> {
        names_in(&self.path(""))
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("XDG_CACHE_HOME", self.home().join("xdg-cache"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .args(args);
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Outcome {
        Outcome::of(self.command(args).output().unwrap())
    }

    /// With something on standard input.
    pub(crate) fn run_with_input<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Outcome {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A run that fails early closes its end.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        feeder.join().unwrap();
        outcome
    }

    pub(crate) fn spawn<S: AsRef<OsStr>>(&self, args: &[S]) -> Child {
        self.command(args).spawn().unwrap()
    }
}

impl Outcome {
    pub(crate) fn of(output: std::process::Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr,
        }
    }

    pub(crate) fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// It worked; what it printed.
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.out()
    }

    /// It worked, and answered with one object on one line.
    pub(crate) fn json(&self) -> Value {
        let text = self.ok();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(text).unwrap()
    }

    /// It failed with this exit code, nothing on standard output, and a message that has all these words.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(self.stdout.is_empty(), "{}", self.out());
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in:\n{}", self.stderr);
        }
    }
}

/// A program of somebody else that `./test` installs, where this variable says it is; `None`, and it is said, without that.
pub(crate) fn installed(variable: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test command tells by the environment what it installed"
    )]
    let program = std::env::var_os(variable);
    if program.is_none() {
        eprintln!("not run: {variable} does not say where the program is (./test does)");
    }
    program.map(PathBuf::from)
}

/// All plain files below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until `done` says so; too long is a failure.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !done() {
        assert!(clock.now() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
