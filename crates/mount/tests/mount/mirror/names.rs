//! Names, where a mirror has its own.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use forebay_mount::MirrorOptions;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::Mirrored;
use crate::shared::Place;

#[test]
fn a_file_without_a_name_can_be_given_one() {
    let Some(mirror) = Mirrored::new(&MirrorOptions::default()) else {
        return;
    };
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let file = rustix::fs::openat(CWD, mirror.at(""), flags, Mode::RUSR | Mode::WUSR).unwrap();
    let file = File::from(file);
    file.write_all_at(b"content", 0).unwrap();
    assert_eq!(fs::read_dir(mirror.at("")).unwrap().count(), 0);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    rustix::fs::linkat(CWD, path, CWD, mirror.at("named"), AtFlags::SYMLINK_FOLLOW).unwrap();
    assert_eq!(fs::read(mirror.real("named")).unwrap(), b"content");
    mirror.is_the_same();
}
