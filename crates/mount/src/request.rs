//! What the kernel asks.

use std::ffi::OsStr;

use crate::abi::{IN_HEADER, opcode};
use crate::wire::{Cut, Words};

/// A request of the kernel.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Its number, by which it is answered and interrupted.
    pub(crate) unique: u64,
    /// The node that it is about.
    pub(crate) node: u64,
    pub(crate) op: Op<'a>,
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
    },
    Read {
        handle: u64,
        offset: u64,
        size: u32,
    },
    Release {
        handle: u64,
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
    StatFs,
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
    Write,
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
        let words = Words(bytes.get(IN_HEADER..len).ok_or(Cut)?);
        Ok(Self {
            unique,
            node,
            op: Op::parse(code, words)?,
        })
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
            opcode::OPEN => Self::Open { flags: words.u32()? },
            opcode::READ => Self::Read {
                handle: words.u64()?,
                offset: words.u64()?,
                size: words.u32()?,
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
            opcode::STATFS => Self::StatFs,
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
            opcode::SETATTR
            | opcode::SYMLINK
            | opcode::MKNOD
            | opcode::MKDIR
            | opcode::UNLINK
            | opcode::RMDIR
            | opcode::RENAME
            | opcode::RENAME2
            | opcode::LINK
            | opcode::WRITE
            | opcode::CREATE
            | opcode::TMPFILE
            | opcode::SETXATTR
            | opcode::REMOVEXATTR => Self::Write,
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Out;

    fn request(code: u32, body: &[u8]) -> Vec<u8> {
        let len = (IN_HEADER + body.len()) as u32;
        let header = Out::default().u32(len).u32(code).u64(42).u64(7).zeros(16);
        header.bytes(body).0
    }

    #[test]
    fn requests_are_read() {
        let lookup = request(opcode::LOOKUP, b"file\0");
        let parsed = Request::parse(&lookup).unwrap();
        assert_eq!((parsed.unique, parsed.node), (42, 7));
        assert_eq!(
            parsed.op,
            Op::Lookup {
                name: OsStr::new("file")
            }
        );
        let body = Out::default().u64(3).u64(4096).u32(128).zeros(20).0;
        let read = request(opcode::READ, &body);
        let read = Request::parse(&read).unwrap().op;
        assert_eq!(
            read,
            Op::Read {
                handle: 3,
                offset: 4096,
                size: 128
            }
        );
        assert_eq!(Request::parse(&request(999, &[])).unwrap().op, Op::Unknown);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for bytes in [&[][..], &[0; 39], &request(opcode::READ, &[0; 8])] {
            assert!(Request::parse(bytes).is_err());
        }
        // It says that it is longer than it is.
        let mut longer = request(opcode::GETATTR, &[]);
        longer[0] = 200;
        assert!(Request::parse(&longer).is_err());
    }
}
