//! Mounting without the right to: by the system's `fusermount3`, which has it and checks that the directory is ours.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};

use super::{MAX_READ, who};
use crate::options::MountOptions;
use crate::session::Access;

const HELPER: &str = "fusermount3";

/// Mounts on `path`; the answer is the session's device.
pub(super) fn mount(path: &Path, options: &MountOptions, access: Access) -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let words = format!(
        "{},nosuid,nodev,max_read={MAX_READ},subtype=forebay,fsname={}{}",
        match access {
            Access::ReadOnly => "ro",
            Access::Writable => "rw",
        },
        escaped(&options.source),
        who(options, access)
    );
    // It answers over the socket that it is told the number of: its standard input, which nobody else inherits.
    let mut command = Command::new(HELPER);
    command.env("_FUSE_COMMFD", "0").stdin(theirs);
    run(command.args(["-o", &words, "--"]).arg(path))?;
    received(&ours)
}

/// Takes a mount of ours away: from everybody at once, or only if nobody uses it.
pub(super) fn unmount(path: &Path, lazily: bool) -> io::Result<()> {
    let mut command = Command::new(HELPER);
    command.arg("-u").args(lazily.then_some("-z")).arg("--").arg(path);
    run(command.stdin(Stdio::null())).map(drop)
}

/// Runs it; what it says is the error if it fails.
fn run(command: &mut Command) -> io::Result<Output> {
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let output = match command.spawn() {
        // The socket's other end goes with the command, so that its silence is seen below.
        Ok(child) => child.wait_with_output()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = format!("mounting takes root or {HELPER} (package fuse3), which is not installed");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Err(error) => return Err(error),
    };
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = forebay_types::printable(said.trim()).into_owned();
    // It tells its reasons in words only; nearly all of them are that something is not allowed.
    let kind = if said.contains("busy") {
        io::ErrorKind::ResourceBusy
    } else {
        io::ErrorKind::PermissionDenied
    };
    Err(io::Error::new(kind, said))
}

/// The descriptor that came over the socket.
fn received(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        socket,
        &mut [io::IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let device = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    device.ok_or_else(|| io::Error::other(format!("{HELPER} mounted and gave no device")))
}

/// A value as the list of options has it: a comma would end it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_one_option() {
        assert_eq!(escaped("s3://b/a,allow_other"), "s3://b/a\\,allow_other");
        assert_eq!(escaped("a\\,b"), "a\\\\\\,b");
    }
}
