//! A reference to a lower number.

use std::sync::{Arc, Weak};

use super::Numbers;
use crate::ino::Ino;
use crate::tree::Tree;

/// A reference to a lower number that is given back by itself.
#[derive(Debug)]
pub(in crate::merged) struct LowerRef {
    numbers: Weak<Numbers>,
    tree: Tree,
    ino: Ino,
    is_kept: bool,
}

impl LowerRef {
    pub(in crate::merged) fn ino(&self) -> Ino {
        self.ino
    }

    /// The kernel has it now.
    pub(in crate::merged) fn keep(mut self) -> Ino {
        self.is_kept = true;
        self.ino
    }
}

impl Drop for LowerRef {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        match self.numbers.upgrade() {
            Some(numbers) => numbers.forget(self.ino, 1),
            None => self.tree.forget(self.ino, 1),
        };
    }
}

impl Numbers {
    /// Takes over a reference that the tree has just counted.
    pub(in crate::merged) fn lower_ref(self: &Arc<Self>, ino: Ino) -> LowerRef {
        LowerRef {
            numbers: Arc::downgrade(self),
            tree: self.tree.clone(),
            ino,
            is_kept: false,
        }
    }
}
