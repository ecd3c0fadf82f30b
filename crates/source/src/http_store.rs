//! A web server as an object store.
//!
//! Every object is a URL: the one that was typed (with its query, which may be a signature), or names below it.
//! A read is one GET; what comes back decides how good the server is: 206 with a Content-Range is a range, 200 is
//! the whole object ([`WholeBody`]), from which the wanted bytes are cut if need be. Redirects are followed, but
//! credentials stay with the host they are for. Listing and writing are not possible.

mod request;
mod response;

use std::fmt;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use crate::location::public_url;
use crate::transport::{Failure, Transport};
use request::Auth;

/// In the extensions of a `GetResult`: the server does not serve ranges and answered a range request with the whole
/// object, which is what the payload holds. Readers must take everything from this one stream.
#[derive(Clone, Copy, Debug)]
pub struct WholeBody;

/// A web server as an object store: one URL, or the names below one that ends in `/`. Reading only.
#[derive(Clone)]
pub struct HttpStore {
    transport: Transport,
    /// Never with user info.
    base: Url,
    /// Whether `base` is a directory that names are added to, or the one object there is.
    directory: bool,
    auth: Option<Auth>,
}

impl HttpStore {
    /// The store for `url`: a directory if its path ends in `/`, else the single object [`Self::object_path`].
    pub fn new(mut url: Url, transport: Transport) -> Self {
        let auth = Auth::take_from(&mut url);
        url.set_fragment(None);
        let directory = url.path().ends_with('/') && url.query().is_none();
        Self {
            transport,
            base: url,
            directory,
            auth,
        }
    }

    /// The path under which the URL itself is found.
    pub fn object_path(&self) -> Path {
        if self.directory {
            Path::ROOT
        } else {
            Path::from(self.base.path())
        }
    }

    /// Scheme, host and port.
    pub fn origin_url(&self) -> String {
        let mut url = self.base.clone();
        url.set_path("");
        url.set_query(None);
        // The parser gives an empty path its slash back.
        public_url(&url).trim_end_matches('/').to_owned()
    }

    /// Whose eyes see what is read here: user and query, of which each may mean other bytes under the same path. To be
    /// hashed, not shown; empty without either.
    pub(crate) fn scope(&self) -> String {
        let user = self.auth.as_ref().map(Auth::scope);
        match (user, self.base.query()) {
            (None, None) => String::new(),
            (user, query) => format!("{}?{}", user.unwrap_or_default(), query.unwrap_or_default()),
        }
    }

    fn url_of(&self, location: &Path) -> Result<Url> {
        if self.directory {
            let mut url = self.base.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty();
                for part in location.parts() {
                    segments.push(part.as_ref());
                }
            }
            Ok(url)
        } else if *location == self.object_path() {
            Ok(self.base.clone())
        } else {
            let source = "this source is a single URL".into();
            Err(Error::NotFound {
                path: location.to_string(),
                source,
            })
        }
    }

    fn not_possible<T>(&self, what: &'static str) -> Result<T> {
        let why = format!(
            "{what} is not possible on a web server ({})",
            public_url(&self.base)
        );
        Err(Error::NotSupported { source: why.into() })
    }
}

#[async_trait]
impl ObjectStore for HttpStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let url = self.url_of(location)?;
        let fail = |failure: Failure| failure.into_store_error(location.as_ref());
        if options.head {
            let head = request::Wanted::of(&options, http::Method::HEAD);
            let send = |wanted| {
                let url = url.clone();
                async move { request::send(&self.transport, url, self.auth.as_ref(), &wanted).await }
            };
            // A presigned URL is signed for GET alone, and some servers know no HEAD: one byte tells as much.
            let refused = |status: u16| matches!(status, 400 | 403 | 405 | 501);
            let mut answer = send(head).await;
            if match &answer {
                Ok(answer) => refused(answer.status().as_u16()),
                Err(Failure::Status { status, .. }) => refused(*status),
                Err(_) => false,
            } {
                answer = send(request::Wanted::first_byte(&options)).await;
            }
            if let Err(Failure::Status { status: 416, .. }) = answer {
                // An object without a first byte is empty: its plain GET costs nothing.
                let whole = GetOptions {
                    head: false,
                    ..options.clone()
                };
                answer = send(request::Wanted::of(&whole, http::Method::GET)).await;
            }
            let answer = answer.map_err(fail)?;
            return response::head(location, &answer).map_err(fail);
        }
        let wanted = request::Wanted::of(&options, http::Method::GET);
        let answer = request::send(&self.transport, url, self.auth.as_ref(), &wanted)
            .await
            .map_err(fail)?;
        response::body(location, &options, answer).await.map_err(fail)
    }

    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let refused = self.not_possible("listing");
        futures::stream::once(async { refused }).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        self.not_possible("listing")
    }

    async fn put_opts(&self, _location: &Path, _payload: PutPayload, _opts: PutOptions) -> Result<PutResult> {
        self.not_possible("writing")
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.not_possible("writing")
    }

    fn delete_stream(
        &self,
        _locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let refused = self.not_possible("deleting");
        futures::stream::once(async { refused }).boxed()
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        self.not_possible("copying")
    }
}

impl fmt::Display for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&public_url(&self.base))
    }
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpStore({self})")
    }
}
