//! `forebay stat`: what there is to know of an object without reading it.

use forebay_source::{Location, Source};
use forebay_types::{ByteRange, ByteSize, Version, printable};
use object_store::{Attribute, GetOptions, GetResult};
use serde::Serialize;

use crate::args::UrlArg;
use crate::commands::ls::modified;
use crate::exit::{CliError, Result};
use crate::session::Session;

#[derive(Debug, Serialize)]
struct Answer {
    url: String,
    size: u64,
    etag: Option<String>,
    modified: Option<String>,
    content_type: Option<String>,
    /// Who serves it: endpoint with bucket, host or directory.
    origin: String,
    /// A name for the credentials it was seen with.
    scope: String,
    key: String,
    /// What tells this version from the next; null if nothing but the size does.
    version: Option<String>,
    /// Requests that reading it takes, nothing going wrong.
    parts: u64,
}

pub(crate) fn run(session: &Session, args: &UrlArg) -> Result<()> {
    let answer = session.block_on(async {
        let (location, source) = session.open(&args.url)?;
        // A web server's URL may end in / and be an object all the same.
        if source.is_prefix && !matches!(location, Location::Web(_)) {
            let message = format!("{location} names a prefix or directory, not an object");
            return Err(CliError::usage(message).hint("`forebay ls` shows what is below it"));
        }
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let head = source.store.get_opts(&source.path, options).await;
        let head = head.map_err(|e| CliError::store(&location.to_string(), &e))?;
        Ok(describe(session, &location, &source, &head))
    })?;
    session.output.answer(&answer, || answer.text())
}

fn describe(session: &Session, location: &Location, source: &Source, head: &GetResult) -> Answer {
    let id = source.object_id(&head.meta);
    Answer {
        url: location.to_string(),
        size: id.size,
        etag: head.meta.e_tag.clone(),
        modified: modified(&head.meta),
        content_type: head
            .attributes
            .get(&Attribute::ContentType)
            .map(|value| value.as_ref().to_owned()),
        origin: id.origin.to_string(),
        scope: id.origin.scope().to_owned(),
        key: id.key.to_string(),
        version: (id.version != Version::Unknown).then(|| id.version.to_string()),
        parts: parts(session, location, source, id.size),
    }
}

/// As a read does it that does not know the size yet: a first request, and the rest cut.
fn parts(session: &Session, location: &Location, source: &Source, size: u64) -> u64 {
    let config = session.settings.range_config(location.scheme(), &source.profile);
    let first = forebay_range::first_part(ByteRange::new(0, u64::MAX), &config);
    let rest = ByteRange::new(first.end().min(size), size);
    1 + forebay_range::parts(rest, &config).count() as u64
}

impl Answer {
    fn text(&self) -> String {
        let dash = || "-".to_owned();
        let size = match ByteSize(self.size) {
            short if self.size >= 1024 => format!("{} ({short:#})", self.size),
            _ => self.size.to_string(),
        };
        let mut lines = vec![
            ("url", self.url.clone()),
            ("size", size),
            ("etag", self.etag.clone().unwrap_or_else(dash)),
            ("modified", self.modified.clone().unwrap_or_else(dash)),
            ("content type", self.content_type.clone().unwrap_or_else(dash)),
            ("origin", self.origin.clone()),
            ("key", self.key.clone()),
            ("version", self.version.clone().unwrap_or_else(dash)),
            ("parts", self.parts.to_string()),
        ];
        if !self.scope.is_empty() {
            lines.insert(6, ("scope", self.scope.clone()));
        }
        let lines: Vec<String> = lines
            .iter()
            .map(|(name, value)| format!("{name:<13} {}", printable(value)))
            .collect();
        lines.join("\n")
    }
}
