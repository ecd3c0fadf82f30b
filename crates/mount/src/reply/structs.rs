//! What answers are made of, as `include/uapi/linux/fuse.h` has it.

use std::time::Duration;

use rustix::fs::StatVfs;

use crate::wire::{Out, Time};

/// What the kernel is told of a node's attributes; `struct fuse_attr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeAttr {
    /// What the kernel calls it.
    pub(crate) node: u64,
    /// What programs see as its number.
    pub(crate) ino: u64,
    pub(crate) size: u64,
    /// Of 512 bytes.
    pub(crate) blocks: u64,
    pub(crate) accessed: Time,
    pub(crate) modified: Time,
    /// Of its attributes.
    pub(crate) changed: Time,
    /// Kind and permissions.
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// If it is one, as the kernel packs it into 32 bits.
    pub(crate) device: u32,
    /// What programs should read and write at a time.
    pub(crate) block_size: u32,
    /// For how long the kernel may believe it.
    pub(crate) valid: Duration,
    /// For how long it may believe that the name leads there.
    pub(crate) entry_valid: Duration,
}

impl NodeAttr {
    /// What `st_blocks` counts in.
    pub(crate) const SECTOR: u64 = 512;

    /// 1 MiB is one request.
    pub(crate) const BLOCK_SIZE: u32 = 1 << 20;
}

/// How much room there is; `struct fuse_kstatfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    /// To those who are not root.
    pub(crate) available: u64,
    pub(crate) files: u64,
    pub(crate) files_free: u64,
    pub(crate) block_size: u32,
    pub(crate) longest_name: u32,
    /// What `blocks` counts in.
    pub(crate) fragment: u32,
}

impl Room {
    /// As much as a file system has.
    pub(crate) fn of(room: &StatVfs) -> Self {
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            blocks: room.f_blocks,
            free: room.f_bfree,
            available: room.f_bavail,
            files: room.f_files,
            files_free: room.f_ffree,
            block_size: small(room.f_bsize),
            longest_name: small(room.f_namemax),
            fragment: small(room.f_frsize),
        }
    }
}

/// Bytes of `struct fuse_entry_out`.
pub(crate) const ENTRY_OUT: usize = 128;

/// The longest that the kernel is told to believe something: it stands for ever, and fits whatever it is converted to.
const LONGEST: Duration = Duration::from_secs(1 << 31);

impl Out {
    /// `struct fuse_attr`.
    fn node_attr(self, attr: &NodeAttr) -> Self {
        self.u64(attr.ino)
            .u64(attr.size)
            .u64(attr.blocks)
            .u64(attr.accessed.seconds as u64)
            .u64(attr.modified.seconds as u64)
            .u64(attr.changed.seconds as u64)
            .u32(attr.accessed.nanos)
            .u32(attr.modified.nanos)
            .u32(attr.changed.nanos)
            .u32(attr.mode)
            .u32(attr.nlink)
            .u32(attr.uid)
            .u32(attr.gid)
            .u32(attr.device)
            .u32(attr.block_size)
            .u32(0)
    }

    /// `struct fuse_entry_out`.
    pub(crate) fn entry(self, attr: &NodeAttr) -> Self {
        let (entry, valid) = (attr.entry_valid.min(LONGEST), attr.valid.min(LONGEST));
        self.u64(attr.node)
            .u64(1)
            .u64(entry.as_secs())
            .u64(valid.as_secs())
            .u32(entry.subsec_nanos())
            .u32(valid.subsec_nanos())
            .node_attr(attr)
    }

    /// A name that is not there, and how long that may be believed.
    pub(crate) fn no_entry(self, valid: Duration) -> Self {
        let valid = valid.min(LONGEST);
        self.u64(0)
            .u64(0)
            .u64(valid.as_secs())
            .u64(0)
            .u32(valid.subsec_nanos())
            .u32(0)
            .zeros(88)
    }

    /// `struct fuse_attr_out`.
    pub(crate) fn attr(self, attr: &NodeAttr) -> Self {
        let valid = attr.valid.min(LONGEST);
        self.u64(valid.as_secs())
            .u32(valid.subsec_nanos())
            .u32(0)
            .node_attr(attr)
    }

    /// `struct fuse_open_out`. A file that is created is answered with [`Self::entry`] and this.
    pub(crate) fn open(self, handle: u64, flags: u32, backing: u32) -> Self {
        self.u64(handle).u32(flags).u32(backing)
    }

    /// `struct fuse_write_out`: so many bytes were written, or copied.
    pub(crate) fn written(self, len: u32) -> Self {
        self.u32(len).u32(0)
    }

    /// `struct fuse_kstatfs`.
    pub(crate) fn room(self, room: &Room) -> Self {
        self.u64(room.blocks)
            .u64(room.free)
            .u64(room.available)
            .u64(room.files)
            .u64(room.files_free)
            .u32(room.block_size)
            .u32(room.longest_name)
            .u32(room.fragment)
            .zeros(28)
    }

    /// `struct fuse_dirent`; `next` is the offset of what comes after it.
    pub(crate) fn dirent(self, ino: u64, next: u64, kind: u32, name: &[u8]) -> Self {
        self.u64(ino)
            .u64(next)
            .u32(name.len() as u32)
            .u32(kind)
            .bytes(name)
            .pad(8)
    }
}

/// Bytes of a `struct fuse_dirent` with a name of this length.
pub(crate) fn dirent_len(name: usize) -> usize {
    (24 + name).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Words;

    fn attr() -> NodeAttr {
        let time = |seconds, nanos| Time { seconds, nanos };
        NodeAttr {
            node: 2,
            ino: 22,
            size: 1000,
            blocks: 8,
            accessed: time(-3, 4),
            modified: time(5, 6),
            changed: time(7, 8),
            mode: 0o100_444,
            nlink: 1,
            uid: 3,
            gid: 4,
            device: 5,
            block_size: 4096,
            valid: Duration::new(1, 2),
            entry_valid: Duration::MAX,
        }
    }

    #[test]
    fn structs_have_the_kernels_sizes() {
        let attr = attr();
        assert_eq!(Out::default().entry(&attr).0.len(), ENTRY_OUT);
        assert_eq!(Out::default().no_entry(Duration::ZERO).0.len(), ENTRY_OUT);
        assert_eq!(Out::default().attr(&attr).0.len(), 104);
        assert_eq!(Out::default().open(1, 2, 3).0.len(), 16);
        assert_eq!(Out::default().written(1).0.len(), 8);
        assert_eq!(Out::default().room(&Room::default()).0.len(), 80);
        for name in 0..20 {
            let out = Out::default().dirent(1, 2, 8, &vec![b'x'; name]);
            assert_eq!(out.0.len(), dirent_len(name));
        }
    }

    #[test]
    fn a_name_and_what_it_leads_to_are_believed_each_for_its_time() {
        let out = Out::default().entry(&attr());
        let mut words = Words(&out.0);
        let mut next = || words.u64().unwrap();
        assert_eq!([next(), next()], [2, 1]);
        assert_eq!([next(), next()], [1 << 31, 1]);
        assert_eq!(next(), 2 << 32);
        assert_eq!([next(), next(), next()], [22, 1000, 8]);
        assert_eq!([next() as i64, next() as i64, next() as i64], [-3, 5, 7]);
        assert_eq!(next(), 4 | 6 << 32);
        assert_eq!(next(), 8 | 0o100_444 << 32);
    }
}
