//! Under which names things are, for messages.

use super::Merged;
use crate::ino::Ino;
use crate::overlay::{NodeId, UpperEntry};

/// Deeper than the kernel can name.
const MAX_DEPTH: usize = 4096;

impl Merged {
    /// Under which name the kernel found a number last, from the root on and as it is, not made safe to print; empty for the
    /// root. Also of one whose name is gone. `None`: the kernel does not hold it, or how it was found is not known any more.
    pub fn path(&self, ino: Ino) -> Option<Vec<u8>> {
        if let Some(id) = self.node(ino) {
            return self.node_path(id);
        }
        let line = self.tree().lineage(ino)?;
        // From the last directory on that came up: it may have been moved.
        let mut names = vec![line.name.as_bytes()];
        for dir in line.above.iter().rev() {
            if let Some(id) = self.node(dir.ino) {
                let mut path = self.node_path(id)?;
                for name in names.iter().rev() {
                    push(&mut path, name);
                }
                return Some(path);
            }
            names.push(dir.name().as_bytes());
        }
        None
    }

    fn node_path(&self, id: NodeId) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT {
            let (parent, name) = self.shared.numbers.place(at).or_else(|| self.search(at))?;
            names.push(name);
            at = parent;
            if names.len() > MAX_DEPTH {
                return None;
            }
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            push(&mut path, name);
        }
        Some(path)
    }

    /// A directory by its number, among the names of the one that it lies in.
    fn search(&self, id: NodeId) -> Option<(NodeId, Box<[u8]>)> {
        let parent = self.shared.upper.parent(id).ok()?;
        let names = self.shared.upper.entries(parent).ok()?;
        let is_it = |entry: &UpperEntry| matches!(entry, UpperEntry::Node { id: other, .. } if *other == id);
        let (name, _) = names.into_iter().find(|(_, entry)| is_it(entry))?;
        Some((parent, name))
    }
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
