//! Torrent files: of what lies on disk, and of what only a hostile hand would write.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::bencode::Value;

/// What rqbit takes if nothing is said.
const PIECE: u32 = 2 * 1024 * 1024;

/// A torrent file.
#[derive(Clone, Debug)]
pub struct Torrent {
    bytes: Bytes,
    hash: String,
    name: Vec<u8>,
    piece_length: u32,
}

impl Torrent {
    /// The file itself.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Who it is: 40 hexadecimal digits in lower case.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it is called; bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Bytes of a piece.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// A link that names the torrent and whom to ask for it (BEP 9).
    pub fn magnet(&self, peers: &[SocketAddr]) -> String {
        let peers: String = peers.iter().map(|peer| format!("&x.pe={peer}")).collect();
        format!("magnet:?xt=urn:btih:{}{peers}", self.hash)
    }

    fn new(name: &[u8], piece_length: u32, info: &Value<'_>) -> Self {
        let info = info.encode();
        let hash = Sha1::digest(&info);
        let bytes = Value::Dictionary(vec![("info", Value::Raw(&info))]).encode();
        Self {
            bytes: bytes.into(),
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            name: name.to_vec(),
            piece_length,
        }
    }
}

/// A file of a [`bare_torrent`].
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The names that lead to it, of any bytes and in any number.
    pub components: Vec<Vec<u8>>,
    /// Bytes.
    pub length: u64,
    /// Letters of BEP 47: `p` for padding, `l` for a symbolic link, `x`, `h`. Empty: not written.
    pub attributes: Vec<u8>,
    /// Where a symbolic link leads, from the top of the torrent.
    pub target: Option<Vec<Vec<u8>>>,
}

impl Entry {
    /// A file of this name, whose parts are divided by slashes.
    pub fn named(path: &str, length: u64) -> Self {
        Self {
            components: path.split('/').map(|name| name.as_bytes().to_vec()).collect(),
            length,
            ..Self::default()
        }
    }

    fn value(&self) -> Value<'_> {
        let mut pairs = Vec::new();
        if !self.attributes.is_empty() {
            pairs.push(("attr", Value::Bytes(&self.attributes)));
        }
        pairs.push(("length", Value::Integer(self.length)));
        pairs.push(("path", names(&self.components)));
        if let Some(target) = &self.target {
            pairs.push(("symlink path", names(target)));
        }
        Value::Dictionary(pairs)
    }
}

fn names(names: &[Vec<u8>]) -> Value<'_> {
    Value::List(names.iter().map(|name| Value::Bytes(name)).collect())
}

/// A torrent of files that are nowhere: whatever their names are. Its hashes are zeros, which no bytes have.
pub fn bare_torrent(name: &[u8], piece_length: u32, files: &[Entry]) -> Torrent {
    let total: u64 = files.iter().map(|file| file.length).sum();
    let pieces = total.div_ceil(u64::from(piece_length));
    let hashes = vec![0; usize::try_from(pieces).unwrap_or(usize::MAX).saturating_mul(20)];
    let files = files.iter().map(Entry::value).collect();
    Torrent::new(
        name,
        piece_length,
        &info(("files", Value::List(files)), name, piece_length, &hashes),
    )
}

fn info<'a>(
    content: (&'static str, Value<'a>),
    name: &'a [u8],
    piece_length: u32,
    hashes: &'a [u8],
) -> Value<'a> {
    Value::Dictionary(vec![
        content,
        ("name", Value::Bytes(name)),
        ("piece length", Value::Integer(u64::from(piece_length))),
        ("pieces", Value::Bytes(hashes)),
    ])
}

/// The torrent of a file, or of all regular files below a directory, in the order of their paths. Pieces of 2 MiB unless
/// said otherwise.
///
/// # Errors
/// If a file cannot be read.
pub fn make_torrent(path: &Path, name: &str, piece_length: Option<u32>) -> io::Result<Torrent> {
    let piece_length = piece_length.unwrap_or(PIECE);
    let mut pieces = Pieces::new(piece_length);
    if !path.is_dir() {
        let length = pieces.add(path)?;
        let hashes = pieces.finish();
        let info = info(
            ("length", Value::Integer(length)),
            name.as_bytes(),
            piece_length,
            &hashes,
        );
        return Ok(Torrent::new(name.as_bytes(), piece_length, &info));
    }
    let mut paths = Vec::new();
    regular_files(path, &mut paths)?;
    paths.sort();
    let mut entries = Vec::new();
    for file in &paths {
        let below = file.strip_prefix(path).map_err(io::Error::other)?;
        entries.push(Entry {
            components: below.iter().map(|name| name.as_bytes().to_vec()).collect(),
            length: pieces.add(file)?,
            ..Entry::default()
        });
    }
    let hashes = pieces.finish();
    let files = Value::List(entries.iter().map(Entry::value).collect());
    let info = info(("files", files), name.as_bytes(), piece_length, &hashes);
    Ok(Torrent::new(name.as_bytes(), piece_length, &info))
}

fn regular_files(directory: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            regular_files(&entry.path(), into)?;
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// Hashes the bytes of all files, one after the other, piece by piece.
struct Pieces {
    length: usize,
    piece: Vec<u8>,
    hashes: Vec<u8>,
}

impl Pieces {
    fn new(length: u32) -> Self {
        Self {
            length: length as usize,
            piece: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Returns the length of the file.
    fn add(&mut self, path: &Path) -> io::Result<u64> {
        let mut file = File::open(path)?;
        let mut total = 0;
        loop {
            let room = (self.length - self.piece.len()) as u64;
            let got = Read::by_ref(&mut file).take(room).read_to_end(&mut self.piece)?;
            total += got as u64;
            if self.piece.len() == self.length {
                self.end_piece();
            }
            if got == 0 {
                return Ok(total);
            }
        }
    }

    fn end_piece(&mut self) {
        self.hashes.extend_from_slice(&Sha1::digest(&self.piece));
        self.piece.clear();
    }

    fn finish(mut self) -> Vec<u8> {
        if !self.piece.is_empty() {
            self.end_piece();
        }
        self.hashes
    }
}
