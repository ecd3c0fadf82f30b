//! What the kernel asks.

mod change;

use std::ffi::OsStr;

use crate::abi::{self, IN_HEADER, opcode};
use crate::wire::{Cut, Words};

pub(crate) use change::{Change, Created, SetAttr, SetTime, Write};

/// A request of the kernel.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Its number, by which it is answered and interrupted.
    pub(crate) unique: u64,
    /// The node that it is about.
    pub(crate) node: u64,
    pub(crate) caller: Caller,
    pub(crate) op: Op<'a>,
}

/// Whose request it is; what it creates is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Init {
        major: u32,
        minor: u32,
        max_readahead: u32,
        flags: u64,
    },
    Lookup {
        name: &'a OsStr,
    },
    /// Has no answer.
    Forget {
        references: u64,
    },
    /// Nodes and references; has no answer.
    BatchForget {
        nodes: Vec<(u64, u64)>,
    },
    GetAttr,
    ReadLink,
    Open {
        flags: u32,
        /// It is cut to nothing by somebody who may not keep its set-user-id bits.
        kill_privileges: bool,
    },
    Read {
        handle: u64,
        offset: u64,
        size: u32,
    },
    /// One descriptor of the handle was closed; there may be more.
    Flush {
        handle: u64,
    },
    Release {
        handle: u64,
    },
    FSync {
        handle: u64,
        data_only: bool,
    },
    /// Where data or a hole begins, as `whence` of `lseek` says.
    Seek {
        handle: u64,
        offset: u64,
        whence: u32,
    },
    OpenDir,
    ReadDir {
        handle: u64,
        offset: u64,
        size: u32,
        plus: bool,
    },
    ReleaseDir {
        handle: u64,
    },
    FSyncDir {
        handle: u64,
        data_only: bool,
    },
    StatFs,
    SyncFs,
    GetXattr {
        name: &'a OsStr,
        size: u32,
    },
    ListXattr {
        size: u32,
    },
    /// The request with this number is not wanted any more.
    Interrupt {
        unique: u64,
    },
    Destroy,
    /// Something that changes the tree.
    Change(Change<'a>),
    /// Something that there is no need for: the kernel does it itself, or does without, once it has been told so.
    Unknown,
}

impl<'a> Request<'a> {
    /// Reads what came from the device.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Cut> {
        let mut header = Words(bytes.get(..IN_HEADER).ok_or(Cut)?);
        let len = header.u32()? as usize;
        let code = header.u32()?;
        let unique = header.u64()?;
        let node = header.u64()?;
        let caller = Caller {
            uid: header.u32()?,
            gid: header.u32()?,
        };
        let words = Words(bytes.get(IN_HEADER..len).ok_or(Cut)?);
        Ok(Self {
            unique,
            node,
            caller,
            op: Op::parse(code, words)?,
        })
    }

    /// The number by which a request that cannot be read is answered. `None`: it is shorter than a header, or one that has
    /// no answer.
    pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
        let mut header = Words(bytes.get(..IN_HEADER)?);
        header.u32().ok()?;
        let code = header.u32().ok()?;
        let unique = header.u64().ok()?;
        (!matches!(code, opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT)).then_some(unique)
    }
}

impl<'a> Op<'a> {
    fn parse(code: u32, mut words: Words<'a>) -> Result<Self, Cut> {
        Ok(match code {
            opcode::INIT => {
                let (major, minor) = (words.u32()?, words.u32()?);
                let (max_readahead, low) = (words.u32()?, words.u32()?);
                // Kernels before 5.17 say nothing more.
                let high = words.u32().unwrap_or(0);
                Self::Init {
                    major,
                    minor,
                    max_readahead,
                    flags: u64::from(low) | u64::from(high) << 32,
                }
            }
            opcode::LOOKUP => Self::Lookup { name: words.name()? },
            opcode::FORGET => Self::Forget {
                references: words.u64()?,
            },
            opcode::BATCH_FORGET => {
                let count = words.u32()?;
                words.u32()?;
                let mut nodes = Vec::new();
                for _ in 0..count {
                    nodes.push((words.u64()?, words.u64()?));
                }
                Self::BatchForget { nodes }
            }
            opcode::GETATTR => Self::GetAttr,
            opcode::READLINK => Self::ReadLink,
            opcode::OPEN => Self::Open {
                flags: words.u32()?,
                kill_privileges: words.u32()? & abi::open::KILL_SUIDGID != 0,
            },
            opcode::READ => Self::Read {
                handle: words.u64()?,
                offset: words.u64()?,
                size: words.u32()?,
            },
            opcode::FLUSH => Self::Flush { handle: words.u64()? },
            opcode::FSYNC => Self::FSync {
                handle: words.u64()?,
                data_only: words.u32()? & abi::fsync::DATA != 0,
            },
            opcode::LSEEK => Self::Seek {
                handle: words.u64()?,
                offset: words.u64()?,
                whence: words.u32()?,
            },
            opcode::RELEASE => Self::Release { handle: words.u64()? },
            opcode::OPENDIR => Self::OpenDir,
            opcode::READDIR | opcode::READDIRPLUS => Self::ReadDir {
                handle: words.u64()?,
                offset: words.u64()?,
                size: words.u32()?,
                plus: code == opcode::READDIRPLUS,
            },
            opcode::RELEASEDIR => Self::ReleaseDir { handle: words.u64()? },
            opcode::FSYNCDIR => Self::FSyncDir {
                handle: words.u64()?,
                data_only: words.u32()? & abi::fsync::DATA != 0,
            },
            opcode::STATFS => Self::StatFs,
            opcode::SYNCFS => Self::SyncFs,
            opcode::GETXATTR => {
                let size = words.u32()?;
                words.u32()?;
                Self::GetXattr {
                    name: words.name()?,
                    size,
                }
            }
            opcode::LISTXATTR => Self::ListXattr { size: words.u32()? },
            opcode::INTERRUPT => Self::Interrupt { unique: words.u64()? },
            opcode::DESTROY => Self::Destroy,
            _ => match Change::parse(code, words)? {
                Some(change) => Self::Change(change),
                None => Self::Unknown,
            },
        })
    }
}

#[cfg(test)]
mod tests;
