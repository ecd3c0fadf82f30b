//! A directory mirrored by a file system that forwards every operation, until standard input ends: what
//! docs/benchmarks.md measures writable mounts against. `cargo run --release -p forebay-mount --example mirror -- DIR MOUNTPOINT`

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Read;
    use std::path::PathBuf;

    use forebay_mount::{MirrorMount, MirrorOptions};

    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(dir), Some(mountpoint)) = (words.next(), words.next()) else {
        return Err("say which directory, and where to mount it".into());
    };
    let mirror = MirrorMount::start(&dir, &mountpoint, &MirrorOptions::default())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    println!("{:?}", mirror.stats());
    mirror.unmount()?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
