//! A manifest beside the store that holds the bytes of its files.

use std::collections::HashMap;

use forebay_manifest::{Content, FileEntry, FileKind, Hash, Hasher, Manifest};
use forebay_range::{RangeEngine, Target};
use forebay_source::{Fault, Location, Source};
use forebay_types::{ErrorKind, RangeSpec};
use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::{Answer, Finding, is_hash};
use crate::commands::below;
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::progress;
use crate::session::Session;

/// Questions for sizes under way at a time.
const AT_A_TIME: usize = 32;

/// What a manifest wants of an object.
struct Wanted {
    hash: Hash,
    size: u64,
    /// The first entry whose bytes it holds.
    path: Vec<u8>,
}

/// What was found out of one.
struct Checked {
    number: usize,
    bytes: u64,
    verdict: Verdict,
}

enum Verdict {
    Good,
    Missing,
    Different(String),
}

/// Looks for every object that the manifest names; `deep`: its bytes are read too, past the cache.
///
/// # Errors
/// A store that does not answer. An object that it does not have is among what is missing.
pub(super) fn verify(session: &Session, manifest: &Manifest, cas: &str, deep: bool) -> Result<Answer> {
    let mut answer = Answer::default();
    let wanted = wanted(manifest, &mut answer)?;
    let bar = progress::items(session.output, wanted.len() as u64, "verify");
    session.block_on(async {
        let (location, source) = session.open(cas)?;
        answer.compared_with = location.to_string();
        let jobs = wanted.iter().enumerate().map(|(number, wanted)| {
            let object = Object::new(session, &location, &source, wanted)?;
            let engine = deep.then(|| session.engine.clone());
            Ok(async move {
                let (bytes, verdict) = match engine {
                    Some(engine) => object.read(&engine).await?,
                    None => (0, object.look().await?),
                };
                Ok(Checked {
                    number,
                    bytes,
                    verdict,
                })
            })
        });
        let at_a_time = match deep {
            true => below::at_a_time(session, location.scheme()),
            false => AT_A_TIME,
        };
        parallel::for_each(futures::stream::iter(jobs), at_a_time, |checked: Checked| {
            bar.inc(1);
            answer.bytes += checked.bytes;
            let finding = |why| Finding {
                path: wanted[checked.number].path.clone(),
                object: Some(wanted[checked.number].hash.object_key()),
                why,
            };
            match checked.verdict {
                Verdict::Good => answer.good += 1,
                Verdict::Missing => answer.missing.push(finding(None)),
                Verdict::Different(why) => answer.different.push(finding(Some(why))),
            }
        })
        .await
    })?;
    bar.finish_and_clear();
    Ok(answer)
}

/// The objects that a manifest names, each once.
fn wanted(manifest: &Manifest, answer: &mut Answer) -> Result<Vec<Wanted>> {
    let mut numbers: HashMap<Hash, usize> = HashMap::new();
    let mut all: Vec<Wanted> = Vec::new();
    for file in manifest.files() {
        for (hash, size) in parts(&file, manifest.chunk_size().bytes(), answer) {
            let number = *numbers.entry(hash.clone()).or_insert(all.len());
            match all.get(number) {
                None => all.push(Wanted {
                    hash,
                    size,
                    path: file.path.as_bytes().to_vec(),
                }),
                Some(other) if other.size != size => {
                    let message = format!(
                        "the manifest says that {hash} is the hash of {} bytes of {} and of {size} bytes of {}",
                        other.size,
                        super::shown(&other.path),
                        file.path
                    );
                    return Err(CliError::new(ErrorKind::Corrupt, message));
                }
                Some(_) => {}
            }
        }
    }
    Ok(all)
}

/// Hashes and sizes of what a file consists of.
fn parts(file: &FileEntry<'_>, chunk: Option<u64>, answer: &mut Answer) -> Vec<(Hash, u64)> {
    let FileKind::Regular { size, content, .. } = &file.kind else {
        return Vec::new();
    };
    match content {
        Content::Hash(hash) => vec![(hash.clone(), *size)],
        Content::Chunks(hashes) => {
            let chunk = chunk.unwrap_or(*size);
            let begins = (0..).map(|number: u64| number.saturating_mul(chunk));
            hashes
                .iter()
                .zip(begins)
                .map(|(hash, begin)| (hash.clone(), size.saturating_sub(begin).min(chunk)))
                .collect()
        }
        Content::Unhashed => {
            answer.unhashed += 1;
            Vec::new()
        }
    }
}

/// An object that is wanted, and where it should be.
struct Object {
    hash: Hash,
    size: u64,
    source: Source,
    target: Target,
    path: Path,
    shown: String,
}

impl Object {
    fn new(session: &Session, location: &Location, source: &Source, wanted: &Wanted) -> Result<Self> {
        let root = source.path.as_ref();
        let key = &wanted.hash.object_key();
        let whole = match root {
            "" => key.clone(),
            root => format!("{root}/{key}"),
        };
        let path = Path::parse(&whole)
            .map_err(|e| CliError::usage(format!("{location}: no object of it can be {key}: {e}")))?;
        Ok(Self {
            hash: wanted.hash.clone(),
            size: wanted.size,
            source: source.clone(),
            target: session.target_at(location.scheme(), source, path.clone()),
            path,
            shown: format!("{}/{key}", location.to_string().trim_end_matches('/')),
        })
    }

    async fn look(self) -> Result<Verdict> {
        match self.source.store.head(&self.path).await {
            Ok(meta) => Ok(self.of_size(meta.size)),
            Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(Verdict::Missing),
            Err(error) => Err(CliError::store(&self.shown, &error)),
        }
    }

    /// Reads it as far as it has to be read to tell.
    async fn read(self, engine: &RangeEngine) -> Result<(u64, Verdict)> {
        let opened = match engine.open(self.target.clone(), RangeSpec::From(0)).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, Verdict::Missing)),
            Err(error) => return Err(error.into()),
        };
        let verdict = self.of_size(opened.range().len());
        if !matches!(verdict, Verdict::Good) {
            return Ok((0, verdict));
        }
        let mut stream = opened.into_stream();
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
        }
        let actual = hasher.finish();
        let verdict = match is_hash(&self.hash, &actual) {
            true => Verdict::Good,
            false => Verdict::Different(format!("its bytes hash to {actual}")),
        };
        Ok((bytes, verdict))
    }

    fn of_size(&self, size: u64) -> Verdict {
        if size == self.size {
            return Verdict::Good;
        }
        Verdict::Different(format!("it has {size} bytes, not {}", self.size))
    }
}
