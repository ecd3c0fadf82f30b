//! A client that hides nothing: one socket, one request, and how the answer ended.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All that was promised is there.
    Complete,
    /// The connection was closed before.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing more came for a while.
    Silent,
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        // Silence that long is a stall: much more than any answer takes, on a busy machine too.
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    pub(crate) fn range(&mut self, path: &str, range: &str) -> Answer {
        self.get(path, &[("Range", &format!("bytes={range}"))])
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: lab\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
        self.receive(method == "HEAD")
    }

    fn receive(&mut self, no_body: bool) -> Answer {
        let mut answer = Answer {
            status: 0,
            headers: BTreeMap::new(),
            body: Vec::new(),
            end: End::Complete,
        };
        let head = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                let rest = self.unread.split_off(at + 4);
                break String::from_utf8(std::mem::replace(&mut self.unread, rest)).unwrap();
            }
            if let Some(end) = self.read() {
                answer.end = end;
                return answer;
            }
        };
        let mut lines = head.trim_end().split("\r\n");
        answer.status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pairs = lines.map(|line| line.split_once(": ").unwrap());
        answer.headers = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if no_body || answer.status == 304 {
            return answer;
        }
        if answer.headers.contains_key("transfer-encoding") {
            answer.end = self.receive_chunks(&mut answer.body);
            return answer;
        }
        let length = answer
            .headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            if let Some(end) = self.read() {
                answer.end = end;
                break;
            }
        }
        let rest = self.unread.split_off(length.min(self.unread.len()));
        answer.body = std::mem::replace(&mut self.unread, rest);
        answer
    }

    fn receive_chunks(&mut self, body: &mut Vec<u8>) -> End {
        loop {
            let line = loop {
                match find(&self.unread, b"\r\n") {
                    Some(at) => break at,
                    None => {
                        if let Some(end) = self.read() {
                            return end;
                        }
                    }
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.unread[..line]).unwrap(), 16).unwrap();
            let end = line + 2 + size + 2;
            while self.unread.len() < end {
                if let Some(end) = self.read() {
                    return end;
                }
            }
            body.extend_from_slice(&self.unread[line + 2..end - 2]);
            self.unread.drain(..end);
            if size == 0 {
                return End::Complete;
            }
        }
    }

    /// `None` if something came.
    fn read(&mut self) -> Option<End> {
        let mut buffer = vec![0; 256 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Some(End::Closed),
            Ok(len) => {
                self.unread.extend_from_slice(&buffer[..len]);
                None
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Some(End::Reset),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Some(End::Silent)
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
