//! Ways to get the bytes of a film: out of a file, or over HTTP with nothing of Forebay in between.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::http::{Body, Ender, Film};

/// Where a player has its bytes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::commands::bench) enum Way {
    /// A file; opened when the clock runs.
    File(PathBuf),
    Http(Film, How),
}

/// How they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commands::bench) enum How {
    /// Each read by a range of its own.
    Exact,
    /// A stream to the end of the file from where it is read, and a new one for each jump.
    Stream,
    /// Chunks of 1 MiB; while one of them is read in order, the next is fetched by a second connection.
    NextChunk,
    /// A stream to the end that is read up to [`AHEAD`] ahead, into memory.
    Window,
    /// Each read asks for [`AHEAD`] more than it wants, and drops that.
    Surplus,
}

/// How far ahead is asked.
pub(super) const AHEAD: u64 = 32 << 20;

const CHUNK: u64 = 1 << 20;

/// Bytes taken off a stream at a time.
const PIECE: usize = 64 * 1024;

/// Something that bytes are read from.
pub(super) trait Media {
    /// Fills `buffer` with the bytes at `at`.
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Way {
    pub(super) fn open(&self) -> io::Result<Box<dyn Media>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Http(film, How::Exact) => Box::new(Exact {
                film: film.clone(),
                more: 0,
            }),
            Self::Http(film, How::Surplus) => Box::new(Exact {
                film: film.clone(),
                more: AHEAD,
            }),
            Self::Http(film, How::Stream) => Box::new(Stream {
                film: film.clone(),
                open: None,
            }),
            Self::Http(film, How::NextChunk) => Box::new(Chunks::new(film.clone())),
            Self::Http(film, How::Window) => Box::new(Window {
                film: film.clone(),
                open: None,
            }),
        })
    }
}

impl Media for File {
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}

struct Exact {
    film: Film,
    /// So many bytes more are asked for, and dropped.
    more: u64,
}

impl Media for Exact {
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let last = at + buffer.len() as u64 - 1 + self.more;
        self.film.range(at, Some(last))?.read_exact(buffer)
    }
}

struct Stream {
    film: Film,
    /// Where it is, and what is to come.
    open: Option<(u64, Body)>,
}

impl Media for Stream {
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut body = match self.open.take() {
            Some((here, body)) if here == at => body,
            // The old one is closed before the new one is asked for, as by a program with one connection.
            old => {
                drop(old);
                self.film.range(at, None)?
            }
        };
        body.read_exact(buffer)?;
        self.open = Some((at + buffer.len() as u64, body));
        Ok(())
    }
}

type Chunk = (u64, Vec<u8>);

struct Chunks {
    film: Film,
    /// The last two.
    held: VecDeque<Chunk>,
    coming: Option<(u64, JoinHandle<io::Result<Vec<u8>>>)>,
    /// Where a reader in order goes on.
    next: u64,
}

impl Chunks {
    fn new(film: Film) -> Self {
        Self {
            film,
            held: VecDeque::new(),
            coming: None,
            next: 0,
        }
    }

    fn fetch(film: &Film, index: u64) -> io::Result<Vec<u8>> {
        let first = index * CHUNK;
        let len = CHUNK.min(film.size - first);
        let mut bytes = vec![0; len as usize];
        film.range(first, Some(first + len - 1))?.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn chunk(&mut self, index: u64) -> io::Result<&[u8]> {
        let found = self.held.iter().position(|(held, _)| *held == index);
        let at = match found {
            Some(at) => at,
            None => {
                let bytes = match self.coming.take_if(|(coming, _)| *coming == index) {
                    Some((_, thread)) => thread
                        .join()
                        .map_err(|_| io::Error::other("a thread panicked"))??,
                    None => Self::fetch(&self.film, index)?,
                };
                if self.held.len() == 2 {
                    self.held.pop_front();
                }
                self.held.push_back((index, bytes));
                self.held.len() - 1
            }
        };
        Ok(&self.held[at].1)
    }

    /// Fetches a chunk aside, unless it is there or one is on its way.
    fn prefetch(&mut self, index: u64) {
        // One from before a jump is of no use to anybody.
        self.coming
            .take_if(|(coming, thread)| *coming != index && *coming + 1 != index && thread.is_finished());
        let is_held = self.held.iter().any(|(held, _)| *held == index);
        if is_held || self.coming.is_some() || index * CHUNK >= self.film.size {
            return;
        }
        let film = self.film.clone();
        self.coming = Some((index, std::thread::spawn(move || Self::fetch(&film, index))));
    }
}

impl Media for Chunks {
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let in_order = at == self.next;
        let mut filled = 0;
        while filled < buffer.len() {
            let here = at + filled as u64;
            let (index, within) = (here / CHUNK, (here % CHUNK) as usize);
            if in_order {
                self.prefetch(index + 1);
            }
            let chunk = self.chunk(index)?;
            let part = chunk
                .get(within..)
                .filter(|part| !part.is_empty())
                .ok_or_else(|| io::Error::other("a read beyond the end of the film"))?;
            let len = part.len().min(buffer.len() - filled);
            buffer[filled..filled + len].copy_from_slice(&part[..len]);
            filled += len;
        }
        self.next = at + buffer.len() as u64;
        Ok(())
    }
}

struct Window {
    film: Film,
    open: Option<Ahead>,
}

/// A stream that a thread reads.
struct Ahead {
    here: u64,
    /// What came and was not wanted yet.
    rest: VecDeque<u8>,
    pieces: Receiver<io::Result<Vec<u8>>>,
    _ender: Ender,
}

impl Ahead {
    fn start(film: &Film, at: u64) -> io::Result<Self> {
        let mut body = film.range(at, None)?;
        let ender = body.ender()?;
        let (sender, pieces) = sync_channel((AHEAD / PIECE as u64) as usize);
        let mut left = film.size - at;
        // Ends when the film does, or nobody takes the pieces any more.
        std::thread::spawn(move || {
            while left > 0 {
                let mut piece = vec![0; left.min(PIECE as u64) as usize];
                left -= piece.len() as u64;
                let read = body.read_exact(&mut piece).map(|()| piece);
                let failed = read.is_err();
                if sender.send(read).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self {
            here: at,
            rest: VecDeque::new(),
            pieces,
            _ender: ender,
        })
    }
}

impl Media for Window {
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut ahead = match self.open.take() {
            Some(ahead) if ahead.here == at => ahead,
            old => {
                drop(old);
                Ahead::start(&self.film, at)?
            }
        };
        while ahead.rest.len() < buffer.len() {
            let piece = ahead.pieces.recv();
            let piece = piece.map_err(|_| io::Error::other("a read beyond the end of the film"))??;
            ahead.rest.extend(piece);
        }
        ahead.rest.read_exact(buffer)?;
        ahead.here = at + buffer.len() as u64;
        self.open = Some(ahead);
        Ok(())
    }
}
