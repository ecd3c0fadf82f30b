//! Extended attributes.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::Mirror;
use super::nodes::Node;
use crate::reply::Reply;
use crate::wire::Out;

impl Mirror {
    /// A value, or how long it is if `size` is 0.
    pub(super) fn get_xattr(&self, number: u64, name: &OsStr, size: usize, reply: Reply, scratch: &mut [u8]) {
        let size = size.min(scratch.len());
        let value = self.nodes.get(number).and_then(|node| match size {
            0 => rustix::fs::getxattr_query(path(&node), name),
            size => rustix::fs::getxattr(path(&node), name, &mut scratch[..size]),
        });
        answer(value, size, reply, scratch);
    }

    /// Names, each with a zero byte, or how long they are together if `size` is 0.
    pub(super) fn list_xattr(&self, number: u64, size: usize, reply: Reply, scratch: &mut [u8]) {
        let size = size.min(scratch.len());
        let names = self.nodes.get(number).and_then(|node| match size {
            0 => rustix::fs::listxattr_query(path(&node)),
            size => rustix::fs::listxattr(path(&node), &mut scratch[..size]),
        });
        answer(names, size, reply, scratch);
    }

    pub(super) fn set_xattr(
        &self,
        number: u64,
        name: &OsStr,
        value: &[u8],
        flags: u32,
    ) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        rustix::fs::setxattr(path(&node), name, value, XattrFlags::from_bits_retain(flags))?;
        Ok(Out::default())
    }

    pub(super) fn remove_xattr(&self, number: u64, name: &OsStr) -> Result<Out, Errno> {
        let node = self.nodes.get(number)?;
        rustix::fs::removexattr(path(&node), name)?;
        Ok(Out::default())
    }
}

/// A node by a path: descriptors that only pin a file are not taken. It leads to a link itself, not to where that leads.
fn path(node: &Node) -> String {
    format!("/proc/self/fd/{}", node.as_fd().as_raw_fd())
}

/// The bytes in `scratch`, or their number (`struct fuse_getxattr_out`).
fn answer(len: Result<usize, Errno>, size: usize, reply: Reply, scratch: &[u8]) {
    match (len, size) {
        (Ok(len), 0) => {
            reply.out(&Out::default().u32(len as u32).u32(0));
        }
        (Ok(len), _) => {
            reply.bytes(&[&scratch[..len]]);
        }
        (Err(errno), _) => reply.error(errno),
    }
}
