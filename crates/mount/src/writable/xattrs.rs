//! Extended attributes: those of programs, and what a file that is below tells of itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use forebay_vfs::Ino;
use forebay_vfs::overlay::SetXattr;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::{Refusal, Writable};
use crate::fs::answer_xattr;
use crate::reply::Reply;

/// What a file that is below tells of itself.
const OURS: &[u8] = b"user.forebay.";

impl Writable {
    pub(super) fn get_xattr(self: &Arc<Self>, ino: Ino, name: &OsStr, size: u32, reply: Reply) {
        if name.as_bytes().starts_with(OURS) && self.merged.still_lower(ino) {
            return self.fs.get_xattr(ino, name, size, reply);
        }
        let (merged, name) = (self.merged.clone(), name.to_owned());
        let ask = async move { Ok(merged.xattr(ino, name.as_bytes()).await?) };
        self.ask(reply, ask, move |this, reply, value| {
            this.value(reply, value.as_deref().map_err(|refusal| *refusal), size);
        });
    }

    pub(super) fn list_xattr(self: &Arc<Self>, ino: Ino, size: u32, reply: Reply) {
        if self.merged.still_lower(ino) {
            return self.fs.list_xattr(ino, size, reply);
        }
        let merged = self.merged.clone();
        let ask = async move {
            let mut all = Vec::new();
            for name in merged.xattrs(ino).await? {
                all.extend_from_slice(&name);
                all.push(0);
            }
            Ok(all)
        };
        self.ask(reply, ask, move |this, reply, names| {
            this.value(reply, names.as_deref().map_err(|refusal| *refusal), size);
        });
    }

    fn value(&self, reply: Option<Reply>, value: Result<&[u8], Refusal>, size: u32) {
        match (value, reply) {
            (Ok(value), Some(reply)) => answer_xattr(reply, value, size),
            (Ok(_), None) => {}
            (Err(refusal), Some(reply)) if refusal.errno == Errno::NODATA => reply.error(Errno::NODATA),
            (Err(refusal), reply) => self.refuse(reply, refusal),
        }
    }

    pub(super) fn set_xattr(
        self: &Arc<Self>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: u32,
        reply: Reply,
    ) {
        let how = match XattrFlags::from_bits_retain(flags) {
            flags if flags.is_empty() => SetXattr::Any,
            XattrFlags::CREATE => SetXattr::Create,
            XattrFlags::REPLACE => SetXattr::Replace,
            _ => return self.refuse(Some(reply), Errno::INVAL),
        };
        let (merged, name, value) = (self.merged.clone(), name.to_owned(), value.to_owned());
        self.change_only(reply, async move {
            merged.set_xattr(ino, name.as_bytes(), &value, how).await
        });
    }

    pub(super) fn remove_xattr(self: &Arc<Self>, ino: Ino, name: &OsStr, reply: Reply) {
        let (merged, name) = (self.merged.clone(), name.to_owned());
        self.change_only(
            reply,
            async move { merged.remove_xattr(ino, name.as_bytes()).await },
        );
    }
}
