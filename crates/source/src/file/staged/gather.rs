//! Bytes of any length at any offset, gathered into the whole units that a direct write takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay_disk::{Buffer, DirectWriter, MAX_READ};
use object_store::{PutPayload, PutPayloadIter};

/// A file written past the page cache, in parts that begin and end anywhere: whole units of a part are written at once,
/// the unit that two parts share when the last of its bytes is there, and the file's last at the end. Each byte must be
/// given once.
#[derive(Debug)]
pub(super) struct Gather {
    file: DirectWriter,
    edges: Mutex<Edges>,
}

#[derive(Debug, Default)]
struct Edges {
    /// Units that are not full, by where they begin.
    units: BTreeMap<u64, Edge>,
    /// Where the bytes given so far end.
    end: u64,
}

#[derive(Debug)]
struct Edge {
    bytes: Buffer,
    /// How many of them are there. Which ones need not be known, since each is given once.
    filled: usize,
}

impl Gather {
    pub(super) fn new(file: DirectWriter) -> Self {
        Self {
            file,
            edges: Mutex::default(),
        }
    }

    pub(super) fn file(&self) -> &File {
        self.file.file()
    }

    /// Takes all of `payload` for the place from `offset` on. Several threads may give different places.
    pub(super) fn write_at(&self, payload: &PutPayload, offset: u64) -> io::Result<()> {
        let unit = self.file.geometry().unit;
        let mut bytes = Cursor::new(payload);
        let (mut at, end) = (offset, offset + payload.content_length() as u64);
        {
            let mut edges = self.lock();
            edges.end = edges.end.max(end);
        }
        let mut buffer = None;
        while at < end {
            let whole = (end - at) / unit * unit;
            if !at.is_multiple_of(unit) || whole == 0 {
                let start = at / unit * unit;
                let upto = end.min(start + unit);
                self.edge(start, (at - start) as usize, (upto - at) as usize, &mut bytes)?;
                at = upto;
                continue;
            }
            let len = whole.min(MAX_READ) as usize;
            let buffer = match &mut buffer {
                Some(buffer) => buffer,
                none => none.insert(self.file.buffer(len)?),
            };
            let memory = &mut buffer.as_mut()[..len];
            bytes.copy_to(memory);
            self.file.write(memory, at)?;
            at += len as u64;
        }
        Ok(())
    }

    /// Adds the next `len` bytes at `position` of the unit that begins at `start`, and writes it if that fills it.
    fn edge(&self, start: u64, position: usize, len: usize, bytes: &mut Cursor<'_>) -> io::Result<()> {
        let unit = self.file.geometry().unit as usize;
        let full = {
            let mut edges = self.lock();
            let mut edge = match edges.units.remove(&start) {
                Some(edge) => edge,
                None => Edge {
                    bytes: self.file.buffer(unit)?,
                    filled: 0,
                },
            };
            bytes.copy_to(&mut edge.bytes.as_mut()[position..position + len]);
            edge.filled += len;
            if edge.filled < unit {
                edges.units.insert(start, edge);
                return Ok(());
            }
            edge
        };
        self.file.write(full.bytes.as_ref(), start)
    }

    /// Writes the file's last bytes, when all parts were given.
    pub(super) fn finish(&self) -> io::Result<()> {
        let Edges { mut units, end } = std::mem::take(&mut *self.lock());
        let Some((start, last)) = units.pop_last() else {
            return Ok(());
        };
        if !units.is_empty() || start + last.filled as u64 != end {
            return Err(io::Error::other("bytes within it were never given"));
        }
        self.file.write_end(&last.bytes.as_ref()[..last.filled], start)
    }

    fn lock(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a payload of many slices is being copied from.
struct Cursor<'a> {
    slices: PutPayloadIter<'a>,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(payload: &'a PutPayload) -> Self {
        Self {
            slices: payload.iter(),
            rest: &[],
        }
    }

    /// Fills `memory` with the next bytes; the payload must have as many.
    fn copy_to(&mut self, mut memory: &mut [u8]) {
        while !memory.is_empty() {
            if self.rest.is_empty() {
                match self.slices.next() {
                    Some(slice) => self.rest = slice,
                    None => return debug_assert!(false, "a payload is shorter than it says"),
                }
            }
            let (now, later) = self.rest.split_at(self.rest.len().min(memory.len()));
            let (filled, left) = memory.split_at_mut(now.len());
            filled.copy_from_slice(now);
            (self.rest, memory) = (later, left);
        }
    }
}
