//! What a file tells of itself besides: `user.forebay.*`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use forebay_range::Target;
use forebay_source::{Fault, FileFacts};
use forebay_types::{BlockRange, Version};
use forebay_vfs::Ino;
use rustix::io::Errno;

use super::Fs;
use crate::errno;
use crate::reply::Reply;
use crate::wire::Out;

/// Of the kinds of attributes the only one here: no access lists, labels or capabilities.
const USER: &[u8] = b"user.";

const ETAG: &str = "user.forebay.etag";
const ORIGIN: &str = "user.forebay.origin";
/// How much of it lies on a disk of this machine, in percent.
const CACHED: &str = "user.forebay.cached";

type Tell = fn(&FileFacts) -> String;

/// What a torrent client tells of a file, each time it is asked. Its name, and how it is told.
const TORRENT: [(&str, Tell); 4] = [
    ("user.forebay.infohash", |facts| facts.hash.to_string()),
    // Connected now; nobody, if the torrent is not live.
    ("user.forebay.peers", |facts| {
        facts.peers.map_or(0, |peers| peers.live).to_string()
    }),
    ("user.forebay.progress", |facts| progress(facts).to_string()),
    ("user.forebay.state", |facts| facts.state.as_str().to_owned()),
];

impl Fs {
    pub(crate) fn get_xattr(self: &Arc<Self>, ino: Ino, name: &OsStr, size: u32, reply: Reply) {
        let told = TORRENT.iter().find(|(told, _)| name == OsStr::new(told));
        if let Some((_, tell)) = told
            && let Some(target) = self.torrent_file(ino)
        {
            return self.ask_client(target, *tell, size, reply);
        }
        match name.to_str().and_then(|name| self.xattr(ino, name)) {
            Some(value) => answer(reply, value.as_bytes(), size),
            // `ls -l` asks two of these of each file, unless it hears once that there are none on this device.
            None if !name.as_bytes().starts_with(USER) => reply.error(Errno::OPNOTSUPP),
            None => reply.error(Errno::NODATA),
        }
    }

    pub(crate) fn list_xattr(&self, ino: Ino, size: u32, reply: Reply) {
        let mut names = String::new();
        for name in [ETAG, ORIGIN, CACHED] {
            if self.xattr(ino, name).is_some() {
                names.push_str(name);
                names.push('\0');
            }
        }
        if self.torrent_file(ino).is_some() {
            for (name, _) in TORRENT {
                names.push_str(name);
                names.push('\0');
            }
        }
        answer(reply, names.as_bytes(), size);
    }

    /// The file, if a torrent client has it.
    fn torrent_file(&self, ino: Ino) -> Option<Target> {
        if !self.source.is_torrents() {
            return None;
        }
        let target = self.tree.file(ino).ok()?.target;
        (target.origin == self.source.origin).then_some(target)
    }

    fn ask_client(self: &Arc<Self>, target: Target, tell: Tell, size: u32, reply: Reply) {
        let source = self.source.clone();
        let ask = async move {
            match source.file_facts(&target.path).await {
                Some(Ok(facts)) => Ok(tell(&facts)),
                Some(Err(error)) => {
                    tracing::debug!(file = %target.name, %error, "the torrent client does not tell of a file");
                    Err(errno::of_kind(Fault::of(&error).kind))
                }
                None => Err(Errno::NODATA),
            }
        };
        self.park(reply, ask, move |_, reply, value| match (reply, value) {
            (Some(reply), Ok(value)) => answer(reply, value.as_bytes(), size),
            (Some(reply), Err(errno)) => reply.error(errno),
            // Interrupted.
            (None, _) => {}
        });
    }

    fn xattr(&self, ino: Ino, name: &str) -> Option<String> {
        let file = self.tree.file(ino).ok()?;
        match name {
            ETAG => match file.attr.version {
                Version::ETag(tag) => Some(tag.to_string()),
                Version::Modified(_) | Version::Unknown => None,
            },
            // As it may be shown: an origin has no secrets.
            ORIGIN => Some(file.target.name.to_string()),
            CACHED => Some(self.cached(&file.target).to_string()),
            _ => None,
        }
    }

    /// Percent of an object that are here; all of what lies on this machine anyway. Rounded down: 100 is all.
    fn cached(&self, target: &Target) -> u64 {
        if !target.cached {
            return 100;
        }
        let (Some(cache), Some(known)) = (self.reader.cache(), &target.known) else {
            return 0;
        };
        let blocks = BlockRange::of_size(known.size);
        let count = |run: BlockRange| run.end() - run.start();
        let all = count(blocks);
        if all == 0 {
            return 100;
        }
        let object = cache.object(&target.object_id(known));
        let runs = object.presence(blocks).into_iter();
        let here: u64 = runs
            .filter(|(_, is_here)| *is_here)
            .map(|(run, _)| run.len())
            .sum();
        here * 100 / all
    }
}

/// Percent of a file that the client has, rounded down: 100 is all.
fn progress(facts: &FileFacts) -> u64 {
    match facts.length {
        0 => 100,
        length => (u128::from(facts.here.min(length)) * 100 / u128::from(length)) as u64,
    }
}

/// The value, or how long it is if that is all that was asked.
pub(crate) fn answer(reply: Reply, value: &[u8], size: u32) {
    if size == 0 {
        reply.out(&Out::default().u32(value.len() as u32).u32(0));
    } else if value.len() > size as usize {
        reply.error(Errno::RANGE);
    } else {
        reply.bytes(&[value]);
    }
}

#[cfg(test)]
mod tests {
    use forebay_source::{InfoHash, Peers, State};

    use super::*;

    fn told(facts: &FileFacts) -> Vec<String> {
        TORRENT.iter().map(|(_, tell)| tell(facts)).collect()
    }

    #[test]
    fn a_client_is_quoted() {
        let mut facts = FileFacts {
            hash: InfoHash([0xab; 20]),
            state: State::Live,
            error: None,
            here: 199,
            length: 200,
            peers: Some(Peers {
                live: 3,
                seeders: 1,
                seen: 9,
            }),
            download_bps: Some(0),
            present: Vec::new(),
        };
        let hash = "ab".repeat(20);
        assert_eq!(told(&facts), [&hash, "3", "99", "live"]);
        facts.here = 200;
        facts.peers = None;
        facts.state = State::Failed;
        assert_eq!(told(&facts), [&hash, "0", "100", "error"]);
        for (here, length, percent) in [
            (0, 0, 100),
            (0, 1, 0),
            (u64::MAX - 1, u64::MAX, 99),
            (u64::MAX, u64::MAX, 100),
        ] {
            (facts.here, facts.length) = (here, length);
            assert_eq!(progress(&facts), percent);
        }
    }
}
