//! What the kernel asks that changes the tree or a file.

use std::ffi::OsStr;

use crate::abi::{self, fattr, opcode};
use crate::wire::{Cut, Time, Words};

/// Something that changes the tree. Modes have the program's mask taken off by the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    SetAttr(SetAttr),
    Symlink {
        name: &'a OsStr,
        target: &'a OsStr,
    },
    /// A file of any kind that is neither a directory nor a link; `device` as the kernel packs it into 32 bits.
    MkNod {
        name: &'a OsStr,
        mode: u32,
        device: u32,
    },
    MkDir {
        name: &'a OsStr,
        mode: u32,
    },
    Unlink {
        name: &'a OsStr,
    },
    RmDir {
        name: &'a OsStr,
    },
    /// `flags` as of `renameat2`.
    Rename {
        name: &'a OsStr,
        new_parent: u64,
        new_name: &'a OsStr,
        flags: u32,
    },
    /// Another name, in the request's node, for `target`.
    Link {
        target: u64,
        name: &'a OsStr,
    },
    Create {
        name: &'a OsStr,
        created: Created,
    },
    /// A file without a name. What comes for one is made up by the kernel.
    TmpFile {
        created: Created,
    },
    Write(Write<'a>),
    /// `mode` as of `fallocate`.
    Allocate {
        handle: u64,
        offset: u64,
        len: u64,
        mode: u32,
    },
    Copy {
        from: u64,
        from_offset: u64,
        to: u64,
        to_offset: u64,
        len: u64,
        /// The answer has room for 64 bits.
        wide: bool,
    },
    /// `flags` as of `setxattr`.
    SetXattr {
        name: &'a OsStr,
        value: &'a [u8],
        flags: u32,
    },
    RemoveXattr {
        name: &'a OsStr,
    },
}

/// A file that is created and opened at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    /// As of `open`.
    pub(crate) flags: u32,
    pub(crate) mode: u32,
    /// If it is there and is cut to nothing: by somebody who may not keep its set-user-id bits.
    pub(crate) kill_privileges: bool,
}

/// Bytes for a file; they lie where the request was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write<'a> {
    pub(crate) handle: u64,
    pub(crate) offset: u64,
    pub(crate) data: &'a [u8],
    /// Nobody waits who could be told of a part: these are pages that were changed in a mapping.
    pub(crate) whole: bool,
    /// By somebody who may not keep the file's set-user-id bits.
    pub(crate) kill_privileges: bool,
}

/// Attributes to be set; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetAttr {
    /// What the program has open.
    pub(crate) handle: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<SetTime>,
    pub(crate) modified: Option<SetTime>,
    /// The size is set by somebody who may not keep the file's set-user-id bits.
    pub(crate) kill_privileges: bool,
}

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetTime {
    Now,
    At(Time),
}

impl<'a> Change<'a> {
    /// `None`: it is none of these.
    pub(super) fn parse(code: u32, mut words: Words<'a>) -> Result<Option<Self>, Cut> {
        Ok(Some(match code {
            opcode::SETATTR => Self::SetAttr(SetAttr::parse(words)?),
            opcode::SYMLINK => Self::Symlink {
                name: words.name()?,
                target: words.name()?,
            },
            opcode::MKNOD => {
                let (mode, device) = (words.u32()?, words.u32()?);
                words.take(8)?;
                let name = words.name()?;
                Self::MkNod { name, mode, device }
            }
            opcode::MKDIR => {
                let mode = words.u32()?;
                words.take(4)?;
                let name = words.name()?;
                Self::MkDir { name, mode }
            }
            opcode::UNLINK => Self::Unlink { name: words.name()? },
            opcode::RMDIR => Self::RmDir { name: words.name()? },
            opcode::RENAME | opcode::RENAME2 => {
                let new_parent = words.u64()?;
                let flags = if code == opcode::RENAME2 {
                    let flags = words.u32()?;
                    words.take(4)?;
                    flags
                } else {
                    0
                };
                Self::Rename {
                    name: words.name()?,
                    new_parent,
                    new_name: words.name()?,
                    flags,
                }
            }
            opcode::LINK => Self::Link {
                target: words.u64()?,
                name: words.name()?,
            },
            opcode::CREATE => {
                let created = Created::parse(&mut words)?;
                let name = words.name()?;
                Self::Create { name, created }
            }
            opcode::TMPFILE => Self::TmpFile {
                created: Created::parse(&mut words)?,
            },
            opcode::WRITE => Self::Write(Write::parse(words)?),
            opcode::FALLOCATE => Self::Allocate {
                handle: words.u64()?,
                offset: words.u64()?,
                len: words.u64()?,
                mode: words.u32()?,
            },
            opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => {
                let (from, from_offset) = (words.u64()?, words.u64()?);
                // The other file's node: it is known by its handle.
                words.take(8)?;
                Self::Copy {
                    from,
                    from_offset,
                    to: words.u64()?,
                    to_offset: words.u64()?,
                    len: words.u64()?,
                    wide: code == opcode::COPY_FILE_RANGE_64,
                }
            }
            opcode::SETXATTR => {
                let (size, flags) = (words.u32()? as usize, words.u32()?);
                let name = words.name()?;
                let value = words.take(size)?;
                Self::SetXattr { name, value, flags }
            }
            opcode::REMOVEXATTR => Self::RemoveXattr { name: words.name()? },
            _ => return Ok(None),
        }))
    }
}

impl Created {
    /// `struct fuse_create_in`.
    fn parse(words: &mut Words<'_>) -> Result<Self, Cut> {
        let (flags, mode) = (words.u32()?, words.u32()?);
        words.take(4)?;
        let kill_privileges = words.u32()? & abi::open::KILL_SUIDGID != 0;
        Ok(Self {
            flags,
            mode,
            kill_privileges,
        })
    }
}

impl<'a> Write<'a> {
    /// `struct fuse_write_in`, and the bytes.
    fn parse(mut words: Words<'a>) -> Result<Self, Cut> {
        let (handle, offset) = (words.u64()?, words.u64()?);
        let (size, flags) = (words.u32()? as usize, words.u32()?);
        // The owner of locks, the flags of the file.
        words.take(16)?;
        Ok(Self {
            handle,
            offset,
            data: words.take(size)?,
            whole: flags & abi::write::CACHE != 0,
            kill_privileges: flags & abi::write::KILL_SUIDGID != 0,
        })
    }
}

impl SetAttr {
    /// `struct fuse_setattr_in`.
    fn parse(mut words: Words<'_>) -> Result<Self, Cut> {
        let valid = words.u32()?;
        words.take(4)?;
        let (handle, size) = (words.u64()?, words.u64()?);
        // The owner of locks.
        words.take(8)?;
        let seconds = [words.u64()?, words.u64()?];
        // The time of the last change, which only a cache of writes in the kernel would set.
        words.take(8)?;
        let nanos = [words.u32()?, words.u32()?];
        words.take(4)?;
        let mode = words.u32()?;
        words.take(4)?;
        let (uid, gid) = (words.u32()?, words.u32()?);
        words.take(4)?;
        let is = |flag: u32| valid & flag != 0;
        let time = |which: usize, set: u32, now: u32| {
            let at = Time {
                seconds: seconds[which] as i64,
                nanos: nanos[which],
            };
            match (is(set), is(now)) {
                (_, true) => Some(SetTime::Now),
                (true, false) => Some(SetTime::At(at)),
                (false, false) => None,
            }
        };
        Ok(Self {
            handle: is(fattr::FH).then_some(handle),
            mode: is(fattr::MODE).then_some(mode),
            uid: is(fattr::UID).then_some(uid),
            gid: is(fattr::GID).then_some(gid),
            size: is(fattr::SIZE).then_some(size),
            accessed: time(0, fattr::ATIME, fattr::ATIME_NOW),
            modified: time(1, fattr::MTIME, fattr::MTIME_NOW),
            kill_privileges: is(fattr::KILL_SUIDGID),
        })
    }
}
