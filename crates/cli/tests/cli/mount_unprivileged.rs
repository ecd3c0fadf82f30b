//! Mounts of users who may not mount: `fusermount3` helps them.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::wait_for;

/// Debian's user and group for nobody in particular.
const NOBODY: &str = "65534";

/// Whether there is a helper, and another user to be.
fn may_be_helped() -> bool {
    let helper = ["/bin/fusermount3", "/usr/bin/fusermount3"];
    let may = rustix::process::geteuid().is_root()
        && Path::new("/dev/fuse").exists()
        && helper.iter().any(|helper| Path::new(helper).exists());
    if !may {
        eprintln!("not run: there is no fusermount3, or this is not root");
    }
    may
}

/// A view of the file system in which everybody may open `/dev/fuse`, as most distributions have it. Mounts in it go with it.
struct Elsewhere(Child);

impl Elsewhere {
    fn new(home: &Path) -> Self {
        let node = home.join("fuse");
        let script =
            "mknod -m 666 \"$0\" c 10 229 && mount --bind \"$0\" /dev/fuse && echo ready && exec cat";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", script]).arg(&node);
        let mut child = unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "ready\n");
        Self(child)
    }

    /// A program there, as nobody in particular.
    fn as_nobody(&self, home: &Path, program: impl AsRef<OsStr>, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.0.id().to_string(), "--mount", "--"])
            .args([
                "setpriv",
                "--reuid",
                NOBODY,
                "--regid",
                NOBODY,
                "--clear-groups",
                "--",
            ])
            .arg(program)
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home)
            .current_dir(home);
        command
    }

    fn mounts(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/mountinfo", self.0.id())).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A place where nobody may go: the tests' own directory is perhaps below a home that is closed. This program is there.
fn home() -> TempDir {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    for dir in ["data", "mnt"] {
        std::fs::create_dir(home.path().join(dir)).unwrap();
    }
    std::fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_forebay"), home.path().join("forebay")).unwrap();
    home
}

#[test]
fn a_user_mounts_reads_and_unmounts() {
    if !may_be_helped() {
        return;
    }
    let home = home();
    let home = home.path();
    std::fs::write(home.join("data/file"), "content").unwrap();
    std::fs::write(home.join("data/large"), vec![7; 3 << 20]).unwrap();
    let owner = format!("{NOBODY}:{NOBODY}");
    let chown = Command::new("chown").args(["-R", &owner]).arg(home).status();
    assert!(chown.unwrap().success());
    let elsewhere = Elsewhere::new(home);
    let (data, at) = (home.join("data/"), home.join("mnt"));
    let [data, at] = [&data, &at].map(|path| path.to_str().unwrap());
    let forebay = |words: &[&str]| {
        let run = elsewhere.as_nobody(home, home.join("forebay"), words).output();
        let run = run.unwrap();
        (
            run.status.code(),
            String::from_utf8_lossy(&run.stderr).into_owned(),
        )
    };
    let (code, said) = forebay(&["mount", data, at]);
    assert_eq!(code, Some(0), "{said}");
    let mounts = elsewhere.mounts();
    let line = mounts.lines().find(|line| line.contains(at)).unwrap();
    for word in ["fuse.forebay", "ro", "nosuid", "nodev", "user_id=65534"] {
        assert!(line.contains(word), "{line}");
    }
    let read = |name: &str| {
        let cat = elsewhere
            .as_nobody(home, "cat", &[&format!("{at}/{name}")])
            .output();
        cat.unwrap().stdout
    };
    assert_eq!(read("file"), b"content");
    assert!(read("large") == vec![7; 3 << 20]);
    let (code, said) = forebay(&["unmount", at]);
    assert_eq!(code, Some(0), "{said}");
    wait_for("the end of the mount", || !elsewhere.mounts().contains(at));
    let (code, said) = forebay(&["unmount", at]);
    assert!(code != Some(0) && !said.is_empty(), "{said}");
}

#[test]
fn a_directory_of_somebody_else_is_refused_with_the_reason() {
    if !may_be_helped() {
        return;
    }
    let home = home();
    let home = home.path();
    let elsewhere = Elsewhere::new(home);
    let [data, at] = ["data/", "mnt"].map(|name| home.join(name).display().to_string());
    let mut mount = elsewhere.as_nobody(home, home.join("forebay"), &["mount", &data, &at]);
    let refused = mount.output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "not permitted");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for word in ["cannot mount on", "fusermount3", "a directory of your own"] {
        assert!(said.contains(word), "{said}");
    }
}
