//! `forebay manifest show`: what a manifest says.

use std::io::{self, BufWriter, StdoutLock, Write};

use chrono::{DateTime, SecondsFormat};
use forebay_manifest::{Base, ChunkSize, Content, DirEntry, FileEntry, FileKind, Kind, Manifest, Version};
use forebay_types::{ByteSize, printable};
use serde::Serialize;

use super::load::{self, Loaded};
use super::name::Field;
use crate::args::ManifestShowArgs;
use crate::exit::{CliError, Result};
use crate::output;
use crate::session::Session;

/// What is said of a manifest as a whole.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    format: &'static str,
    /// Its authors may change the format, or drop it.
    draft: bool,
    /// `snapshot` or `diff`.
    kind: &'static str,
    /// `relative` or `absolute`: what paths start from.
    paths: &'static str,
    /// With bytes.
    files: u64,
    links: u64,
    /// Null where the format has none.
    directories: Option<u64>,
    /// Files and links, and directories, that a diff says are gone.
    deleted_files: u64,
    deleted_directories: u64,
    total_size: u64,
    /// Null: no file is cut.
    chunk_size: Option<u64>,
    parent: Option<String>,
}

impl Summary {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let is_draft = manifest.version() == Version::Beta2025;
        let (mut files, mut links, mut deleted_files) = (0, 0, 0);
        for file in manifest.files() {
            match file.kind {
                FileKind::Regular { .. } => files += 1,
                FileKind::Symlink { .. } => links += 1,
                FileKind::Deleted => deleted_files += 1,
            }
        }
        let deleted_directories = manifest.dirs().filter(|dir| dir.deleted).count() as u64;
        Self {
            format: manifest.version().name(),
            draft: is_draft,
            kind: match manifest.kind() {
                Kind::Snapshot => "snapshot",
                Kind::Diff => "diff",
            },
            paths: match manifest.base() {
                Base::Relative => "relative",
                Base::Absolute => "absolute",
            },
            files,
            links,
            directories: is_draft.then(|| manifest.dirs().len() as u64 - deleted_directories),
            deleted_files,
            deleted_directories,
            total_size: manifest.total_size(),
            chunk_size: is_draft.then(|| manifest.chunk_size().bytes()).flatten(),
            parent: manifest.parent().map(ToString::to_string),
        }
    }

    /// Names and values, for people.
    pub(super) fn lines(&self, manifest: &Manifest) -> Vec<(&'static str, String)> {
        let draft = if self.draft {
            ", a draft that may change or go"
        } else {
            ""
        };
        let chunk_size = match (self.draft, manifest.chunk_size()) {
            (false, _) => "-".to_owned(),
            (true, ChunkSize::Never) => "- (no file is cut)".to_owned(),
            (true, ChunkSize::Bytes(bytes)) => size(bytes),
            (true, said @ ChunkSize::Unwritten) => {
                format!("{} (not said)", said.bytes().map_or_else(String::new, size))
            }
        };
        let count = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let deletions = match (self.deleted_files, self.deleted_directories) {
            (files, 0) => files.to_string(),
            (files, dirs) => format!("{files}, and of directories {dirs}"),
        };
        vec![
            ("format", format!("{}{draft}", self.format)),
            ("kind", format!("{}, {} paths", self.kind, self.paths)),
            ("files", self.files.to_string()),
            ("directories", count(self.directories)),
            ("links", self.links.to_string()),
            ("deletions", deletions),
            ("total size", size(self.total_size)),
            ("chunk size", chunk_size),
            ("parent", self.parent.clone().unwrap_or_else(|| "-".to_owned())),
        ]
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => bytes.to_string(),
        _ => format!("{bytes} ({:#})", ByteSize(bytes)),
    }
}

/// Lines of names and values.
pub(super) fn table(lines: &[(&str, String)]) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name:<13} {}", printable(value)))
        .collect();
    lines.join("\n")
}

#[derive(Debug, Serialize)]
struct Answer {
    url: String,
    #[serde(flatten)]
    summary: Summary,
    /// Of its bytes as they are.
    hash: String,
    canonical: bool,
    /// What the hash would be if it were written in the canonical form.
    canonical_hash: String,
}

pub(super) fn run(session: &Session, args: &ManifestShowArgs) -> Result<()> {
    let loaded = load::manifest(session, &args.url)?;
    let Loaded { manifest, .. } = &loaded;
    let canonical_hash = manifest.hash();
    let answer = Answer {
        url: loaded.url.clone(),
        summary: Summary::of(manifest),
        hash: loaded.hash.to_string(),
        canonical: canonical_hash == loaded.hash,
        canonical_hash: canonical_hash.to_string(),
    };
    if args.files {
        return list(session.output.json, manifest, &answer);
    }
    session.output.answer(&answer, || {
        let mut lines = vec![("manifest", answer.url.clone())];
        lines.extend(answer.summary.lines(manifest));
        let hash = match answer.canonical {
            true => answer.hash.clone(),
            false => format!(
                "{} (not in canonical form, which has {})",
                answer.hash, answer.canonical_hash
            ),
        };
        lines.insert(lines.len() - 1, ("hash", hash));
        table(&lines)
    })
}

/// One entry of a manifest, a directory of which has no size, time and hash.
#[derive(Debug, Default, Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    path: Option<Field<'a>>,
    kind: &'static str,
    deleted: bool,
    size: Option<u64>,
    /// Microseconds since 1970.
    mtime: Option<i64>,
    /// The same as people write it, UTC; null if it is out of reach of a calendar.
    modified: Option<String>,
    hash: Option<String>,
    /// Of each chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<Vec<String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    runnable: bool,
    /// Where a link leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target<'a>>,
}

/// `{"path":…}`, so that it can be told apart from base64.
#[derive(Debug, Serialize)]
struct Target<'a> {
    #[serde(flatten)]
    path: Field<'a>,
}

impl<'a> Entry<'a> {
    fn file(file: &'a FileEntry<'a>) -> Self {
        let entry = Self {
            path: Some(Field(file.path.as_bytes())),
            ..Self::default()
        };
        match &file.kind {
            FileKind::Regular {
                size,
                mtime,
                runnable,
                content,
            } => Self {
                kind: "file",
                size: Some(*size),
                mtime: Some(*mtime),
                modified: DateTime::from_timestamp_micros(*mtime)
                    .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true)),
                hash: match content {
                    Content::Hash(hash) => Some(hash.to_string()),
                    Content::Chunks(_) | Content::Unhashed => None,
                },
                chunks: match content {
                    Content::Chunks(hashes) => Some(hashes.iter().map(ToString::to_string).collect()),
                    Content::Hash(_) | Content::Unhashed => None,
                },
                runnable: *runnable,
                ..entry
            },
            FileKind::Symlink { target } => Self {
                kind: "link",
                target: Some(Target {
                    path: Field(target.as_bytes()),
                }),
                ..entry
            },
            FileKind::Deleted => Self {
                kind: "file",
                deleted: true,
                ..entry
            },
        }
    }

    fn dir(dir: &DirEntry<'a>) -> Self {
        Self {
            path: Some(Field(dir.path.as_bytes())),
            kind: "directory",
            deleted: dir.deleted,
            ..Self::default()
        }
    }

    /// Size, time, hash, path; a dash for what there is none of.
    fn line(&self) -> String {
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let time = self
            .modified
            .clone()
            .or_else(|| self.mtime.map(|mtime| format!("{mtime}us")));
        let hash = match &self.chunks {
            Some(chunks) => format!("{} chunks", chunks.len()),
            None => dash(self.hash.clone()),
        };
        let mut path = self
            .path
            .map_or_else(String::new, |path| super::name::shown(path.0));
        if self.kind == "directory" {
            path.push('/');
        }
        if let Some(target) = &self.target {
            path = format!("{path} -> {}", super::name::shown(target.path.0));
        }
        if self.deleted {
            path.push_str(" (deleted)");
        }
        if self.runnable {
            path.push_str(" (runnable)");
        }
        let size = dash(self.size.map(|size| size.to_string()));
        format!("{size:>14}  {:<27}  {hash:<32}  {path}", dash(time))
    }
}

/// Prints all entries as they are made: there may be millions of them.
fn list(json: bool, manifest: &Manifest, answer: &Answer) -> Result<()> {
    let mut lines = Lines {
        out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()),
        json,
        count: 0,
    };
    if json {
        let mut head = output::json(answer)?;
        // The entries go before the brace that ends the object.
        head.pop();
        lines.write(&format!("{head},\"entries\":["))?;
    }
    for dir in manifest.dirs() {
        lines.entry(&Entry::dir(&dir))?;
    }
    for file in manifest.files() {
        lines.entry(&Entry::file(&file))?;
    }
    if json {
        lines.write("]}\n")?;
    }
    lines.out.flush().map_err(|e| CliError::stdout(&e))
}

struct Lines<'a> {
    out: BufWriter<StdoutLock<'a>>,
    json: bool,
    count: u64,
}

impl Lines<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let line = match (self.json, self.count) {
            (true, 0) => output::json(entry)?,
            (true, _) => format!(",{}", output::json(entry)?),
            (false, _) => format!("{}\n", entry.line()),
        };
        self.count += 1;
        self.write(&line)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|e| CliError::stdout(&e))
    }
}
