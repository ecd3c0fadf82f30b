//! A file that is cut while it is read.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use forebay_mount::IoMode;

use super::{How, Overlaid, served};
use crate::shared::Place;
use crate::world::{MIB, World, noise};

const SIZE: u64 = 4 * MIB;

/// Reads come from where the bytes lie: that the file ends before them by now must not be an error to who reads.
#[test]
fn it_is_shorter_or_zero_and_never_an_error() {
    for how in [How::default(), served(IoMode::Pages), served(IoMode::Direct)] {
        let world = World::new();
        let Some(overlaid) = Overlaid::new(world.source(), how) else {
            return;
        };
        let path = overlaid.at("file");
        let bytes = noise(5, SIZE);
        fs::write(&path, &bytes).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for seed in 0..2 {
                let (path, bytes, done) = (&path, &bytes, &done);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let file = fs::File::open(path).unwrap();
                    let mut buf = vec![0; 300_000];
                    while !done.load(Ordering::Relaxed) {
                        let at = random.u64(..SIZE);
                        let len = file.read_at(&mut buf, at).unwrap();
                        let was = &bytes[at as usize..at as usize + len];
                        let wrong = buf.iter().zip(was).position(|(is, was)| is != was && *is != 0);
                        assert_eq!(wrong, None, "at {at}");
                    }
                });
            }
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..200 {
                let len = random.u64(..SIZE);
                file.set_len(len).unwrap();
                file.set_len(SIZE).unwrap();
                file.write_all_at(&bytes[len as usize..], len).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(fs::read(&path).unwrap() == bytes);
    }
}
