//! `forebay put`: a file, or what comes from standard input, becomes an object.
//!
//! Up to [`SINGLE`] bytes are one request. More is a multipart upload: [`pieces`] reads the input on a thread of its
//! own, each part is a task, and how many are under way is bounded by the memory budget. A failure or an interrupt
//! aborts the upload, so that the store keeps no parts that nobody sees and somebody pays for.

mod pieces;

use std::collections::VecDeque;
use std::time::Duration;

use forebay_source::{Fault, Location, Source};
use forebay_types::{ByteSize, Clock, ErrorKind, SystemClock};
use indicatif::ProgressBar;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult};
use serde::Serialize;
use tokio::task::JoinSet;

use self::pieces::Input;
use crate::args::PutArgs;
use crate::exit::{CliError, Result, store_text};
use crate::progress;
use crate::session::{Session, interrupted};

/// Largest object that is stored by one request: below it, beginning and ending an upload costs more than parallel
/// parts win.
pub(crate) const SINGLE: u64 = ByteSize::mib(16).bytes();

/// Parts under way at most: four connections fill most uplinks, and each holds its part in memory.
const PARTS_AT_ONCE: u64 = 4;

/// How long an abort may take before we leave the parts to the store's own clean-up.
const ABORT: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct Answer {
    url: String,
    bytes: u64,
    seconds: f64,
    etag: Option<String>,
}

pub(crate) fn run(session: &Session, args: &PutArgs) -> Result<()> {
    let clock = SystemClock::new();
    if let location @ Location::Rqbit { .. } = args.url.parse()? {
        let message = format!("{location}: a file cannot be put into a torrent client");
        return Err(CliError::new(ErrorKind::Unsupported, message).hint(
            "a torrent is made of the files on the client's disk: put them there, and add them to rqbit",
        ));
    }
    let input = Input::open(&args.src)?;
    let (location, source) = session.open(&args.url)?;
    let place = Place::new(&location, source, &input, args.no_clobber)?;
    let bar = progress::bytes(session.output, input.size().unwrap_or(0), &place.url);
    let budget = session.engine.budget().total();
    // An interrupt is caught below, where the upload can be aborted.
    let (result, bytes) = session.block_on_uncaught(place.store(input, budget, &bar))?;
    bar.finish_and_clear();
    let seconds = clock.now().as_secs_f64();
    tracing::info!(url = %place.url, bytes, seconds, "stored");
    let answer = Answer {
        url: place.url,
        bytes,
        seconds,
        etag: result.e_tag,
    };
    session.output.answer(&answer, String::new)
}

/// Where the object goes.
struct Place {
    source: Source,
    path: Path,
    /// Its URL as it may be shown.
    url: String,
    no_clobber: bool,
}

impl Place {
    fn new(location: &Location, source: Source, input: &Input, no_clobber: bool) -> Result<Self> {
        if !source.is_prefix {
            let (path, url) = (source.path.clone(), location.to_string());
            return Ok(Self {
                source,
                path,
                url,
                no_clobber,
            });
        }
        let name = input.name().ok_or_else(|| {
            CliError::usage(format!(
                "{location} names a prefix, and standard input has no name to add to it"
            ))
            .hint("write the whole name of the object")
        })?;
        let key = if source.path.is_root() {
            name.to_owned()
        } else {
            format!("{}/{name}", source.path)
        };
        let unfit = |why: String| {
            let name = forebay_types::printable(name);
            CliError::usage(format!("'{name}' cannot be the name of an object: {why}"))
                .hint("name it in the URL")
        };
        let path = Path::parse(&key).map_err(|e| unfit(e.to_string()))?;
        let url = format!(
            "{}/{}",
            location.to_string().trim_end_matches('/'),
            forebay_types::printable(name)
        );
        Ok(Self {
            source,
            path,
            url,
            no_clobber,
        })
    }

    /// Stores all there is; nothing stays in the store if that fails or is interrupted.
    async fn store(&self, input: Input, budget: u64, bar: &ProgressBar) -> Result<(PutResult, u64)> {
        let mut upload = Upload {
            place: self,
            multipart: None,
            parts: JoinSet::new(),
            budget,
            bar,
        };
        let outcome = tokio::select! {
            outcome = upload.run(input) => outcome,
            () = interrupted() => Err(CliError::new(ErrorKind::Cancelled, "interrupted")),
        };
        if outcome.is_err() {
            upload.abort().await;
        }
        outcome
    }

    async fn put_whole(&self, payload: PutPayload) -> Result<PutResult> {
        if !self.no_clobber {
            return self
                .source
                .store
                .put(&self.path, payload)
                .await
                .map_err(|e| self.failed(&e));
        }
        let options = PutOptions::from(PutMode::Create);
        match self
            .source
            .store
            .put_opts(&self.path, payload.clone(), options)
            .await
        {
            Err(error) if cannot_create_only(&error) => {
                tracing::warn!(url = %self.url, why = store_text(&error), "the store cannot create only: looked first instead");
                self.check_free().await?;
                self.source
                    .store
                    .put(&self.path, payload)
                    .await
                    .map_err(|e| self.failed(&e))
            }
            outcome => outcome.map_err(|e| self.failed(&e)),
        }
    }

    /// Refuses to go on if there is something that must stay.
    async fn check_free(&self) -> Result<()> {
        if !self.no_clobber {
            return Ok(());
        }
        match self.source.store.head(&self.path).await {
            Ok(_) => Err(self.exists()),
            Err(error) if Fault::of(&error).kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &object_store::Error) -> CliError {
        match error {
            object_store::Error::AlreadyExists { .. } => self.exists(),
            error => CliError::store(&self.url, error),
        }
    }

    fn exists(&self) -> CliError {
        CliError::new(ErrorKind::Conflict, format!("{} exists already", self.url))
            .hint("leave out --no-clobber to replace it")
    }
}

/// An upload under way.
struct Upload<'a> {
    place: &'a Place,
    /// Once the store has begun it.
    multipart: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<(u64, object_store::Result<()>)>,
    budget: u64,
    bar: &'a ProgressBar,
}

impl Upload<'_> {
    async fn run(&mut self, input: Input) -> Result<(PutResult, u64)> {
        let mut pieces = input.pieces()?;
        // How much there is shows only when it ends, or goes on.
        let (mut held, mut bytes) = (VecDeque::new(), 0);
        while bytes <= SINGLE {
            let Some(piece) = pieces.next().await? else {
                let result = self.place.put_whole(held.into_iter().collect()).await?;
                self.bar.inc(bytes);
                return Ok((result, bytes));
            };
            bytes += piece.len() as u64;
            held.push_back(piece);
        }
        // An upload in parts has no create-only form that all stores share: we look before it and again before it is
        // completed, which leaves a moment in which somebody else's object can be replaced.
        self.place.check_free().await?;
        bytes = 0;
        let begun = self.place.source.store.put_multipart(&self.place.path).await;
        let multipart = self.multipart.insert(begun.map_err(|e| self.place.failed(&e))?);
        while let Some(piece) = match held.pop_front() {
            Some(piece) => Some(piece),
            None => pieces.next().await?,
        } {
            // One more is being read and one waits to be sent.
            let at_once = (self.budget / pieces.part_size().max(1))
                .saturating_sub(2)
                .clamp(1, PARTS_AT_ONCE);
            while self.parts.len() as u64 >= at_once {
                bytes += part_done(&mut self.parts, self.place, self.bar).await?;
            }
            let len = piece.len() as u64;
            let part = multipart.put_part(PutPayload::from_bytes(piece));
            self.parts.spawn(async move { (len, part.await) });
        }
        while !self.parts.is_empty() {
            bytes += part_done(&mut self.parts, self.place, self.bar).await?;
        }
        self.place.check_free().await?;
        let result = multipart.complete().await.map_err(|e| self.place.failed(&e))?;
        Ok((result, bytes))
    }

    /// Leaves nothing behind, as far as the store lets us.
    async fn abort(&mut self) {
        // A part that arrives after the abort would stay in the store.
        self.parts.shutdown().await;
        let Some(multipart) = &mut self.multipart else {
            return;
        };
        let url = &self.place.url;
        match tokio::time::timeout(ABORT, multipart.abort()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%url, why = store_text(&error), "the upload was not aborted: parts may stay in the store");
            }
            Err(_) => {
                tracing::warn!(%url, "no answer to the abort of the upload: parts may stay in the store");
            }
        }
    }
}

/// Waits for one part; tells its bytes.
async fn part_done(
    parts: &mut JoinSet<(u64, object_store::Result<()>)>,
    place: &Place,
    bar: &ProgressBar,
) -> Result<u64> {
    let Some(done) = parts.join_next().await else {
        return Ok(0);
    };
    let (len, outcome) = done.map_err(|e| CliError::new(ErrorKind::Internal, e.to_string()))?;
    outcome.map_err(|e| place.failed(&e))?;
    bar.inc(len);
    Ok(len)
}

/// Whether the store says that it does not know how to create only.
fn cannot_create_only(error: &object_store::Error) -> bool {
    let fault = Fault::of(error);
    fault.kind == ErrorKind::Unsupported || fault.status == Some(501)
}
