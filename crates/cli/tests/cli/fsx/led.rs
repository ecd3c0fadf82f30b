//! fsx, led from a plain file to one of a mount that has the same bytes.
//!
//! It tells each operation before it does it, in one write to a pipe that holds one. So it can be made to stand still between
//! two of them: the last one that may be done is left in the pipe, and the next cannot be told. If that one closes the file
//! and opens it again, it then opens whatever its name leads to by now.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use rustix::event::{PollFd, PollFlags};
use rustix::pipe::PipeFlags;

use super::{Fsx, Run};
use crate::harness::wait_for;

/// Longer than what is told of an operation.
const LONGEST: usize = 4096;

/// A run, and where it is led away.
pub(super) struct Led {
    pub(super) run: Run,
    /// What the plain file is then.
    pub(super) content: Vec<u8>,
    /// How often it has told something until then.
    told: usize,
}

impl Led {
    /// At the first opportunity after so many operations.
    pub(super) fn new(fsx: &Fsx, run: Run, from: u64) -> Self {
        let plain = fsx.world.path("plain");
        let output = run
            .command(fsx, &plain, run.operations)
            .arg("-v")
            .output()
            .unwrap();
        run.check(&output);
        let text = String::from_utf8(output.stderr).unwrap();
        let mut lines = text.lines().enumerate();
        let closes = |line: &str| {
            let (number, what) = line.split_once("] ")?.1.trim_start().split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            (what == "close/open" && number > from).then_some(number)
        };
        let found = lines.find_map(|(told, line)| Some((told, closes(line)?)));
        let (told, number) = found.unwrap_or_else(|| panic!("{run:?} never closes its file"));
        Self {
            run,
            content: run.expected(fsx, number - 1),
            told,
        }
    }

    /// Does all of it, the rest in `file`.
    pub(super) fn exercise(&self, fsx: &Fsx, file: &Path) -> Output {
        let (plain, link) = (fsx.world.path("plain"), fsx.world.path("link"));
        for old in [&plain, &link] {
            drop(std::fs::remove_file(old));
        }
        symlink(&plain, &link).unwrap();
        let (said, teller) = rustix::pipe::pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
        rustix::pipe::fcntl_setpipe_size(&teller, 1).unwrap();
        // The command has the other end of the pipe, so it goes at once.
        let mut child = self
            .run
            .command(fsx, &link, self.run.operations)
            .arg("-v")
            .stderr(teller)
            .spawn()
            .unwrap();
        let mut buffer = [0; LONGEST];
        for _ in 0..self.told - 1 {
            rustix::io::read(&said, &mut buffer).unwrap();
        }
        stands_still(child.id(), &said);
        assert!(
            std::fs::read(&plain).unwrap() == self.content,
            "{:?} is not the same twice",
            self.run
        );
        let other = fsx.world.path("other");
        symlink(file, &other).unwrap();
        std::fs::rename(&other, &link).unwrap();
        // From here on it need not wait for us.
        rustix::pipe::fcntl_setpipe_size(&said, 1 << 20).unwrap();
        let (mut text, mut said) = (Vec::new(), std::fs::File::from(said));
        said.read_to_end(&mut text).unwrap();
        let status = child.wait().unwrap();
        assert!(
            std::fs::read(&plain).unwrap() == self.content,
            "{:?} was not led away",
            self.run
        );
        // What went wrong is told at the end, with the operations that led to it.
        let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let last = lines.len().saturating_sub(1200);
        Output {
            status,
            stdout: Vec::new(),
            stderr: lines[last..].concat(),
        }
    }
}

/// Waits until the process of this number has something to tell and cannot.
fn stands_still(process: u32, said: &OwnedFd) {
    let call = format!("{} 0x2 ", libc::SYS_write);
    wait_for("fsx to stand still", || {
        let mut poll = [PollFd::from_borrowed_fd(said.as_fd(), PollFlags::IN)];
        let is_full = rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default())).unwrap() > 0;
        let doing = std::fs::read_to_string(format!("/proc/{process}/syscall"));
        let doing = doing.unwrap_or_default();
        is_full && doing.starts_with(&call)
    });
}
