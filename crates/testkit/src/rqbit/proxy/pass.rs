//! One connection: what goes through it, and how it ends.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::super::exchange::{Body, Head, Reading, Seen};
use super::{Asked, Shared};

/// Bytes passed on at a time.
const PIECE: usize = 64 * 1024;

pub(super) async fn connection(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let client = client.into_std()?;
    // The same socket, to look at it from elsewhere.
    let watched = Arc::new(client.try_clone()?);
    let mut client = TcpStream::from_std(client)?;
    let mut will = shared.will.subscribe();
    let before = will.borrow_and_update().cuts;
    let passing = async {
        let mut server = TcpStream::connect(shared.target).await?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let pass = Pass {
            shared,
            watched: &watched,
            pending: Mutex::default(),
        };
        tokio::select! {
            ended = pass.requests(from_client, to_server) => ended,
            ended = pass.answers(from_server, to_client) => ended,
        }
    };
    let ended = tokio::select! {
        biased;
        _ = will.wait_for(|will| will.refuse || will.cuts != before) => {
            Err(io::Error::other("cut off"))
        }
        ended = passing => ended,
    };
    if ended.is_err() {
        drop(client.set_zero_linger());
    }
    shared.seen().close(&watched);
    ended
}

/// What both directions of a connection share.
struct Pass<'a> {
    shared: &'a Shared,
    watched: &'a Arc<std::net::TcpStream>,
    /// Requests without their answers.
    pending: Mutex<VecDeque<Pending>>,
}

#[derive(Clone, Copy)]
struct Pending {
    head: bool,
    stream: bool,
}

impl Pass<'_> {
    async fn requests(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut reading, mut buffer) = (Reading::new(), vec![0; PIECE]);
        loop {
            let got = from.read(&mut buffer).await?;
            if got == 0 {
                return Ok(());
            }
            self.unless_stalled().await;
            let mut left = &buffer[..got];
            while let Some(seen) = reading.next(&mut left).map_err(io::Error::other)? {
                if let Seen::Head(head) = seen {
                    reading.body(&head, Body::Request).map_err(io::Error::other)?;
                    self.asked(&head);
                }
            }
            to.write_all(&buffer[..got]).await?;
        }
    }

    async fn answers(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut reading, mut buffer) = (Reading::new(), vec![0; PIECE]);
        let mut stream = false;
        loop {
            let got = from.read(&mut buffer).await?;
            if got == 0 {
                return Ok(());
            }
            self.unless_stalled().await;
            let mut left = &buffer[..got];
            while let Some(seen) = reading.next(&mut left).map_err(io::Error::other)? {
                match seen {
                    Seen::Head(head) => {
                        let (kind, pending) = self.answered(&head);
                        let over = reading.body(&head, kind).map_err(io::Error::other)?;
                        // An interim answer leaves the request open.
                        stream = pending.is_some_and(|pending| pending.stream);
                        if over && stream {
                            self.shared.seen().close(self.watched);
                        }
                    }
                    Seen::Body(bytes) if stream => self.shared.seen().bytes += bytes,
                    // Before the client can see it: its next request comes after this.
                    Seen::End if stream => self.shared.seen().close(self.watched),
                    Seen::Body(_) | Seen::End => {}
                }
            }
            to.write_all(&buffer[..got]).await?;
        }
    }

    async fn unless_stalled(&self) {
        let mut will = self.shared.will.subscribe();
        // Fails only if the sender is gone, which `shared` holds.
        drop(will.wait_for(|will| !will.stall).await);
    }

    fn asked(&self, head: &Head) {
        let mut words = head.words();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let stream = target.contains("/stream/");
        let pending = Pending {
            head: method == "HEAD",
            stream,
        };
        self.pending().push_back(pending);
        let mut seen = self.shared.seen();
        seen.asked.push(Asked {
            method,
            target,
            range: head.header("range").map(str::to_owned),
            stream,
        });
        if stream {
            seen.forget_the_gone();
            seen.open.push(Arc::clone(self.watched));
            seen.most = seen.most.max(seen.open.len());
        }
    }

    /// What body follows this head, and which request it answers for good.
    fn answered(&self, head: &Head) -> (Body, Option<Pending>) {
        let status = head.words().nth(1).unwrap_or_default();
        if status.starts_with('1') {
            return (Body::None, None);
        }
        let pending = self.pending().pop_front();
        let none = matches!(status, "204" | "304") || pending.is_some_and(|pending| pending.head);
        (if none { Body::None } else { Body::Answer }, pending)
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
