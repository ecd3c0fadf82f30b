//! Many programs in a mirrored directory at once.

use forebay_mount::{IoMode, MirrorOptions};

use super::{Mirrored, doubting};
use crate::shared;
use crate::world::can_hand_over;

fn at_once(options: &MirrorOptions) {
    if let Some(mirror) = Mirrored::new(options) {
        shared::threads::eight_threads_get_what_they_wrote(&mirror);
    }
}

#[test]
fn eight_threads_get_what_they_wrote() {
    let mut options = MirrorOptions::default();
    options.mount.threads = 4;
    at_once(&options);
    // Each write and read a request of its own, and nothing believed.
    let mut options = doubting();
    options.mount.io = IoMode::Direct;
    at_once(&options);
}

#[test]
fn eight_threads_get_what_the_kernel_wrote_for_them() {
    if !can_hand_over() {
        return;
    }
    let mut options = MirrorOptions::default();
    options.mount.passthrough = true;
    at_once(&options);
}
