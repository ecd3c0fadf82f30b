//! What a file tells of itself besides: `user.forebay.*`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use forebay_range::Target;
use forebay_types::{BlockRange, Version};
use forebay_vfs::Ino;
use rustix::io::Errno;

use super::Fs;
use crate::reply::Reply;
use crate::wire::Out;

/// Of the kinds of attributes the only one here: no access lists, labels or capabilities.
const USER: &[u8] = b"user.";

const ETAG: &str = "user.forebay.etag";
const ORIGIN: &str = "user.forebay.origin";
/// How much of it lies on a disk of this machine, in percent.
const CACHED: &str = "user.forebay.cached";

impl Fs {
    pub(super) fn get_xattr(&self, ino: Ino, name: &OsStr, size: u32, reply: Reply) {
        match name.to_str().and_then(|name| self.xattr(ino, name)) {
            Some(value) => answer(reply, value.as_bytes(), size),
            // `ls -l` asks two of these of each file, unless it hears once that there are none on this device.
            None if !name.as_bytes().starts_with(USER) => reply.error(Errno::OPNOTSUPP),
            None => reply.error(Errno::NODATA),
        }
    }

    pub(super) fn list_xattr(&self, ino: Ino, size: u32, reply: Reply) {
        let mut names = String::new();
        for name in [ETAG, ORIGIN, CACHED] {
            if self.xattr(ino, name).is_some() {
                names.push_str(name);
                names.push('\0');
            }
        }
        answer(reply, names.as_bytes(), size);
    }

    fn xattr(&self, ino: Ino, name: &str) -> Option<String> {
        let file = self.tree.file(ino).ok()?;
        match name {
            ETAG => match file.attr.version {
                Version::ETag(tag) => Some(tag.to_string()),
                Version::Modified(_) | Version::Unknown => None,
            },
            // As it may be shown: an origin has no secrets.
            ORIGIN => Some(file.target.name.to_string()),
            CACHED => Some(self.cached(&file.target).to_string()),
            _ => None,
        }
    }

    /// Percent of an object that are here; all of what lies on this machine anyway. Rounded down: 100 is all.
    fn cached(&self, target: &Target) -> u64 {
        if !target.cached {
            return 100;
        }
        let (Some(cache), Some(known)) = (self.reader.cache(), &target.known) else {
            return 0;
        };
        let blocks = BlockRange::of_size(known.size);
        let count = |run: BlockRange| run.end() - run.start();
        let all = count(blocks);
        if all == 0 {
            return 100;
        }
        let object = cache.object(&target.object_id(known));
        let runs = object.presence(blocks).into_iter();
        let here: u64 = runs
            .filter(|(_, is_here)| *is_here)
            .map(|(run, _)| run.len())
            .sum();
        here * 100 / all
    }
}

/// The value, or how long it is if that is all that was asked.
fn answer(reply: Reply, value: &[u8], size: u32) {
    if size == 0 {
        reply.out(&Out::default().u32(value.len() as u32).u32(0));
    } else if value.len() > size as usize {
        reply.error(Errno::RANGE);
    } else {
        reply.bytes(&[value]);
    }
}
