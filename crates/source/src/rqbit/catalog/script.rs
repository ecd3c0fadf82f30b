//! A torrent client that says what a test tells it to, when it is let.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use forebay_types::ByteRange;
use tokio::sync::Semaphore;

use super::Shelf;
use crate::rqbit::{Daemon, Details, FileBytes, Haves, InfoHash, Listed, Stats, TorrentFault, TorrentFile};
use crate::transport::Failure;

type Fails = fn() -> Failure;

#[derive(Clone)]
pub(crate) enum Contents {
    Files(Vec<TorrentFile>),
    Fails(Fails),
}

pub(crate) struct Script {
    pub(crate) torrents: Mutex<Vec<(Listed, Contents)>>,
    pub(crate) list_fails: Mutex<Option<Fails>>,
    pub(crate) stats: Mutex<Option<Stats>>,
    pub(crate) haves: Mutex<Option<Haves>>,
    pub(crate) lists: AtomicUsize,
    pub(crate) details: AtomicUsize,
    pub(crate) questions: AtomicUsize,
    pub(crate) most_questions: AtomicUsize,
    /// A permit lets one question be answered.
    pub(crate) gate: Semaphore,
}

/// One question, until it is answered or given up.
struct Question<'a>(&'a AtomicUsize);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// The hash of one digit, forty times; from 16 on they count in the first two digits.
pub(crate) fn hash(n: u8) -> InfoHash {
    if n < 16 {
        InfoHash([n * 0x11; 20])
    } else {
        let mut bytes = [0xee; 20];
        bytes[0] = n;
        InfoHash(bytes)
    }
}

pub(crate) fn file(path: &str) -> TorrentFile {
    TorrentFile {
        components: path.split('/').map(str::to_owned).collect(),
        length: 1 + path.len() as u64,
        padding: false,
        symlink: false,
        executable: false,
    }
}

pub(crate) fn entry(n: u8, name: &str, files: &[&str]) -> (Listed, Contents) {
    let listed = Listed {
        hash: hash(n),
        name: Some(name.to_owned()),
    };
    let files = files.iter().map(|path| file(path)).collect();
    (listed, Contents::Files(files))
}

impl Script {
    pub(crate) fn new(torrents: Vec<(Listed, Contents)>) -> Arc<Self> {
        let script = Self::shut(torrents);
        script.gate.add_permits(1_000_000);
        script
    }

    /// Answers nothing until it is let.
    pub(crate) fn shut(torrents: Vec<(Listed, Contents)>) -> Arc<Self> {
        Arc::new(Self {
            torrents: Mutex::new(torrents),
            list_fails: Mutex::default(),
            stats: Mutex::default(),
            haves: Mutex::default(),
            lists: AtomicUsize::new(0),
            details: AtomicUsize::new(0),
            questions: AtomicUsize::new(0),
            most_questions: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        })
    }

    async fn pass(&self) -> Question<'_> {
        let now = self.questions.fetch_add(1, SeqCst) + 1;
        let question = Question(&self.questions);
        self.most_questions.fetch_max(now, SeqCst);
        self.gate.acquire().await.unwrap().forget();
        question
    }
}

#[async_trait]
impl Daemon for Script {
    async fn torrents(&self) -> Result<Vec<Listed>, Failure> {
        self.lists.fetch_add(1, SeqCst);
        // What is true when it is asked.
        let listed = {
            let torrents = self.torrents.lock().unwrap();
            torrents.iter().map(|(listed, _)| listed.clone()).collect()
        };
        let _question = self.pass().await;
        match *self.list_fails.lock().unwrap() {
            Some(fails) => Err(fails()),
            None => Ok(listed),
        }
    }

    async fn details(&self, hash: InfoHash) -> Result<Details, Failure> {
        self.details.fetch_add(1, SeqCst);
        let _question = self.pass().await;
        let torrents = self.torrents.lock().unwrap();
        match torrents.iter().find(|(listed, _)| listed.hash == hash) {
            Some((listed, Contents::Files(files))) => Ok(Details {
                name: listed.name.clone(),
                files: files.clone(),
            }),
            Some((_, Contents::Fails(fails))) => Err(fails()),
            None => Err(Failure::Torrent(TorrentFault::Gone { hash })),
        }
    }

    async fn stats(&self, hash: InfoHash) -> Result<Stats, Failure> {
        let stats = self.stats.lock().unwrap().clone();
        stats.ok_or(Failure::Torrent(TorrentFault::Gone { hash }))
    }

    async fn haves(&self, _hash: InfoHash) -> Result<Haves, Failure> {
        let haves = self.haves.lock().unwrap().clone();
        haves.ok_or_else(|| {
            Failure::Torrent(TorrentFault::Client {
                why: "torrent is not live".to_owned(),
            })
        })
    }

    async fn open(&self, hash: InfoHash, _file: usize, _range: ByteRange) -> Result<FileBytes, Failure> {
        Err(Failure::Torrent(TorrentFault::Gone { hash }))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rqbit://script:1")
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The torrent that a key lies in, whether there is a file of that key or not.
pub(crate) fn torrent_of(shelf: &Shelf, key: &str) -> Option<InfoHash> {
    shelf.locate(key).map(|(layout, _)| layout.hash)
}
