//! Whose is what is created, and who may do what, in a mirrored directory: needs root, which can be anybody.

use forebay_mount::MirrorOptions;

use super::Mirrored;
use crate::shared::on;

fn mirrored() -> Option<Mirrored> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: only root can be somebody else");
        return None;
    }
    let mut options = MirrorOptions::default();
    options.mount.allow_other = true;
    Mirrored::new(&options)
}

on! {
    mirrored();
    owners::what_somebody_creates_is_theirs,
    owners::modes_and_owners_are_heeded,
    owners::set_user_id_goes_with_a_write_of_somebody_else
}
