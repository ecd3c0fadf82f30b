//! Names of a directory as the kernel wants them: as many as fit, from some place on.

use forebay_vfs::Ino;

use super::{ENTRY_OUT, NodeAttr, dirent_len};
use crate::wire::Out;

/// `.` and `..` come first.
const DOTS: u64 = 2;

/// `d_type` of a directory.
pub(crate) const DT_DIR: u32 = 4;

/// What the kernel asks of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// How many names it has been told.
    pub(crate) offset: u64,
    /// Bytes of the answer.
    pub(crate) size: u32,
    /// Whether each name comes with its attributes, and a reference to its node.
    pub(crate) plus: bool,
}

/// A name of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) ino: Ino,
    /// As `d_type` has it.
    pub(crate) kind: u32,
    pub(crate) name: &'a [u8],
}

/// The answer, and the nodes that the kernel has one more reference to if it takes it. `entries` gives the names from an index
/// on. `refer` counts a reference to the name at an index, and may set right what is told of it; `None`: it is gone since, and the
/// kernel need not hear of it.
pub(crate) fn listing<'a, E: Iterator<Item = Name<'a>>>(
    window: Window,
    (dir, parent): (Ino, Ino),
    entries: impl FnOnce(usize) -> E,
    mut refer: impl FnMut(usize, &mut Name<'a>) -> Option<NodeAttr>,
) -> (Out, Vec<Ino>) {
    let Window { offset, size, plus } = window;
    let size = size as usize;
    let mut out = Out(Vec::with_capacity(size));
    let mut referred = Vec::new();
    let extra = if plus { ENTRY_OUT } else { 0 };
    for (index, (ino, name)) in [(dir, "."), (parent, "..")].into_iter().enumerate() {
        let index = index as u64;
        if index < offset || out.0.len() + extra + dirent_len(name.len()) > size {
            continue;
        }
        // Without a node: the kernel knows these two.
        out = out.zeros(extra).dirent(ino.0, index + 1, DT_DIR, name.as_bytes());
    }
    let from = usize::try_from(offset.saturating_sub(DOTS)).unwrap_or(usize::MAX);
    for (index, mut entry) in entries(from).enumerate() {
        if out.0.len() + extra + dirent_len(entry.name.len()) > size {
            break;
        }
        let index = from + index;
        if plus {
            let Some(attr) = refer(index, &mut entry) else {
                continue;
            };
            referred.push(Ino(attr.node));
            out = out.entry(&attr);
        }
        out = out.dirent(entry.ino.0, index as u64 + 1 + DOTS, entry.kind, entry.name);
    }
    (out, referred)
}
