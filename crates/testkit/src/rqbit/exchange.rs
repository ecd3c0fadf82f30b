//! Where the messages of an HTTP/1.1 connection begin and end (RFC 9112), seen by somebody who passes bytes on.

/// More than any head here has.
const LONGEST_HEAD: usize = 256 * 1024;

/// One direction of a connection, byte by byte.
pub(crate) struct Reading {
    state: State,
    /// The head, or a line between chunks, as far as it has come.
    text: Vec<u8>,
}

enum State {
    Head,
    /// So many bytes of a body are to come.
    Length(u64),
    ChunkSize,
    /// So many bytes of a chunk and its line end are to come.
    Chunk(u64),
    Trailer,
    /// The body ends with the connection.
    Rest,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A whole head. Whoever reads it says by [`Reading::body`] what follows.
    Head(Head),
    /// Bytes of a body, its framing included.
    Body(u64),
    /// The last byte of a message was seen.
    End,
}

/// What body follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// As the head says; without a word there is none.
    Request,
    /// As the head says; without a word it ends with the connection.
    Answer,
    /// None, whatever the head says: an answer to HEAD, 1xx, 204, 304.
    None,
}

/// A start line and header lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head(String);

impl Head {
    /// The words of the first line.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.lines().next().unwrap_or_default().split(' ')
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

impl Reading {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            text: Vec::new(),
        }
    }

    /// Takes what is next of `bytes` off them. `None`: all of them are taken.
    ///
    /// # Errors
    /// If this is not HTTP.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Seen>, &'static str> {
        while !bytes.is_empty() || matches!(self.state, State::Length(0)) {
            match &mut self.state {
                State::Head => {
                    if self.line(bytes)? && self.text.ends_with(b"\r\n\r\n") {
                        let text = std::mem::take(&mut self.text);
                        let head = String::from_utf8_lossy(&text).into_owned();
                        return Ok(Some(Seen::Head(Head(head))));
                    }
                }
                State::Length(0) => {
                    self.state = State::Head;
                    return Ok(Some(Seen::End));
                }
                State::Length(left) => {
                    let taken = take(bytes, *left);
                    *left -= taken;
                    return Ok(Some(Seen::Body(taken)));
                }
                State::ChunkSize => {
                    if self.line(bytes)? {
                        let line = String::from_utf8_lossy(&self.text);
                        let size = line.split(';').next().unwrap_or_default().trim();
                        let size = u64::from_str_radix(size, 16).map_err(|_| "a chunk without a size")?;
                        self.state = if size == 0 {
                            State::Trailer
                        } else {
                            State::Chunk(size + 2)
                        };
                        self.text.clear();
                    }
                }
                State::Chunk(left) => {
                    let taken = take(bytes, *left);
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::ChunkSize;
                    }
                    return Ok(Some(Seen::Body(taken)));
                }
                State::Trailer => {
                    if self.line(bytes)? {
                        let last = self.text == b"\r\n";
                        self.text.clear();
                        if last {
                            self.state = State::Head;
                            return Ok(Some(Seen::End));
                        }
                    }
                }
                State::Rest => return Ok(Some(Seen::Body(take(bytes, u64::MAX)))),
            }
        }
        Ok(None)
    }

    /// Says what follows the head that was just seen. True: nothing does.
    pub(crate) fn body(&mut self, head: &Head, kind: Body) -> Result<bool, &'static str> {
        let chunked = head.header("transfer-encoding").is_some();
        let length = head.header("content-length").map(str::parse::<u64>);
        self.state = match (kind, chunked, length) {
            (Body::None, _, _) | (Body::Request, false, None) => State::Head,
            (_, true, _) => State::ChunkSize,
            (_, false, Some(Ok(0))) => State::Head,
            (_, false, Some(Ok(length))) => State::Length(length),
            (_, false, Some(Err(_))) => return Err("a length that is no number"),
            (Body::Answer, false, None) => State::Rest,
        };
        Ok(matches!(self.state, State::Head))
    }

    /// Takes bytes up to a line's end. True: it has come.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<bool, &'static str> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.text.extend_from_slice(line);
        *bytes = rest;
        if self.text.len() > LONGEST_HEAD {
            return Err("a head without an end");
        }
        Ok(end.is_some())
    }
}

fn take(bytes: &mut &[u8], most: u64) -> u64 {
    let taken = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[taken..];
    taken as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of bytes that come in pieces of this size: heads' first words, bytes of bodies, ends.
    fn seen(text: &str, size: usize, kind: Body) -> Result<Vec<String>, &'static str> {
        let mut reading = Reading::new();
        let (mut all, mut body) = (Vec::new(), 0);
        for mut piece in text.as_bytes().chunks(size) {
            while let Some(seen) = reading.next(&mut piece)? {
                match seen {
                    Seen::Head(head) => {
                        all.push(head.words().next().unwrap_or_default().to_owned());
                        if reading.body(&head, kind)? {
                            all.push("none".to_owned());
                        }
                    }
                    Seen::Body(bytes) => body += bytes,
                    Seen::End => all.push(format!("{}", std::mem::take(&mut body))),
                }
            }
        }
        all.push(format!("{body} left"));
        Ok(all)
    }

    #[test]
    fn messages_end_where_they_end() {
        let length = "A x\r\ncontent-LENGTH: 5\r\n\r\nhello";
        let chunked = "B x\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n";
        let bare = "C x\r\n\r\n";
        for size in [1, 2, 7, 1000] {
            let all = seen(&format!("{length}{chunked}{length}{bare}"), size, Body::Request).unwrap();
            assert_eq!(
                all,
                ["A", "5", "B", "7", "A", "5", "C", "none", "0 left"],
                "{size}"
            );
            let all = seen(&format!("{length}{bare}rest"), size, Body::Answer).unwrap();
            assert_eq!(all, ["A", "5", "C", "4 left"], "{size}");
            let all = seen(&format!("{bare}{bare}"), size, Body::None).unwrap();
            assert_eq!(all, ["C", "none", "C", "none", "0 left"], "{size}");
        }
        assert!(seen("A\r\ncontent-length: many\r\n\r\n", 9, Body::Answer).is_err());
        assert!(seen(&"x".repeat(LONGEST_HEAD + 1), 1000, Body::Answer).is_err());
    }
}
