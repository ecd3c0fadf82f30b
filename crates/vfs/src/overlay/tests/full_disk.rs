//! A disk that is full: an error, and everything as it was.

use std::process::Command;

use forebay_types::BLOCK;
use rustix::io::Errno;

use super::*;

/// A small file system of its own.
struct Disk {
    rig: Rig,
}

impl Disk {
    /// `None`, and the reason printed, where tests may not mount.
    fn new(size: &str) -> Option<Self> {
        let rig = Rig::new();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "none"])
            .arg(rig.dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { rig }),
            Ok(output) => {
                println!(
                    "skipped: cannot mount: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: cannot mount: {error}");
                None
            }
        }
    }

    /// Takes all room but `left` bytes.
    fn fill(&self, left: u64) {
        let stat = rustix::fs::statvfs(self.rig.dir.path()).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let file = fs::File::create(self.rig.dir.path().join("others")).unwrap();
        rustix::fs::fallocate(
            &file,
            rustix::fs::FallocateFlags::empty(),
            0,
            free.saturating_sub(left).max(1),
        )
        .unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.rig.dir.path().join("others")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.rig.dir.path()).status();
    }
}

#[test]
fn names_that_found_no_room_were_never_there() {
    let Some(disk) = Disk::new("4m") else { return };
    let upper = disk.rig.open();
    let dir = upper.mkdir(upper.root(), b"dir", new(0o700)).unwrap();
    disk.fill(16 * 1024);
    // Until the journal finds no room.
    let long = "x".repeat(200);
    let mut made = 0;
    let error = loop {
        match upper.symlink(
            dir,
            format!("{long}{made}").as_bytes(),
            long.as_bytes(),
            new(0o777),
        ) {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 1000);
    };
    assert_eq!(error.errno(), Errno::NOSPC);
    assert_eq!(dump(&upper).len(), made + 1);
    // A shorter record may still find room; what finds none leaves everything as it was.
    let root = upper.root();
    let tries: [&dyn Fn() -> Result<(), UpperError>; 5] = [
        &|| upper.set_xattr(dir, b"user.long", &[1; 5000], SetXattr::Any),
        &|| {
            upper
                .rename((root, b"dir"), (root, long.as_bytes()), Rename::Replace, true)
                .map(drop)
        },
        &|| {
            upper
                .mkdir(dir, format!("{long}dir").as_bytes(), new(0o700))
                .map(drop)
        },
        &|| {
            upper
                .create(dir, format!("{long}file").as_bytes(), new(0o600))
                .map(drop)
        },
        &|| {
            let origin = origin(&long.repeat(10), 1);
            upper.adopt_file(root, b"lower", &origin, attrs(0o600)).map(drop)
        },
    ];
    let mut refused = 0;
    for attempt in tries {
        let before = dump(&upper);
        let len = upper.stats().journal;
        let files = disk.rig.files();
        if let Err(error) = attempt() {
            assert_eq!(error.errno(), Errno::NOSPC);
            assert_eq!(
                (dump(&upper), upper.stats().journal, disk.rig.files()),
                (before, len, files)
            );
            refused += 1;
        }
    }
    assert!(refused >= 2, "{refused}");
    let before = dump(&upper);
    assert_eq!(dump(&disk.rig.killed().open()), before);
    // Room again: it goes on.
    disk.empty();
    upper.create(dir, b"after", new(0o600)).unwrap();
    upper.sync().unwrap();
    let before = dump(&upper);
    drop(upper);
    assert_eq!(dump(&disk.rig.open()), before);
}

#[test]
fn bytes_that_found_no_room_leave_the_old_ones() {
    let Some(disk) = Disk::new("4m") else { return };
    let upper = disk.rig.open();
    let id = upper
        .adopt_file(upper.root(), b"f", &origin("f", 32 * BLOCK), attrs(0o600))
        .unwrap();
    let file = upper.data(id).unwrap();
    write(&file, 0, &vec![7; BLOCK as usize]);
    let (_, source) = upper.create(upper.root(), b"source", new(0o600)).unwrap();
    write(&source, 0, &vec![6; 4 * BLOCK as usize]);
    disk.fill(BLOCK + BLOCK / 2);
    // A block and a half find room: the first counts, the second is below as it was.
    assert_eq!(
        file.write_at(BLOCK, &vec![8; 4 * BLOCK as usize]).unwrap(),
        Changed::Done(BLOCK)
    );
    let error = file.write_at(8 * BLOCK, &vec![9; BLOCK as usize]).unwrap_err();
    assert_eq!(error.errno(), Errno::NOSPC);
    let error = file.fill(8 * BLOCK, &vec![1; BLOCK as usize]).unwrap_err();
    assert_eq!(error.errno(), Errno::NOSPC);
    assert_eq!(
        file.allocate(0, 20 * BLOCK, false).unwrap_err().errno(),
        Errno::NOSPC
    );
    let absent = |file: &DataFile| file.absent()[0].start();
    assert_eq!(absent(&file), 2 * BLOCK);
    assert_eq!(file.len().unwrap(), 32 * BLOCK);
    let mut bytes = vec![0; 2 * BLOCK as usize];
    assert_eq!(
        file.read_at(&mut bytes, 0).unwrap(),
        ReadData::Present(bytes.len())
    );
    assert!(bytes[..BLOCK as usize].iter().all(|byte| *byte == 7));
    assert!(bytes[BLOCK as usize..].iter().all(|byte| *byte == 8));
    disk.empty();
    write(&file, 8 * BLOCK, &vec![9; BLOCK as usize]);
    // The same of a copy.
    disk.fill(BLOCK + BLOCK / 2);
    assert_eq!(
        file.copy_from(&source, 0, 12 * BLOCK, 4 * BLOCK).unwrap(),
        Copied::Done(BLOCK)
    );
    assert_eq!(
        file.read_at(&mut bytes[..BLOCK as usize], 12 * BLOCK).unwrap(),
        ReadData::Present(BLOCK as usize)
    );
    assert!(bytes[..BLOCK as usize].iter().all(|byte| *byte == 6));
    disk.empty();
    drop((file, source, upper));
    let upper = disk.rig.open();
    assert_eq!(absent(&upper.data(id).unwrap()), 2 * BLOCK);
}

#[test]
fn files_that_wait_to_be_removed_make_room() {
    let Some(disk) = Disk::new("8m") else { return };
    let upper = disk.rig.open();
    let (_, old) = upper.create(upper.root(), b"old", new(0o600)).unwrap();
    write(&old, 0, &vec![1; 5 << 20]);
    drop(old);
    let (_, file) = upper.create(upper.root(), b"new", new(0o600)).unwrap();
    upper.unlink(upper.root(), b"old", false).unwrap();
    assert_eq!(disk.rig.files().len(), 2, "it waits");
    disk.fill(64 * 1024);
    write(&file, 0, &vec![2; 4 << 20]);
    assert_eq!(disk.rig.files().len(), 1);
}
