//! One directory: its page, and what each of its files is.
//!
//! No page tells an object's version, and most tell no exact size; what is listed must be what a later GET answers, or
//! that would be refused as changed. So each file is asked about by a HEAD: a listing of n files is n + 1 requests,
//! [`AT_ONCE`] at a time. 10,000 files on a server 30 ms away take 19 s the first time. Where the page is JSON, with exact
//! size and time, files that it shows unchanged are not asked about again: the next listing is one request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::Utc;
use forebay_types::limits::MAX_WEB_PAGE_BYTES;
use forebay_types::{ErrorKind, printable};
use futures::{StreamExt, TryStreamExt, stream};
use http::header;
use http_body::Body as _;
use object_store::path::Path;
use object_store::{
    Attributes, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, ObjectMeta, Result,
};
use url::Url;

use super::autoindex::{self, Entry, Head, Listing, Told};
use super::request::{self, Follow, Wanted};
use super::{HttpStore, response};
use crate::location::public_url;
use crate::transport::{Failure, collect, status_failure};

/// Files of one listing that are asked about at a time: enough to hide most of a round trip, few enough for a small
/// server, and no more than the budget of connections has free.
const AT_ONCE: usize = 16;
/// Files of JSON listings whose versions are remembered, at most; about 300 bytes each.
const REMEMBERED: usize = 100_000;

/// What a prefix is to a store whose keys are all below one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The store's own URL, or above it: all of it is meant.
    All,
    Below,
    Outside,
}

/// What a name in a directory turned out to be.
pub(super) enum Looked {
    File(ObjectMeta),
    /// Although its link had no slash.
    Directory,
    /// It went meanwhile, or nobody may read it.
    Nothing,
}

/// Versions of files by what JSON listings say of them.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    files: Mutex<HashMap<Path, (Told, ObjectMeta)>>,
}

impl Remembered {
    fn get(&self, key: &Path, told: Told) -> Option<ObjectMeta> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, meta) = files.get(key)?;
        (*then == told).then(|| meta.clone())
    }

    fn put(&self, told: Told, meta: ObjectMeta) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= REMEMBERED {
            files.clear();
        }
        files.insert(meta.location.clone(), (told, meta));
    }
}

impl HttpStore {
    pub(super) fn place(&self, prefix: &Path) -> Place {
        let root = self.address.root();
        if root.prefix_matches(prefix) {
            Place::All
        } else if prefix.prefix_matches(root) {
            Place::Below
        } else {
            Place::Outside
        }
    }

    /// What is right below a prefix. A directory that is not there has nothing in it, but for the store's own URL, which
    /// somebody typed.
    pub(super) async fn level(&self, prefix: &Path) -> Result<ListResult> {
        let mut level = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Extensions::new(),
        };
        let directory = match self.place(prefix) {
            Place::All => self.address.root(),
            Place::Below => prefix,
            Place::Outside => return Ok(level),
        };
        let Some(entries) = self.entries(directory).await? else {
            return Ok(level);
        };
        let (directories, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.directory);
        let below = |entry: Entry| directory.clone().join_name(&entry.name);
        level.common_prefixes = directories.into_iter().map(below).collect();
        let looked = self.look(directory, &files).await?;
        for (entry, looked) in files.into_iter().zip(looked) {
            match looked {
                Looked::File(meta) => level.objects.push(meta),
                Looked::Directory => level.common_prefixes.push(below(entry)),
                Looked::Nothing => {}
            }
        }
        Ok(level)
    }

    /// The names in a directory; `None` if there is none below the store's URL.
    pub(super) async fn entries(&self, directory: &Path) -> Result<Option<Vec<Entry>>> {
        let is_root = directory == self.address.root();
        let listing = match self.page(directory).await {
            Ok(listing) => listing,
            Err(failure) if failure.kind() == ErrorKind::NotFound && !is_root => return Ok(None),
            Err(failure) => {
                let failure = match self.address.of_directory(directory) {
                    // The root's name is known to whoever asked.
                    Some(url) if !is_root => Failure::Listing {
                        url: public_url(&url),
                        why: Box::new(failure),
                    },
                    _ => failure,
                };
                return Err(failure.into_store_error(directory.as_ref()));
            }
        };
        if let Some(first) = &listing.first_left_out {
            self.transport
                .meter()
                .skipped_keys_of_page(first, listing.left_out);
        }
        Ok(Some(listing.entries))
    }

    /// The page of a directory, read.
    async fn page(&self, directory: &Path) -> Result<Listing, Failure> {
        let url = self.address.of_directory(directory);
        let url = url.ok_or_else(|| Failure::NoListing {
            why: "a URL with a query names one object, not a directory".to_owned(),
        })?;
        let auth = self.auth.as_ref();
        let answer =
            request::send(&self.transport, url, auth, &Wanted::listing(), Follow::SameOrigin).await?;
        if !answer.response.status().is_success() {
            return Err(status_failure(answer.response).await);
        }
        let (parts, body) = answer.response.into_parts();
        let coding = response::text(&parts.headers, &header::CONTENT_ENCODING);
        if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Failure::NoListing {
                why: "the server compresses its page although it was asked not to".to_owned(),
            });
        }
        let content_type = response::text(&parts.headers, &header::CONTENT_TYPE).map(str::to_owned);
        let whole =
            body.size_hint().exact().is_some() || parts.headers.contains_key(header::TRANSFER_ENCODING);
        let page = collect(body, MAX_WEB_PAGE_BYTES, "directory page").await?;
        // Its links are relative to the directory that it came from.
        let mut base = answer.url;
        base.set_query(None);
        let base = base.join(".").map_err(|_| Failure::BadUri {
            why: "it has no directory",
        })?;
        let head = Head {
            content_type: content_type.as_deref(),
            whole,
        };
        autoindex::read(&base, head, &page).map_err(|error| not_listed(&error))
    }

    /// Asks about files of a directory: an answer for each.
    pub(super) async fn look(&self, directory: &Path, files: &[Entry]) -> Result<Vec<Looked>> {
        // The caller has one connection; waiting here for more could wait for the caller.
        let more = match &self.budget {
            Some(budget) => budget.try_take(files.len().min(AT_ONCE) - usize::from(!files.is_empty())),
            None => Vec::new(),
        };
        let at_once = if self.budget.is_some() {
            more.len() + 1
        } else {
            AT_ONCE
        };
        stream::iter(0..files.len())
            .map(|n| self.look_at(directory, &files[n]))
            .buffered(at_once)
            .try_collect()
            .await
    }

    async fn look_at(&self, directory: &Path, entry: &Entry) -> Result<Looked> {
        let key = directory.clone().join_name(&entry.name);
        if let Some(meta) = entry.told.and_then(|told| self.remembered.get(&key, told)) {
            return Ok(Looked::File(meta));
        }
        let url = self.url_of(&key)?;
        match self.head_of(&key, &url, entry.told).await {
            Ok(meta) => Ok(Looked::File(meta)),
            Err(Failure::Directory) => Ok(Looked::Directory),
            Err(failure) if is_of_the_file(&failure) => {
                let meter = self.transport.meter();
                meter.unreadable_key(&printable(key.as_ref()), &failure);
                Ok(Looked::Nothing)
            }
            Err(failure) => {
                let url = public_url(&url);
                let why = Box::new(failure);
                Err(Failure::Listing { url, why }.into_store_error(key.as_ref()))
            }
        }
    }

    async fn head_of(&self, key: &Path, url: &Url, told: Option<Told>) -> Result<ObjectMeta, Failure> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let answer = self.head(url, &options).await?;
        let meta = response::head(key, &answer.response)?.meta;
        // What the listing says must be this very state, and any later one must look different to it.
        let seconds = |micros: i64| micros.div_euclid(1_000_000);
        if let Some(told) = told
            && told.size == meta.size
            && seconds(told.modified) == meta.last_modified.timestamp()
            && response::is_settled(answer.response.headers())
        {
            self.remembered.put(told, meta.clone());
        }
        Ok(meta)
    }

    /// A directory as the object that says in a bucket that there is one: only its head.
    pub(super) async fn marker(
        &self,
        location: &Path,
        url: &Url,
        options: &GetOptions,
    ) -> Result<GetResult, Failure> {
        if !options.head {
            return Err(Failure::Directory);
        }
        let status = self.head(url, options).await?.response.status();
        if !status.is_success() {
            return Err(response::plain_status(status));
        }
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::empty().boxed()),
            meta: ObjectMeta {
                location: location.clone(),
                last_modified: chrono::DateTime::<Utc>::UNIX_EPOCH,
                size: 0,
                e_tag: None,
                version: None,
            },
            range: 0..0,
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }
}

/// Whether a failure says nothing of the server or the other files: a link that leads nowhere or in circles, a file that
/// only its owner may read, a page without a length, a name that the server cannot take.
fn is_of_the_file(failure: &Failure) -> bool {
    match failure.kind() {
        ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Unsupported | ErrorKind::Invalid => {
            !matches!(failure, Failure::Tls { .. } | Failure::Connect { .. })
        }
        _ => matches!(failure, Failure::Redirect(_)),
    }
}

fn not_listed(error: &autoindex::NoListing) -> Failure {
    use autoindex::NoListing;
    match error {
        NoListing::Torn => Failure::Malformed {
            what: "directory page",
            why: "it ends in the middle".to_owned(),
        },
        NoListing::TooMany => Failure::NoListing {
            why: error.to_string(),
        },
        NoListing::Type(_) | NoListing::OtherPage | NoListing::OtherJson(_) => Failure::NoListing {
            why: format!(
                "{error}; name its files by their own URLs, or let the server list it (nginx: autoindex on); the page itself is read by `forebay cat`"
            ),
        },
    }
}

/// Adds a name that a path can hold, as it is.
pub(super) trait JoinName {
    fn join_name(self, name: &str) -> Self;
}

impl JoinName for Path {
    fn join_name(self, name: &str) -> Self {
        // `Path::join` would encode some of the characters. What `autoindex` gives can be parsed.
        let key = if self.is_root() {
            name.to_owned()
        } else {
            format!("{self}/{name}")
        };
        Self::parse(&key).unwrap_or(self)
    }
}
