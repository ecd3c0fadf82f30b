//! The view on a terminal.

use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::*;

/// A terminal with a program on it.
struct Terminal {
    master: OwnedFd,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    fn run(world: &World, words: &[&str]) -> Self {
        let master =
            rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = || {
            let mut options = File::options();
            Stdio::from(
                options
                    .read(true)
                    .write(true)
                    .open(name.to_str().unwrap())
                    .unwrap(),
            )
        };
        let mut command = world.command(words);
        let child = command
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        // The program has the only descriptors of the other end.
        drop(command);
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (from, to) = (master.try_clone().unwrap(), shown.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO when nobody has it open any more.
            while let Ok(len) = rustix::io::read(&from, &mut buffer)
                && len > 0
            {
                to.lock().unwrap().extend_from_slice(&buffer[..len]);
            }
        });
        Self {
            master,
            child,
            shown,
            reader: Some(reader),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&self.master, size).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code, and all that it showed.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.shown())
    }
}

#[test]
fn it_is_drawn_in_its_place_until_the_mount_is_gone() {
    if !may_mount() {
        return;
    }
    let lab = lab();
    lab.objects()
        .put("bucket", "dir/model", Content::pattern(1, 3 * MIB));
    let world = World::with(&lab);
    let at = At::new(&world);
    // It mounts by itself.
    let terminal = Terminal::run(&world, &["mount", "s3://bucket/", at.name(), "--status"]);
    wait_for("the first view", || terminal.shown().contains("0 files open"));
    let mut open = at.open("dir/model");
    std::io::copy(&mut open, &mut std::io::sink()).unwrap();
    wait_for("the open file", || terminal.shown().contains("dir/model"));
    wait_for("rates", || terminal.shown().contains("/s)"));
    let shown = terminal.shown();
    assert!(shown.contains("\x1b[?25l"), "the cursor is hidden");
    assert!(shown.contains("3MiB"), "{shown:?}");
    // Up again by as many lines as were drawn.
    assert!(shown.contains("A\r"), "{shown:?}");
    terminal.resize(60, 12);
    terminal.signal(Signal::WINCH);
    wait_for("a new beginning", || terminal.shown().contains("\x1b[2J"));
    drop(open);
    at.unmount(&world);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let last = shown.rsplit("\x1b[?25h").next().unwrap();
    assert!(last.contains("is not mounted any more"), "{shown:?}");
}

#[test]
fn an_interrupt_ends_the_view_and_not_the_mount() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let open = at.open("b/c");
    for signal in [Signal::INT, Signal::TERM] {
        let terminal = Terminal::run(&world, &["mount", "--status", at.name()]);
        wait_for("the view", || terminal.shown().contains("b/c"));
        terminal.signal(signal);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.ends_with("\x1b[?7h\x1b[?25h"), "{shown:?}");
        assert_eq!(figure(&status(&world, &at), "open_files"), 1);
    }
    drop(open);
    at.unmount(&world);
}

#[test]
fn a_killed_daemon_ends_the_view_with_an_error() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let open = at.open("b/c");
    let now = status(&world, &at);
    let terminal = Terminal::run(&world, &["mount", "--status", at.name()]);
    wait_for("the view", || terminal.shown().contains("b/c"));
    kill_process(pid(&now), Signal::KILL).unwrap();
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("is mounted, but does not tell what it does"),
        "{shown}"
    );
    drop(open);
    at.unmount(&world);
}

#[test]
fn json_is_one_line_on_a_terminal_too() {
    if !may_mount() {
        return;
    }
    let (world, at) = local(At::new);
    let (code, shown) = Terminal::run(&world, &["mount", "--status", "--json", at.name()]).end();
    assert_eq!(code, Some(0));
    let said: Value = serde_json::from_str(shown.trim()).unwrap();
    assert_eq!(said["pid"], status(&world, &at)["pid"]);
    at.unmount(&world);
}
