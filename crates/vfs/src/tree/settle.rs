//! What became of a directory while its listing was on its way: under the lock, so only what differs is looked at.

use std::sync::Arc;

use super::dir::{Dir, Stray};
use super::look::entry_notice;
use super::merge::Merged;
use super::notice::Notice;
use crate::inode::Inode;

/// Ends what is not in the listing, which answers question `asked`, and brings together what it and later answers say.
pub(super) fn settle(dir: &mut Dir, merged: &mut Merged, asked: u64, now: u64) {
    // What the believed listing lacked, the kernel was told to be missing.
    if let Some(before) = dir.fresh_listing(now) {
        let new = merged
            .inodes
            .iter()
            .filter(|inode| before.find(&inode.name).is_none());
        let notices: Vec<_> = new.map(|inode| entry_notice(&dir.place, &inode.name)).collect();
        merged.notices.extend(notices);
    }
    for inode in std::mem::take(&mut merged.vanished) {
        // Asked for later, and found.
        if !end(dir, &inode, asked, &mut merged.notices) && dir.stray(&inode.name).is_none() {
            dir.put_stray(inode.name.clone(), Stray::Found(inode), now);
        }
    }
    let strays: Vec<_> = dir
        .strays()
        .map(|(name, stray)| (name.clone(), stray.clone()))
        .collect();
    for (name, stray) in strays {
        let at = merged.inodes.binary_search_by(|inode| inode.name.cmp(&name)).ok();
        let listed = at.and_then(|at| merged.inodes.get_mut(at));
        let settled = match (stray, listed) {
            // Asked for later: known better.
            (Stray::Missing { asked: later, .. }, _) if later > asked => false,
            (Stray::Missing { until, .. }, listed) => {
                if listed.is_some() && until > now {
                    merged.notices.push(entry_notice(&dir.place, &name));
                }
                true
            }
            (Stray::Found(inode), Some(listed)) if Arc::ptr_eq(&inode, listed) => true,
            // Found meanwhile: the kernel may have its number.
            (Stray::Found(inode), Some(listed)) if inode.kind() == listed.kind() && !inode.is_gone() => {
                *listed = inode;
                true
            }
            (Stray::Found(inode), _) => end(dir, &inode, asked, &mut merged.notices),
        };
        if settled {
            dir.drop_stray(&name);
        }
    }
}

/// The node is not what its name stands for any more, unless a later answer says so: then this is false.
fn end(dir: &Dir, inode: &Inode, asked: u64, notices: &mut Vec<Notice>) -> bool {
    let Some(held) = inode.vanish(asked) else {
        return false;
    };
    if held {
        notices.push(entry_notice(&dir.place, &inode.name));
    }
    true
}
