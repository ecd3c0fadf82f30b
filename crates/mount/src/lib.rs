//! A tree as a file system of the kernel, by FUSE.
//!
//! [`Mount::start`] opens the device, mounts it and greets the kernel; then threads of the session take requests from
//! their queues and the file system answers them, one function for each operation: names, attributes and directories
//! from the [`forebay_vfs::Tree`], bytes from the [`forebay_reader::Reader`]. What is known is answered on the thread
//! that asked and meets no runtime. What has to be asked for is parked in the runtime, within a deadline, and ends
//! when its program is interrupted. A file that lies whole on a local disk is handed to the kernel, which reads it
//! without us from then on. When the tree hears of a change, the kernel is told to forget what it believed.
//!
//! [`Mount::start_writable`] does the same with changes on top of a tree, a [`forebay_vfs::merged::Merged`]: what is above is
//! read and written there, new files by the kernel itself, and what is below is read as ever. [`MirrorMount`] and
//! [`MemoryMount`] do next to nothing: they are what the two are measured against.

#![cfg(target_os = "linux")]

mod abi;
mod device;
mod errno;
mod fs;
mod handles;
mod map;
mod memory;
mod mirror;
mod modes;
mod mount;
mod mountpoint;
mod options;
mod parked;
mod passthrough;
mod reply;
mod request;
mod session;
mod stats;
mod status;
mod wire;
mod writable;

pub use memory::MemoryMount;
pub use mirror::{MirrorMount, MirrorOptions, MirrorStats};
pub use mount::{Mount, MountError};
pub use mountpoint::unmount;
pub use options::{IoMode, MountOptions, WritableOptions};
pub use stats::MountStats;
pub use status::{FileMode, FileStatus, MountStatus, ReaderStatus, TorrentStatus, WindowStatus};
