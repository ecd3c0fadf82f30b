//! File systems that refuse O_DIRECT: said once for each mount point of the process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use forebay_types::printable;

static SAID: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Says that files of the mount with this number (statx's `stx_mnt_id`, 0 if unknown) go through the page cache.
pub(crate) fn say(mount: u64, why: &str) {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.insert(mount) {
        return;
    }
    let (point, kind) = find(mount).unwrap_or_else(|| ("?".to_owned(), "?".to_owned()));
    tracing::warn!(
        mount = %printable(&point),
        file_system = %printable(&kind),
        why,
        "O_DIRECT is refused here: its files go through the page cache"
    );
}

/// Mount point and file system of a mount, from the process's own list; proc(5) has its format.
fn find(mount: u64) -> Option<(String, String)> {
    let list = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()?.parse() != Ok(mount) {
            return None;
        }
        let point = fields.nth(3)?.to_owned();
        let kind = line.split(" - ").nth(1)?.split(' ').next()?.to_owned();
        Some((point, kind))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_mount_of_a_file_is_found() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let told = crate::geometry::Told::of(&file).unwrap();
        assert_eq!(super::find(told.mount), Some(("/proc".into(), "proc".into())));
        assert_eq!(super::find(u64::MAX), None);
    }
}
