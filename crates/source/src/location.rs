//! URLs as people type them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use forebay_types::{limits::MAX_KEY_BYTES, printable};
use percent_encoding::percent_decode_str;
use url::Url;

/// The kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A web server.
    Http,
    /// Local files through the page cache.
    File,
    /// Local files past it.
    Direct,
    /// A torrent client.
    Rqbit,
}

/// What a URL means, before anything is opened.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// `s3://bucket/key`, `gs://bucket/key`, `az://container/key`. The key is taken as it stands, not
    /// percent-decoded, as all S3 tools do.
    Bucket {
        /// Which service.
        scheme: Scheme,
        /// Bucket or container.
        bucket: String,
        /// Key or prefix; empty means the whole bucket. A final `/` says that a prefix is meant.
        key: String,
    },
    /// `http://…` or `https://…`, with all that it has: user info and query may be secrets.
    Web(Url),
    /// `file:///path` (percent-decoded) or a plain path (taken as it stands).
    File(PathBuf),
    /// `direct:///path` (percent-decoded): the same files, past the page cache.
    Direct(PathBuf),
    /// `rqbit://host:port/torrent/file` (or `rqbits://`, over TLS).
    Rqbit {
        /// The client's own URL, `http://host:port/`, with user info if it was typed: that may be a secret.
        api: Url,
        /// What is below it, taken as it stands: nothing for all torrents, a torrent by its shown name or its info hash,
        /// a file in it. A final `/` says that all below it is meant.
        path: String,
    },
}

/// Why a URL could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// A scheme that no source has.
    #[error(
        "'{scheme}://' is not a known kind of source; known are s3, gs, az, http, https, file, direct, rqbit, rqbits, and plain paths"
    )]
    UnknownScheme {
        /// What was typed.
        scheme: String,
    },
    /// No bucket in a bucket URL.
    #[error("'{url}' names no bucket; write {scheme}://BUCKET/KEY")]
    NoBucket {
        /// What was typed.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A bucket name that cannot be one.
    #[error("'{bucket}' cannot be a bucket's name")]
    BadBucket {
        /// What was typed.
        bucket: String,
    },
    /// A key that we cannot address.
    #[error("the key '{key}' cannot be addressed: {why}")]
    BadKey {
        /// What was typed.
        key: String,
        /// Why.
        why: String,
    },
    /// A malformed URL.
    #[error("'{url}' is not a URL: {why}")]
    Malformed {
        /// What was typed, without secrets.
        url: String,
        /// Why.
        why: String,
    },
    /// Nothing at all.
    #[error("the URL is empty")]
    Empty,
}

impl Location {
    /// Its kind.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Bucket { scheme, .. } => *scheme,
            Self::Web(_) => Scheme::Http,
            Self::File(_) => Scheme::File,
            Self::Direct(_) => Scheme::Direct,
            Self::Rqbit { .. } => Scheme::Rqbit,
        }
    }

    /// Whether the URL was written with a final `/`, which says that all below it is meant.
    pub fn is_prefix(&self) -> bool {
        match self {
            Self::Bucket { key, .. } | Self::Rqbit { path: key, .. } => key.is_empty() || key.ends_with('/'),
            // A query is for one object: it may be a signature.
            Self::Web(url) => url.path().ends_with('/') && url.query().is_none(),
            Self::File(path) | Self::Direct(path) => path.as_os_str().as_encoded_bytes().ends_with(b"/"),
        }
    }

    /// The last part of its name, as a file would be called that it is fetched into.
    pub fn file_name(&self) -> Option<String> {
        let name = match self {
            Self::Bucket { key, .. } | Self::Rqbit { path: key, .. } => {
                key.rsplit('/').next().unwrap_or_default().to_owned()
            }
            Self::Web(url) => {
                let last = url.path_segments()?.next_back()?;
                percent_decode_str(last).decode_utf8().ok()?.into_owned()
            }
            Self::File(path) | Self::Direct(path) => path.file_name()?.to_str()?.to_owned(),
        };
        let usable = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
        usable.then_some(name)
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::File(text.into()));
        };
        if !scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            || scheme.is_empty()
        {
            return Ok(Self::File(text.into()));
        }
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket(Scheme::S3, scheme, rest),
            "gs" | "gcs" => bucket(Scheme::Gcs, scheme, rest),
            "az" | "azure" => bucket(Scheme::Azure, scheme, rest),
            "http" | "https" => {
                let url = Url::parse(text).map_err(|e| LocationError::Malformed {
                    url: without_secrets(text),
                    why: e.to_string(),
                })?;
                Ok(Self::Web(url))
            }
            "rqbit" => rqbit("http", text, rest),
            "rqbits" => rqbit("https", text, rest),
            "file" => file(text, rest).map(Self::File),
            "direct" => file(text, rest).map(Self::Direct),
            _ => Err(LocationError::UnknownScheme {
                scheme: printable(scheme).into_owned(),
            }),
        }
    }
}

fn bucket(scheme: Scheme, typed: &str, rest: &str) -> Result<Location, LocationError> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(LocationError::NoBucket {
            url: printable(&format!("{typed}://{rest}")).into_owned(),
            scheme: typed.to_owned(),
        });
    }
    // Not S3's whole naming rules (other servers allow more), only what could change the meaning of a URL.
    let harmless = bucket
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$'));
    if !harmless || bucket.starts_with('.') {
        return Err(LocationError::BadBucket {
            bucket: printable(bucket).into_owned(),
        });
    }
    if key.len() > MAX_KEY_BYTES {
        let key: String = key.chars().take(40).collect();
        return Err(LocationError::BadKey {
            key: format!("{}…", printable(&key)),
            why: format!("it is longer than {MAX_KEY_BYTES} bytes"),
        });
    }
    Ok(Location::Bucket {
        scheme,
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

/// The port that rqbit listens on unless it is told otherwise.
const RQBIT_PORT: u16 = 3030;

fn rqbit(http: &str, text: &str, rest: &str) -> Result<Location, LocationError> {
    let malformed = |why: &str| LocationError::Malformed {
        url: without_secrets(text),
        why: why.to_owned(),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(malformed("it names no host; write rqbit://HOST:PORT/"));
    }
    let mut api = Url::parse(&format!("{http}://{authority}/")).map_err(|e| malformed(&e.to_string()))?;
    let has_port = authority
        .rsplit('@')
        .next()
        .is_some_and(|host| host.ends_with(|c: char| c.is_ascii_digit()) && host.contains(':'));
    if api.port().is_none() && !has_port {
        // Cannot fail for a URL that has a host.
        let _ = api.set_port(Some(RQBIT_PORT));
    }
    if path.len() > MAX_KEY_BYTES {
        return Err(malformed(&format!(
            "its path is longer than {MAX_KEY_BYTES} bytes"
        )));
    }
    Ok(Location::Rqbit {
        api,
        path: path.to_owned(),
    })
}

fn file(text: &str, rest: &str) -> Result<PathBuf, LocationError> {
    let malformed = |why: &str| LocationError::Malformed {
        url: printable(text).into_owned(),
        why: why.to_owned(),
    };
    let path = match rest.find('/') {
        Some(0) => rest,
        Some(at) if rest[..at].eq_ignore_ascii_case("localhost") => &rest[at..],
        _ => {
            return Err(malformed(
                "the URL of a file needs an absolute path, as in file:///data/x",
            ));
        }
    };
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| malformed("its path is not UTF-8"))?;
    if path.contains('\0') {
        return Err(malformed("its path has a NUL"));
    }
    Ok(path.into_owned().into())
}

/// A URL as it may be shown: no user info, no query, no fragment.
pub(crate) fn public_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    printable(&format!("{}://{host}{port}{}", url.scheme(), url.path())).into_owned()
}

/// As [`public_url`], for text that does not even parse.
fn without_secrets(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let shown = match text[..end].split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{rest}"),
        },
        None => text[..end].to_owned(),
    };
    printable(&shown).into_owned()
}

impl fmt::Display for Location {
    /// As it may be shown and logged: without user info and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { scheme, bucket, key } => {
                let scheme = match scheme {
                    Scheme::Gcs => "gs",
                    Scheme::Azure => "az",
                    _ => "s3",
                };
                write!(f, "{scheme}://{bucket}/{}", printable(key))
            }
            Self::Web(url) => f.write_str(&public_url(url)),
            Self::Rqbit { api, path } => {
                let scheme = if api.scheme() == "https" {
                    "rqbits"
                } else {
                    "rqbit"
                };
                let (host, port) = (api.host_str().unwrap_or_default(), api.port_or_known_default());
                let port = port.unwrap_or(RQBIT_PORT);
                write!(f, "{scheme}://{host}:{port}/{}", printable(path))
            }
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Direct(path) => write!(f, "direct://{}", printable(&path.to_string_lossy())),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_mean_what_people_think() {
        let bucket = |scheme, bucket: &str, key: &str| Location::Bucket {
            scheme,
            bucket: bucket.into(),
            key: key.into(),
        };
        let rqbit = |api: &str, path: &str| Location::Rqbit {
            api: api.parse().unwrap(),
            path: path.to_owned(),
        };
        for (text, expected) in [
            ("s3://b/k", bucket(Scheme::S3, "b", "k")),
            ("S3://b/a%20b/c d?x#y", bucket(Scheme::S3, "b", "a%20b/c d?x#y")),
            ("s3://b", bucket(Scheme::S3, "b", "")),
            ("gs://b/dir/", bucket(Scheme::Gcs, "b", "dir/")),
            ("az://c/k", bucket(Scheme::Azure, "c", "k")),
            ("file:///a%20b", Location::File("/a b".into())),
            ("file://localhost/a", Location::File("/a".into())),
            ("direct:///a%20b", Location::Direct("/a b".into())),
            ("/a%20b", Location::File("/a%20b".into())),
            ("rel/path", Location::File("rel/path".into())),
            ("we:ird", Location::File("we:ird".into())),
            ("rqbit://h:1/a b/c%20?#", rqbit("http://h:1/", "a b/c%20?#")),
            ("rqbit://h", rqbit("http://h:3030/", "")),
            ("rqbit://u:p@h/x/", rqbit("http://u:p@h:3030/", "x/")),
            ("rqbit://[::1]/x", rqbit("http://[::1]:3030/", "x")),
            ("rqbit://h:80/x", rqbit("http://h/", "x")),
            ("rqbits://h:443/x", rqbit("https://h/", "x")),
        ] {
            assert_eq!(text.parse::<Location>().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn wrong_urls_are_named() {
        for (text, part) in [
            ("", "empty"),
            ("s4://b/k", "'s4://' is not a known kind"),
            ("s3:///k", "names no bucket"),
            ("s3://b@d/k", "cannot be a bucket"),
            ("file://host/x", "absolute path"),
            ("direct://x", "absolute path"),
            ("http://", "not a URL"),
            ("rqbit://", "names no host"),
            ("rqbit://h:99999/", "not a URL"),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let url: Location = "https://user:pass@host:8443/a/b?X-Amz-Signature=secret#frag"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "https://host:8443/a/b");
        assert_eq!(format!("{url:?}"), "https://host:8443/a/b");
        let url: Location = "rqbit://user:secret@host/Film".parse().unwrap();
        assert_eq!(url.to_string(), "rqbit://host:3030/Film");
        assert_eq!(format!("{url:?}"), "rqbit://host:3030/Film");
        let error = "rqbit://user:secret@ho st/".parse::<Location>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let error = "https://user:pa ss@ho st/?sig=secret"
            .parse::<Location>()
            .unwrap_err();
        assert!(
            !error.to_string().contains("pa ss") && !error.to_string().contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn names_of_files_never_lead_elsewhere() {
        for (text, name) in [
            ("s3://b/dir/x.bin", Some("x.bin")),
            ("s3://b/dir/..", None),
            ("s3://b/dir/", None),
            ("http://h/a/%2e%2e%2fetc", None),
            ("http://h/a%20b.txt?q", Some("a b.txt")),
            ("http://h/", None),
        ] {
            assert_eq!(
                text.parse::<Location>().unwrap().file_name().as_deref(),
                name,
                "{text}"
            );
        }
    }
}
