//! Torrents that are there, clients that have them, and mounts of these.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;

use forebay_testkit::Content;
use forebay_testkit::rqbit::{Rqbit, Torrent, make_torrent};
use forebay_types::ByteRange;
use serde_json::Value;
use tempfile::TempDir;

use crate::at::At;
use crate::harness::{World, wait_for};

pub(super) const MIB: usize = 1 << 20;
const PIECE: u32 = 256 << 10;

/// Bytes of which no two pieces are the same.
pub(super) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let range = ByteRange::new(0, len as u64);
    Content::pattern(seed, len as u64).read(range).to_vec()
}

/// A client that has all of some torrents.
pub(super) struct Seeder {
    pub(super) rqbit: Rqbit,
    dir: TempDir,
    torrents: std::cell::Cell<usize>,
}

/// A torrent of one file.
pub(super) struct Film {
    pub(super) torrent: Torrent,
    pub(super) bytes: Vec<u8>,
}

impl Seeder {
    pub(super) fn new() -> Self {
        Self::of(Rqbit::builder().start().unwrap())
    }

    pub(super) fn of(rqbit: Rqbit) -> Self {
        Self {
            rqbit,
            dir: tempfile::tempdir().unwrap(),
            torrents: std::cell::Cell::default(),
        }
    }

    /// One whose film others get at so many bytes per second.
    pub(super) fn slow(bps: u32) -> Self {
        Self::of(Rqbit::builder().upload_bps(bps).start().unwrap())
    }

    /// Has one more torrent, of one file.
    pub(super) fn film(&self, name: &str, seed: u64, len: usize) -> Film {
        let (dir, bytes) = (self.next_dir(), bytes(seed, len));
        std::fs::write(dir.join(name), &bytes).unwrap();
        let torrent = make_torrent(&dir.join(name), name, Some(PIECE)).unwrap();
        self.rqbit.seed(&torrent, &dir).unwrap();
        Film { torrent, bytes }
    }

    /// Has one more torrent, of these files.
    pub(super) fn directory(&self, name: &str, files: &[(&str, Vec<u8>)]) -> Torrent {
        let dir = self.next_dir();
        for (file, bytes) in files {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let torrent = make_torrent(&dir, name, Some(PIECE)).unwrap();
        self.rqbit.seed(&torrent, &dir).unwrap();
        torrent
    }

    pub(super) fn peers(&self) -> [SocketAddr; 1] {
        [self.rqbit.peer_addr()]
    }

    /// `rqbit://HOST:PORT/` and what is in it.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.rqbit.rqbit_url())
    }

    fn next_dir(&self) -> std::path::PathBuf {
        self.torrents.set(self.torrents.get() + 1);
        let dir = self.dir.path().join(self.torrents.get().to_string());
        std::fs::create_dir(&dir).unwrap();
        dir
    }
}

/// The files of a torrent with all that one usually has.
pub(super) fn album() -> [(&'static str, Vec<u8>); 5] {
    [
        ("01 one.flac", bytes(2, MIB)),
        ("empty", Vec::new()),
        ("sub d\u{ef}r/02.flac", bytes(3, 3 * MIB + 1)),
        (
            "sub d\u{ef}r/deep/\u{65e5}\u{672c} \u{1f3b5}.txt",
            b"unicode".to_vec(),
        ),
        ("z", b"z".to_vec()),
    ]
}

/// A world that asks for torrents every second.
pub(super) fn world() -> World {
    World::new().set("FOREBAY_RQBIT_POLL", "1s")
}

/// Mounts it; what `mount --json` says.
pub(super) fn mount(world: &World, url: &str) -> (At, Value) {
    let at = At::new(world);
    let said = world.run(&["mount", url, at.name(), "--json"]).json();
    (at, said)
}

pub(super) fn status(world: &World, at: &At) -> Value {
    world.run(&["mount", "--status", "--json", at.name()]).json()
}

/// Of the first open of that path.
pub(super) fn open_file<'a>(status: &'a Value, path: &str) -> &'a Value {
    let files = status["files"].as_array().unwrap();
    let found = files.iter().find(|file| file["path"] == path);
    found.unwrap_or_else(|| panic!("no {path} in {status}"))
}

pub(super) fn xattr(path: &Path, name: &str) -> String {
    let mut value = [0; 256];
    let len = rustix::fs::getxattr(path, format!("user.forebay.{name}"), &mut value[..]).unwrap();
    String::from_utf8(value[..len].to_vec()).unwrap()
}

/// Waits until all of a file is on the disk of this machine.
pub(super) fn wait_cached(path: &Path) {
    wait_for("the cache to have it", || xattr(path, "cached") == "100");
}

/// Reads a range of an open file, and compares it.
#[track_caller]
pub(super) fn same(file: &std::fs::File, whole: &[u8], start: usize, len: usize) {
    let mut piece = vec![0; len];
    file.read_exact_at(&mut piece, start as u64).unwrap();
    assert!(piece == whole[start..start + len], "{len} bytes at {start}");
}

/// What the system says of a failed call.
pub(super) fn errno<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> i32 {
    outcome.unwrap_err().raw_os_error().unwrap()
}
