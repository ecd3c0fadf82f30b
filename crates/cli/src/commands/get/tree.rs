//! All objects below a prefix.

use std::path::{Component, Path as FilePath, PathBuf};

use forebay_range::Target;
use forebay_source::{Location, Source};
use forebay_types::{ErrorKind, RangeSpec};
use futures::StreamExt;
use object_store::ObjectMeta;

use super::{Directory, Report};
use crate::args::GetArgs;
use crate::commands::below;
use crate::door::Door;
use crate::exit::{CliError, Result};
use crate::parallel;
use crate::progress;
use crate::session::Session;

pub(crate) async fn get(
    session: &Session,
    location: &Location,
    source: &Source,
    args: &GetArgs,
) -> Result<Report> {
    if args.range.is_some() {
        return Err(CliError::usage(
            "--range is for one object, not for all below a prefix",
        ));
    }
    if args.dest.as_deref() == Some("-") {
        return Err(CliError::usage("many objects cannot go to standard output").hint("name a directory"));
    }
    let listing = below::listing(location, source).await?;
    let dest = FilePath::new(args.dest.as_deref().unwrap_or("."));
    let directory = Directory::create(dest)?;
    let bar = progress::items(session.output, 0, "objects");
    let door = session.door(source.profile.cached);
    let jobs = listing.map(|meta| {
        let meta = meta?;
        bar.inc_length(1);
        let target = session
            .target_at(location.scheme(), source, meta.location.clone())
            .known(&meta);
        Ok(One {
            name: file_name(source, &meta)?,
            target,
            door: door.clone(),
            directory: directory.clone(),
            no_clobber: args.no_clobber,
        }
        .fetch())
    });
    let mut report = Report::new(&dest.to_string_lossy(), 0, 0);
    parallel::for_each(jobs, below::at_a_time(session, location.scheme()), |fetched| {
        bar.inc(1);
        match fetched {
            Some(bytes) => {
                report.objects += 1;
                report.bytes += bytes;
            }
            None => report.skipped += 1,
        }
    })
    .await?;
    bar.finish_and_clear();
    report.skipped += source.skipped_names();
    Ok(report)
}

/// One object of the tree, on its way into a file.
struct One {
    door: Door,
    target: Target,
    directory: Directory,
    name: PathBuf,
    no_clobber: bool,
}

impl One {
    /// Tells its length; `None` if a file of its name exists and is to stay.
    async fn fetch(self) -> Result<Option<u64>> {
        if self.no_clobber && self.directory.has(&self.name) {
            return Ok(None);
        }
        let opened = self.door.open(self.target, RangeSpec::From(0)).await?;
        let len = opened.len();
        let staged = self.directory.stage(&self.name, len)?;
        let sink = staged.sink(indicatif::ProgressBar::hidden());
        opened.into_sink(sink).await.map_err(|e| staged.explain(e))?;
        staged.finish(self.no_clobber)?;
        Ok(Some(len))
    }
}

/// The object's name below the prefix, as a path that stays below the destination.
fn file_name(source: &Source, meta: &ObjectMeta) -> Result<PathBuf> {
    let key = meta.location.as_ref();
    let below = key
        .strip_prefix(source.path.as_ref())
        .unwrap_or(key)
        .trim_start_matches('/');
    // The prefix itself is an object too.
    let below = if below.is_empty() {
        meta.location.filename().unwrap_or_default()
    } else {
        below
    };
    let path = PathBuf::from(below);
    let plain = !below.is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)));
    if plain {
        return Ok(path);
    }
    let key = forebay_types::printable(key);
    Err(CliError::new(
        ErrorKind::Invalid,
        format!("the key '{key}' cannot be a path below the destination"),
    ))
}
