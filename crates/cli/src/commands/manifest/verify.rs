//! `forebay manifest verify`: whether what a manifest says is there, is there.

mod directory;
mod store;

use std::path::Path;

use forebay_manifest::Hash;
use forebay_types::ErrorKind;
use serde::Serialize;

use super::load;
use super::name::{Field, shown};
use crate::args::ManifestVerifyArgs;
use crate::exit::{CliError, Result};
use crate::session::Session;

/// What is not as the manifest says.
#[derive(Debug, Serialize)]
struct Finding {
    /// The entry; where many have the same bytes, the first of them.
    #[serde(serialize_with = "flat")]
    #[serde(flatten)]
    path: Vec<u8>,
    /// The object that holds its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

fn flat<S: serde::Serializer>(path: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    Field(path).serialize(serializer)
}

/// What `verify --json` answers.
#[derive(Debug, Default, Serialize)]
struct Answer {
    manifest: String,
    /// The directory or the store.
    compared_with: String,
    /// Files and links, or objects, that are as the manifest says.
    good: u64,
    /// Bytes that were hashed.
    bytes: u64,
    /// Files without a hash in the manifest: of them a directory's sizes were compared, and nothing of a store.
    unhashed: u64,
    missing: Vec<Finding>,
    different: Vec<Finding>,
    /// There, and not in the manifest.
    extra: Vec<Finding>,
}

/// What a manifest is compared with.
enum With<'a> {
    Store(&'a str),
    Directory(&'a Path),
}

pub(super) fn run(session: &Session, args: &ManifestVerifyArgs) -> Result<()> {
    // Told here: of options that exclude each other, the parser does not say which one is needed.
    let with = match (&args.cas, &args.dir) {
        (Some(cas), _) => With::Store(cas),
        (None, Some(_)) if args.deep => {
            let message = "--deep is about the objects of a store, and files of a directory are always read";
            return Err(
                CliError::usage(message).hint("leave it out, or say --cas URL in place of the directory")
            );
        }
        (None, Some(dir)) => With::Directory(dir),
        (None, None) => return Err(CliError::usage("name a directory, or say --cas URL")),
    };
    let loaded = load::manifest(session, &args.url)?;
    let mut answer = match with {
        With::Store(cas) => store::verify(session, &loaded.manifest, cas, args.deep)?,
        With::Directory(dir) => directory::verify(session, &loaded, dir)?,
    };
    answer.manifest = loaded.url;
    let list = [&mut answer.missing, &mut answer.different, &mut answer.extra];
    list.into_iter()
        .for_each(|list| list.sort_by(|a, b| a.path.cmp(&b.path)));
    session.output.answer(&answer, || answer.text())?;
    answer.outcome()
}

/// Whether bytes with the hash `actual` are those of `expected`. A manifest may have hexadecimal digits in upper case.
fn is_hash(expected: &Hash, actual: &Hash) -> bool {
    expected == actual
        || (expected.to_u128().is_none() && expected.to_string().eq_ignore_ascii_case(&actual.to_string()))
}

impl Answer {
    fn text(&self) -> String {
        let lists = [
            ("missing", &self.missing),
            ("different", &self.different),
            ("extra", &self.extra),
        ];
        let mut lines: Vec<String> = lists
            .iter()
            .flat_map(|(what, list)| list.iter().map(move |finding| finding.line(what)))
            .collect();
        let unhashed = match self.unhashed {
            0 => String::new(),
            n => format!("; the manifest has no hash of {n} files"),
        };
        lines.push(format!("good      {}{unhashed}", self.good));
        lines.join("\n")
    }

    /// The error that says how much is wrong, if anything is.
    fn outcome(&self) -> Result<()> {
        let (missing, different, extra) = (self.missing.len(), self.different.len(), self.extra.len());
        let kind = match (missing, different, extra) {
            (0, 0, 0) => return Ok(()),
            (_, 1.., _) => ErrorKind::Corrupt,
            (1.., ..) => ErrorKind::NotFound,
            _ => ErrorKind::Conflict,
        };
        let message = format!(
            "{} is not what {} says: {missing} missing, {different} different, {extra} extra",
            forebay_types::printable(&self.compared_with),
            self.manifest
        );
        Err(CliError::new(kind, message).hint("the list on standard output names each"))
    }
}

impl Finding {
    fn line(&self, what: &str) -> String {
        let object = match &self.object {
            Some(object) => format!("{object}, of "),
            None => String::new(),
        };
        let why = match &self.why {
            Some(why) => format!(": {why}"),
            None => String::new(),
        };
        format!("{what:<9} {object}{}{why}", shown(&self.path))
    }
}
