//! The lab server as a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Mutex, PoisonError};

use forebay_manifest::{
    Base, ChunkSize, FileEntry, FileKind, Hash, Hasher, Kind, ManifestBuilder, ManifestPath,
};
use forebay_testkit::{Content, Lab, Profile};
use forebay_types::{ByteRange, ErrorKind};
use serde::{Deserialize, Serialize};

use super::cases::{HANDLES, SMALL_OBJECT};
use super::worker::helper;
use crate::exit::{CliError, Result};

/// Where the lab keeps things.
pub(crate) const BUCKET: &str = "lab";
/// The large object.
pub(crate) const BIG: &str = "big";

/// An object of exactly the size, for tools that cannot fetch a range.
pub(crate) const EXACT: &str = "exact";

/// One of the many.
pub(crate) fn small_key(index: usize) -> String {
    format!("small/{index:06}")
}

/// Objects that are read side by side.
pub(crate) const WIDE: &str = "wide";

/// A manifest of one file, which is two chunks long, and where their contents are.
pub(crate) const MANIFEST: &str = "manifest";
pub(crate) const CHUNKED: &str = "chunked";
pub(crate) const CONTENTS: &str = "Data";

/// Orders for the server.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LabSpec {
    pub(crate) standard: bool,
    pub(crate) big: u64,
    /// The same beginning, for tools that cannot fetch a part.
    pub(crate) exact: u64,
    pub(crate) small: usize,
    /// Bytes of a chunk, if there is to be a manifest.
    pub(crate) chunk: Option<u64>,
}

/// What it did so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) requests: u64,
    /// Bytes of bodies that it sent.
    pub(crate) bytes: u64,
}

/// A server that runs until this is dropped.
pub(crate) struct LabProcess {
    child: Child,
    endpoint: String,
    /// What is asked, and what it answers.
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl LabProcess {
    pub(crate) fn start(spec: &LabSpec) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| {
            CliError::new(ErrorKind::LocalIo, format!("cannot start the lab server: {e}"))
        };
        let mut child = helper("serve", spec)?;
        let mut line = String::new();
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| failed(&"it has no pipes"))?;
        let mut stdout = BufReader::new(stdout);
        let read = stdout.read_line(&mut line).map_err(|e| failed(&e))?;
        if read == 0 {
            return Err(failed(&"it ended at once"));
        }
        Ok(Self {
            child,
            endpoint: line.trim().to_owned(),
            talk: Mutex::new(Some((stdin, stdout))),
        })
    }

    /// How many requests it has had.
    pub(crate) fn requests(&self) -> Result<u64> {
        Ok(self.asked()?.requests)
    }

    /// What it did so far.
    pub(crate) fn asked(&self) -> Result<Asked> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |e: &dyn std::fmt::Display| {
            CliError::new(
                ErrorKind::Unavailable,
                format!("the lab server does not answer: {e}"),
            )
        };
        let (stdin, stdout) = talk.as_mut().ok_or_else(|| failed(&"it is gone"))?;
        let mut line = String::new();
        let asked = writeln!(stdin).and_then(|()| stdout.read_line(&mut line));
        asked.map_err(|e| failed(&e))?;
        let mut counts = line.split_whitespace().map(str::parse);
        match (counts.next(), counts.next()) {
            (Some(Ok(requests)), Some(Ok(bytes))) => Ok(Asked { requests, bytes }),
            _ => Err(failed(&"it says something else")),
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        // The end of its input is its end; waiting leaves no zombie.
        *self.talk.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends; each line of it asks how many requests there were, and how many bytes were sent.
pub(crate) fn serve(spec: &LabSpec) -> Result<()> {
    let profile = if spec.standard {
        Profile::STANDARD
    } else {
        Profile::LOOPBACK
    };
    let failed = |e: std::io::Error| CliError::new(e.kind().into(), format!("the lab server: {e}"));
    let lab = Lab::builder()
        .profile(profile)
        .bucket(BUCKET)
        .start()
        .map_err(failed)?;
    lab.objects().put(BUCKET, BIG, Content::pattern(1, spec.big));
    lab.objects().put(BUCKET, EXACT, Content::pattern(1, spec.exact));
    let wide = (spec.exact / HANDLES as u64).max(SMALL_OBJECT);
    for index in 0..HANDLES {
        let content = Content::pattern(index as u64, wide);
        lab.objects().put(BUCKET, &format!("{WIDE}/{index:02}"), content);
    }
    for index in 0..spec.small {
        lab.objects().put(
            BUCKET,
            &small_key(index),
            Content::pattern(index as u64, SMALL_OBJECT),
        );
    }
    if let Some(chunk) = spec.chunk {
        put_chunked(&lab, chunk)?;
    }
    let output = crate::output::Output {
        json: false,
        quiet: false,
    };
    output.line(&lab.endpoint())?;
    for line in std::io::stdin().lines() {
        line.map_err(failed)?;
        let counts = lab.counts();
        output.line(&format!("{} {}", counts.requests, counts.bytes_sent))?;
    }
    Ok(())
}

/// Bytes that are hashed at a time.
const STEP: u64 = 1 << 20;

/// Puts a manifest of one file, and its two chunks under their hashes.
fn put_chunked(lab: &Lab, chunk: u64) -> Result<()> {
    let mut hashes = Vec::new();
    for seed in 0..2 {
        let content = Content::pattern(seed, chunk);
        let mut hasher = Hasher::new();
        for start in (0..chunk).step_by(STEP as usize) {
            for piece in content.slice(ByteRange::at(start, STEP)) {
                hasher.update(&piece);
            }
        }
        let hash: Hash = hasher.finish();
        let key = format!("{CONTENTS}/{}", hash.object_key());
        lab.objects().put(BUCKET, &key, content);
        hashes.push(hash);
    }
    let failed = |e| CliError::new(ErrorKind::Internal, format!("the manifest of the lab: {e}"));
    let draft = ManifestBuilder::draft(Kind::Snapshot, Base::Relative);
    let mut manifest = draft.chunk_size(ChunkSize::Bytes(chunk));
    let file = FileEntry {
        path: ManifestPath::new(CHUNKED.as_bytes()),
        kind: FileKind::Regular {
            size: 2 * chunk,
            mtime: 0,
            runnable: false,
            content: forebay_manifest::Content::Chunks(&hashes),
        },
    };
    manifest.file(&file).map_err(failed)?;
    let manifest = manifest.finish().map_err(failed)?;
    lab.objects().put(BUCKET, MANIFEST, manifest.encode());
    Ok(())
}
