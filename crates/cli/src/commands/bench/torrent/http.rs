//! A file of a torrent over HTTP, as curl asks for it: a connection for each request, closed when nobody reads on.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longer than rqbit waits for anything that comes at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than any line of rqbit's heads.
const LONGEST_LINE: u64 = 64 * 1024;

/// A torrent's first file at a server of rqbit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::commands::bench) struct Film {
    pub(super) addr: SocketAddr,
    /// The info hash.
    pub(super) hash: String,
    /// Bytes of the file.
    pub(super) size: u64,
}

/// What comes of a file.
pub(super) struct Body {
    stream: BufReader<TcpStream>,
    left: u64,
}

impl Film {
    /// The bytes from `first` to `last`, or to the end.
    pub(super) fn range(&self, first: u64, last: Option<u64>) -> io::Result<Body> {
        let last = last.map_or(String::new(), |last| last.min(self.size - 1).to_string());
        let header = format!("range: bytes={first}-{last}\r\n");
        self.ask("stream/0", &header, "206")
    }

    /// All of it.
    pub(super) fn whole(&self) -> io::Result<Body> {
        self.ask("stream/0", "", "200")
    }

    /// Which pieces are there: a bit for each, the highest of a byte first.
    pub(super) fn haves(&self) -> io::Result<Vec<u8>> {
        let mut bits = Vec::new();
        self.ask("haves", "accept: application/octet-stream\r\n", "200")?
            .read_to_end(&mut bits)?;
        Ok(bits)
    }

    fn ask(&self, what: &str, header: &str, status: &str) -> io::Result<Body> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "GET /torrents/{}/{what} HTTP/1.1\r\nhost: {}\r\n{header}connection: close\r\n\r\n",
            self.hash, self.addr
        );
        stream.write_all(request.as_bytes())?;
        let mut stream = BufReader::with_capacity(64 * 1024, stream);
        let mut line = || -> io::Result<String> {
            let mut line = String::new();
            stream.by_ref().take(LONGEST_LINE).read_line(&mut line)?;
            match line.strip_suffix("\r\n") {
                Some(line) => Ok(line.to_owned()),
                None => Err(io::Error::other("the answer of rqbit ends in its head")),
            }
        };
        let first = line()?;
        if first.split(' ').nth(1) != Some(status) {
            return Err(io::Error::other(format!(
                "rqbit answers {first:?} to {request:?}"
            )));
        }
        let mut left = None;
        loop {
            let line = line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                left = value.trim().parse().ok();
            }
        }
        let left = left.ok_or_else(|| io::Error::other("the answer of rqbit has no length"))?;
        Ok(Body { stream, left })
    }
}

impl Body {
    /// Something that ends it from another thread, though a read of it waits.
    pub(super) fn ender(&self) -> io::Result<Ender> {
        self.stream.get_ref().try_clone().map(Ender)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let len = self.stream.read(&mut buffer[..most])?;
        if len == 0 && most > 0 {
            let left = self.left;
            return Err(io::Error::other(format!(
                "rqbit's answer ends {left} bytes early"
            )));
        }
        self.left -= len as u64;
        Ok(len)
    }
}

/// Ends a connection when dropped.
pub(super) struct Ender(TcpStream);

impl Drop for Ender {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.shutdown(Shutdown::Both));
    }
}
