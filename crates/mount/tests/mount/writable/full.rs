//! No room for changes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use forebay_mount::IoMode;

use super::{How, Overlaid, served};
use crate::gone::Tiny;
use crate::readers::directory;
use crate::shared::{Place, errno};
use crate::world::{MIB, World, noise};

#[test]
fn a_full_disk_is_told_and_can_be_emptied() {
    for how in [How::default(), served(IoMode::Pages), served(IoMode::Direct)] {
        let dir = directory();
        let Some(tiny) = Tiny::new(&dir.path().join("tiny"), "8m") else {
            eprintln!("not run: this process may not mount");
            return;
        };
        let world = World::new();
        world.put("below", noise(1, 2 * MIB));
        let how = How {
            overlay: Some(tiny.0.join("overlay")),
            ..how
        };
        let Some(mut overlaid) = Overlaid::new(world.source(), how) else {
            return;
        };
        fs::write(overlaid.at("kept"), noise(2, MIB)).unwrap();
        for _ in 0..3 {
            let mut file = File::create(overlaid.at("large")).unwrap();
            let chunk = noise(3, MIB);
            let mut end = None;
            for _ in 0..20 {
                if let Err(error) = file.write_all(&chunk) {
                    end = errno::<()>(Err(error));
                    break;
                }
            }
            assert_eq!(end, Some(libc::ENOSPC));
            drop(file);
            // What is there is right, and so is what is below.
            assert!(fs::read(overlaid.at("kept")).unwrap() == noise(2, MIB));
            assert!(fs::read(overlaid.at("below")).unwrap() == noise(1, 2 * MIB));
            let below = OpenOptions::new().write(true).open(overlaid.at("below"));
            if let Ok(below) = below {
                let written = below.write_all_at(&noise(9, 10), 100_000);
                if written.is_err() {
                    assert_eq!(errno(written), Some(libc::ENOSPC));
                    assert!(fs::read(overlaid.at("below")).unwrap() == noise(1, 2 * MIB));
                } else {
                    below
                        .write_all_at(&noise(1, 2 * MIB)[100_000..100_010], 100_000)
                        .unwrap();
                }
            }
            fs::remove_file(overlaid.at("large")).unwrap();
            // There is room again.
            fs::write(overlaid.at("after"), noise(4, 2 * MIB)).unwrap();
            assert!(fs::read(overlaid.at("after")).unwrap() == noise(4, 2 * MIB));
            fs::remove_file(overlaid.at("after")).unwrap();
            overlaid.again();
            assert!(fs::read(overlaid.at("kept")).unwrap() == noise(2, MIB));
        }
        drop(overlaid);
    }
}

#[test]
fn a_write_that_finds_room_for_a_part_says_how_much() {
    for how in [How::default(), served(IoMode::Pages), served(IoMode::Direct)] {
        let dir = directory();
        let Some(tiny) = Tiny::new(&dir.path().join("tiny"), "8m") else {
            eprintln!("not run: this process may not mount");
            return;
        };
        let world = World::new();
        world.put("below", noise(1, 4 * MIB));
        let how = How {
            overlay: Some(tiny.0.join("overlay")),
            ..how
        };
        let Some(overlaid) = Overlaid::new(world.source(), how) else {
            return;
        };
        let below = OpenOptions::new().write(true).open(overlaid.at("below")).unwrap();
        below.write_all_at(&noise(2, 10), 0).unwrap();
        // Room for a part of what is written over the lower file, and for whole blocks of that.
        let room = File::create(tiny.0.join("others")).unwrap();
        let free = rustix::fs::fstatvfs(&room).unwrap();
        let taken = free.f_bavail * free.f_frsize - 300_000;
        rustix::fs::fallocate(&room, rustix::fs::FallocateFlags::empty(), 0, taken).unwrap();
        let (at, new) = (MIB + 5000, noise(3, MIB));
        let written = below.write_at(&new, at).unwrap();
        assert!((1..new.len()).contains(&written), "{written}");
        assert_eq!(
            errno(below.write_at(&new[written..], at + written as u64)),
            Some(libc::ENOSPC)
        );
        drop(below);
        let mut bytes = noise(1, 4 * MIB);
        bytes[..10].copy_from_slice(&noise(2, 10));
        bytes[at as usize..at as usize + written].copy_from_slice(&new[..written]);
        assert!(fs::read(overlaid.at("below")).unwrap() == bytes);
        // The same of a new file.
        fs::remove_file(overlaid.at("below")).unwrap();
        drop(room);
        fs::remove_file(tiny.0.join("others")).unwrap();
        let mut file = File::create(overlaid.at("new")).unwrap();
        let (chunk, mut told, mut short) = (noise(4, MIB - 1), Vec::new(), 0);
        let end = loop {
            match file.write(&chunk) {
                Ok(len) => {
                    told.extend_from_slice(&chunk[..len]);
                    short += usize::from(len < chunk.len());
                }
                Err(error) => break error,
            }
        };
        assert_eq!((end.raw_os_error(), short), (Some(libc::ENOSPC), 1));
        assert!(fs::read(overlaid.at("new")).unwrap() == told);
        drop((file, overlaid));
    }
}
