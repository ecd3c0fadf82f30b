//! `forebay ls`: names, sizes and times, printed as the pages of the listing come.

mod entry;

use std::io::{self, BufWriter, StdoutLock, Write};

use forebay_source::{Fault, Location, Scheme, Source};
use forebay_types::ErrorKind;
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};

pub(super) use self::entry::modified;
use self::entry::{Entry, Names};
use crate::args::LsArgs;
use crate::exit::{CliError, Result};
use crate::output;
use crate::session::Session;

/// Entries printed between two flushes: a page of most stores, so that names appear as soon as they are known.
const PAGE: usize = 1000;

pub(crate) fn run(session: &Session, args: &LsArgs) -> Result<()> {
    session.block_on(async {
        let (location, source) = session.open(&args.url)?;
        let mut lines = Lines::new(session.output.json, &location);
        let listed = list(&location, &source, args.recursive, &mut lines).await;
        // Said even if the listing broke off: what is missing is missing.
        let skipped = source.skipped_names();
        if skipped > 0 {
            tracing::warn!(
                skipped,
                "keys are left out: no path can hold them (empty parts, '.', '..', controls), or nothing can be read there"
            );
        }
        listed?;
        // The whole of a store may be empty, and a web server says itself what it does not have; another name that
        // nothing has does not exist.
        if lines.count == 0 && !source.path.is_root() && location.scheme() != Scheme::Http {
            let message = format!("{location}: nothing of that name or below it");
            return Err(CliError::new(ErrorKind::NotFound, message));
        }
        lines.end(skipped)
    })
}

async fn list(location: &Location, source: &Source, recursive: bool, lines: &mut Lines<'_>) -> Result<()> {
    let failed = |error: &object_store::Error| CliError::store(&location.to_string(), error);
    let names = Names::below(&source.path);
    if !source.is_prefix {
        match source.store.head(&source.path).await {
            Ok(meta) => return lines.print(&[Entry::object(&meta, &Names::of_parent(&source.path))]),
            // No such object: what is below the name is meant.
            Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    if !recursive {
        let level = source
            .store
            .list_with_delimiter(Some(&source.path))
            .await
            .map_err(|e| failed(&e))?;
        for directories in level.common_prefixes.chunks(PAGE) {
            let entries: Vec<Entry> = directories
                .iter()
                .map(|path| Entry::directory(path, &names))
                .collect();
            lines.print(&entries)?;
        }
        for objects in level.objects.chunks(PAGE) {
            lines.print_objects(objects.iter(), &names)?;
        }
        return Ok(());
    }
    let mut pages = source.store.list(Some(&source.path)).ready_chunks(PAGE);
    while let Some(page) = pages.next().await {
        let (good, bad): (Vec<_>, Vec<_>) = page.into_iter().partition(object_store::Result::is_ok);
        lines.print_objects(good.iter().flatten(), &names)?;
        if let Some(Err(error)) = bad.first() {
            return Err(failed(error));
        }
    }
    Ok(())
}

/// The answer, written while it is found out: a listing may be longer than memory.
struct Lines<'a> {
    out: BufWriter<StdoutLock<'a>>,
    json: bool,
    url: String,
    count: u64,
}

impl Lines<'_> {
    fn new(json: bool, location: &Location) -> Self {
        let out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        Self {
            out,
            json,
            url: location.to_string(),
            count: 0,
        }
    }

    fn print_objects<'m>(
        &mut self,
        metas: impl Iterator<Item = &'m ObjectMeta>,
        names: &Names<'_>,
    ) -> Result<()> {
        let entries: Vec<Entry> = metas.map(|meta| Entry::object(meta, names)).collect();
        self.print(&entries)
    }

    fn print(&mut self, entries: &[Entry]) -> Result<()> {
        for entry in entries {
            let line = if self.json {
                let before = if self.count == 0 {
                    self.opening()?
                } else {
                    ",".to_owned()
                };
                format!("{before}{}", output::json(entry)?)
            } else {
                format!("{}\n", entry.line())
            };
            self.write(&line)?;
            self.count += 1;
        }
        self.out.flush().map_err(|e| CliError::stdout(&e))
    }

    fn opening(&self) -> Result<String> {
        Ok(format!("{{\"url\":{},\"entries\":[", output::json(&self.url)?))
    }

    fn end(&mut self, skipped: u64) -> Result<()> {
        if self.json {
            let before = if self.count == 0 {
                self.opening()?
            } else {
                String::new()
            };
            self.write(&format!("{before}],\"skipped\":{skipped}}}\n"))?;
        }
        self.out.flush().map_err(|e| CliError::stdout(&e))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|e| CliError::stdout(&e))
    }
}
