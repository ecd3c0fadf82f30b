//! Lines, read on a thread of their own: a pipe may be silent for as long as it likes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay_types::limits::MAX_BATCH_BYTES;
use forebay_types::{ByteSize, ErrorKind};
use tokio::sync::mpsc;

use crate::exit::{CliError, Result};

/// Bytes of lines that are handed over together, if so many are there.
const PIECE: usize = 256 * 1024;

/// Pieces that wait: reading goes on while the producer works.
const PIECES: usize = 4;

/// Bytes of one read.
const READ: usize = 128 * 1024;

/// Longest line: no record can be larger than a batch. In JSON it may have more bytes than the record.
const MOST: usize = MAX_BATCH_BYTES * 2;

/// Lines that follow each other.
#[derive(Debug)]
pub(super) struct Piece {
    block: Bytes,
    /// Where each line ends in the block, and where the next one begins.
    lines: Vec<(usize, usize)>,
    /// The number of the first line, from 1 on.
    first: u64,
    /// Lines that were dealt with.
    done: usize,
}

impl Piece {
    /// The line whose turn it is, without its newline, and its number.
    pub(super) fn line(&self) -> Option<(u64, Bytes)> {
        let (end, _) = *self.lines.get(self.done)?;
        let begin = match self.done {
            0 => 0,
            n => self.lines[n - 1].1,
        };
        Some((self.first + self.done as u64, self.block.slice(begin..end)))
    }

    pub(super) fn advance(&mut self) {
        self.done += 1;
    }
}

/// Lines to come.
#[derive(Debug)]
pub(super) struct Input {
    pieces: mpsc::Receiver<Result<Piece>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// No more lines are wanted.
    stop: AtomicBool,
    /// The thread has handed over all it has, and waits for more.
    waits: AtomicBool,
}

impl Input {
    /// Begins to read `file`; `-` is standard input.
    ///
    /// # Errors
    /// If it is not there. What else is wrong with it comes in place of lines.
    pub(super) fn begin(file: &str) -> Result<Self> {
        if file != "-" {
            let path = Path::new(file);
            let found = std::fs::metadata(path).map_err(|e| CliError::local(path, "read", &e))?;
            if found.is_dir() {
                let error = io::Error::from(io::ErrorKind::IsADirectory);
                return Err(CliError::local(path, "read", &error));
            }
        }
        let (to, pieces) = mpsc::channel(PIECES);
        let shared = Arc::new(Shared::default());
        let (theirs, file) = (shared.clone(), file.to_owned());
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || {
                if let Err(error) = read_all(&file, &theirs, &to) {
                    let _ = to.blocking_send(Err(error));
                }
            })
            .map_err(|e| CliError::new(e.kind().into(), format!("cannot start a thread: {e}")))?;
        Ok(Self { pieces, shared })
    }

    /// The next lines. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Piece>> {
        loop {
            if !self.shared.stop.load(Ordering::SeqCst) {
                return self.pieces.recv().await;
            }
            // What was read is to be had within a moment, unless the thread waits for what is not there yet.
            match tokio::time::timeout(Duration::from_millis(20), self.pieces.recv()).await {
                Ok(piece) => return piece,
                Err(_) if self.shared.waits.load(Ordering::SeqCst) && self.pieces.is_empty() => return None,
                Err(_) => {}
            }
        }
    }

    /// Reads no more: [`Self::next`] gives what was read by now, and then the end.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

fn read_all(file: &str, shared: &Shared, to: &mpsc::Sender<Result<Piece>>) -> Result<()> {
    if file == "-" {
        return read_lines(
            BufReader::with_capacity(READ, io::stdin()),
            "standard input",
            shared,
            to,
        );
    }
    // Opening a FIFO waits for its writer.
    shared.waits.store(true, Ordering::SeqCst);
    let opened = File::open(file).map_err(|e| CliError::local(Path::new(file), "read", &e))?;
    read_lines(BufReader::with_capacity(READ, opened), file, shared, to)
}

fn read_lines(
    mut from: BufReader<impl Read>,
    name: &str,
    shared: &Shared,
    to: &mpsc::Sender<Result<Piece>>,
) -> Result<()> {
    let mut number = 0;
    loop {
        let (piece, goes_on) = read_piece(&mut from, name, shared, number + 1)?;
        number += piece.lines.len() as u64;
        // Nobody wants any: that is the end as well.
        let wanted = piece.lines.is_empty() || to.blocking_send(Ok(piece)).is_ok();
        match goes_on {
            Some(Ok(())) if wanted => {}
            Some(Err(error)) if wanted => return Err(error),
            _ => return Ok(()),
        }
    }
}

/// Lines as far as they are there, at least one; whether there are more. Lines before a bad one are good.
fn read_piece(
    from: &mut BufReader<impl Read>,
    name: &str,
    shared: &Shared,
    first: u64,
) -> Result<(Piece, Option<Result<()>>)> {
    let (mut block, mut lines) = (Vec::new(), Vec::new());
    let goes_on = loop {
        if shared.stop.load(Ordering::SeqCst) {
            break None;
        }
        let may_wait = !from.buffer().contains(&b'\n');
        if !lines.is_empty() && (may_wait || block.len() >= PIECE) {
            break Some(Ok(()));
        }
        let begin = block.len();
        shared.waits.store(may_wait, Ordering::SeqCst);
        let read = from.by_ref().take(MOST as u64 + 1).read_until(b'\n', &mut block);
        shared.waits.store(false, Ordering::SeqCst);
        let line = first + lines.len() as u64;
        match read {
            Ok(0) => break None,
            Ok(len) if len > MOST => {
                block.truncate(begin);
                let most = ByteSize(MOST as u64);
                let message = format!(
                    "line {line} of {} is longer than {most}",
                    forebay_types::printable(name)
                );
                break Some(Err(CliError::new(ErrorKind::Invalid, message).hint(format!(
                    "no record can have more than {}",
                    ByteSize(MAX_BATCH_BYTES as u64)
                ))));
            }
            Ok(_) => {
                let end = block.len() - usize::from(block.last() == Some(&b'\n'));
                lines.push((end, block.len()));
            }
            Err(error) => {
                block.truncate(begin);
                let what = format!(
                    "cannot read line {line} of {}: {error}",
                    forebay_types::printable(name)
                );
                break Some(Err(CliError::new(error.kind().into(), what)));
            }
        }
    };
    let piece = Piece {
        block: block.into(),
        lines,
        first,
        done: 0,
    };
    Ok((piece, goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut from = BufReader::with_capacity(16, text);
        let (mut found, shared) = (Vec::new(), Shared::default());
        loop {
            let (mut piece, goes_on) = read_piece(&mut from, "f", &shared, found.len() as u64 + 1).unwrap();
            while let Some((number, line)) = piece.line() {
                found.push((number, line.to_vec()));
                piece.advance();
            }
            match goes_on {
                Some(more) => more.unwrap(),
                None => return found,
            }
        }
    }

    #[test]
    fn lines_are_cut_at_newlines_and_nowhere_else() {
        let line = |number, text: &str| (number, text.as_bytes().to_vec());
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n"), [line(1, "")]);
        assert_eq!(all(b"a\r\n\nb"), [line(1, "a\r"), line(2, ""), line(3, "b")]);
        let long = "x".repeat(100);
        let text = format!("{long}\nshort\n{long}");
        assert_eq!(
            all(text.as_bytes()),
            [line(1, &long), line(2, "short"), line(3, &long)]
        );
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_allowed() {
        let mut from = BufReader::new(io::repeat(b'x'));
        let (piece, goes_on) = read_piece(&mut from, "f", &Shared::default(), 7).unwrap();
        assert!(piece.line().is_none());
        let error = goes_on.unwrap().unwrap_err().to_string();
        assert!(
            error.contains("line 7 of f is longer than 128MiB") && error.contains("64MiB"),
            "{error}"
        );
    }

    #[test]
    fn who_says_stop_gets_what_was_read() {
        let shared = Shared::default();
        shared.stop.store(true, Ordering::SeqCst);
        let mut from = BufReader::new(&b"a\nb\n"[..]);
        let (piece, goes_on) = read_piece(&mut from, "f", &shared, 1).unwrap();
        assert!(piece.line().is_none() && goes_on.is_none());
    }
}
