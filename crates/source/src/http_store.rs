//! A web server as an object store.
//!
//! A key is a path from the server's root, the URL that was typed (with its query, which may be a signature) is one of
//! them, and what is below it can be named, too ([`address`]).
//! A read is one GET; what comes back decides how good the server is: 206 with a Content-Range is a range, 200 is
//! the whole object ([`WholeBody`]), from which the wanted bytes are cut if need be. Redirects are followed, but
//! credentials stay with the host they are for; one that adds a slash says that there is a directory, and no object.
//!
//! A listing is the page that the server makes of a directory: [`autoindex`] reads names from it, [`list`] asks for each
//! file's size and version, [`walk`] goes down into directories. A key that ends in a slash is a directory's marker, as in
//! a bucket: it has a head, and no bytes. Writing is not possible.

mod address;
mod autoindex;
mod list;
mod request;
mod response;
mod walk;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetResult, ListResult, ObjectMeta, Result};
use url::Url;

use crate::limit::ConnectionBudget;
use crate::location::public_url;
use crate::read_only::ReadSource;
use crate::transport::{Auth, Failure, Transport};
use address::Address;
use list::Remembered;
use request::{Answer, Follow, Wanted};

/// In the extensions of a `GetResult`: the server does not serve ranges and answered a range request with the whole
/// object, which is what the payload holds. Readers must take everything from this one stream.
#[derive(Clone, Copy, Debug)]
pub struct WholeBody;

/// A web server as an object store: one URL, and what is below it. Reading only.
#[derive(Clone)]
pub struct HttpStore {
    transport: Transport,
    address: Address,
    auth: Option<Auth>,
    /// Whose connections listings may use besides their own.
    budget: Option<ConnectionBudget>,
    remembered: Arc<Remembered>,
}

impl HttpStore {
    /// The store for `url`, which is found at [`Self::object_path`].
    pub fn new(mut url: Url, transport: Transport) -> Self {
        let auth = Auth::take_from(&mut url);
        Self {
            transport,
            address: Address::new(url),
            auth,
            budget: None,
            remembered: Arc::default(),
        }
    }

    /// With the budget that the store's callers take their own connections from: listings use of it what is free.
    #[must_use]
    pub fn with_budget(mut self, budget: ConnectionBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The path under which the URL itself is found, and all that is below it.
    pub fn object_path(&self) -> Path {
        self.address.root().clone()
    }

    /// Scheme, host and port.
    pub fn origin_url(&self) -> String {
        let mut url = self.address.base().clone();
        url.set_path("");
        url.set_query(None);
        // The parser gives an empty path its slash back.
        public_url(&url).trim_end_matches('/').to_owned()
    }

    /// Whose eyes see what is read here: user and query, of which each may mean other bytes under the same path, and the
    /// path if its key is not its own. To be hashed, not shown; empty without any.
    pub(crate) fn scope(&self) -> String {
        let user = self.auth.as_ref().map(Auth::scope);
        let query = self.address.base().query();
        let path = self.address.inexact();
        if user.is_none() && query.is_none() && path.is_none() {
            return String::new();
        }
        let path = path.unwrap_or_default();
        format!("{}?{}{path}", user.unwrap_or_default(), query.unwrap_or_default())
    }

    /// Names that listings left out so far, of all stores of the same transport.
    pub(crate) fn skipped(&self) -> u64 {
        self.transport.meter().skipped_keys()
    }

    /// Whether the URL is a directory that the server lists.
    pub(crate) async fn check_listing(&self) -> Result<()> {
        self.entries(self.address.root()).await.map(|_| ())
    }

    fn url_of(&self, location: &Path) -> Result<Url> {
        self.address.of(location).ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: format!("it is not below {self}").into(),
        })
    }

    /// What is known of an object without its bytes.
    async fn head(&self, url: &Url, options: &GetOptions) -> Result<Answer, Failure> {
        let send = |wanted| {
            let url = url.clone();
            async move {
                request::send(
                    &self.transport,
                    url,
                    self.auth.as_ref(),
                    &wanted,
                    Follow::Anywhere,
                )
                .await
            }
        };
        // A presigned URL is signed for GET alone, and some servers know no HEAD: one byte tells as much.
        let refused = |status: u16| matches!(status, 400 | 403 | 405 | 501);
        let mut answer = send(Wanted::of(options, http::Method::HEAD)).await;
        if match &answer {
            Ok(answer) => refused(answer.response.status().as_u16()),
            Err(Failure::Status { status, .. }) => refused(*status),
            Err(_) => false,
        } {
            answer = send(Wanted::first_byte(options)).await;
        }
        if let Err(Failure::Status { status: 416, .. }) = answer {
            // An object without a first byte is empty: its plain GET costs nothing.
            let whole = GetOptions {
                head: false,
                ..options.clone()
            };
            answer = send(Wanted::of(&whole, http::Method::GET)).await;
        }
        answer
    }
}

#[async_trait]
impl ReadSource for HttpStore {
    const WHERE: &'static str = "on a web server";

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let url = self.url_of(location)?;
        let fail = |failure: Failure| failure.into_store_error(location.as_ref());
        if location.as_ref().ends_with('/') {
            return self.marker(location, &url, &options).await.map_err(fail);
        }
        if options.head {
            let answer = self.head(&url, &options).await.map_err(fail)?;
            return response::head(location, &answer.response).map_err(fail);
        }
        let wanted = Wanted::of(&options, http::Method::GET);
        let auth = self.auth.as_ref();
        let answer = request::send(&self.transport, url, auth, &wanted, Follow::Anywhere)
            .await
            .map_err(fail)?;
        response::body(location, &options, answer.response)
            .await
            .map_err(fail)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        walk::below(self.clone(), prefix.cloned().unwrap_or_default()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.level(&prefix.cloned().unwrap_or_default()).await
    }
}

impl fmt::Display for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&public_url(self.address.base()))
    }
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpStore({self})")
    }
}
