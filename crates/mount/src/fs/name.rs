//! Names.

use std::ffi::OsStr;
use std::sync::Arc;

use forebay_vfs::{Attr, Ino, VfsError};

use super::Fs;
use super::attr::node_attr;
use crate::reply::Reply;
use crate::wire::Out;

impl Fs {
    pub(super) fn lookup(self: &Arc<Self>, parent: Ino, name: &OsStr, reply: Reply) {
        if let Some(known) = self.tree.try_lookup(parent, name) {
            return self.answer_lookup(Some(reply), known);
        }
        let (tree, name) = (self.tree.clone(), name.to_owned());
        // Its answer has more to say than an errno: how long a name that is not there may be believed.
        let ask = async move { Ok(tree.lookup(parent, &name).await) };
        self.park(reply, ask, |this, reply, found| match (found, reply) {
            (Ok(found), reply) => this.answer_lookup(reply, found),
            (Err(errno), Some(reply)) => reply.error(errno),
            (Err(_), None) => {}
        });
    }

    fn answer_lookup(&self, reply: Option<Reply>, found: Result<Attr, VfsError>) {
        match (found, reply) {
            (Ok(attr), reply) => {
                let out = Out::default().entry(&node_attr(&attr, &self.options));
                // The kernel has the reference only if it has the answer.
                if !reply.is_some_and(|reply| reply.out(&out)) {
                    self.tree.forget(attr.ino, 1);
                }
            }
            (Err(VfsError::NotFound { valid, .. }), Some(reply)) if !valid.is_zero() => {
                reply.out(&Out::default().no_entry(valid));
            }
            (Err(error), Some(reply)) => self.refuse_name(reply, &error),
            (Err(_), None) => {}
        }
    }
}
