//! Where a log is: its objects, and its metadata.

use std::fmt;
use std::path::{Path, PathBuf};

use forebay_source::Location;
use forebay_types::printable;
use url::Url;

/// Where the objects of a log are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LogStore {
    typed: String,
    location: Location,
}

impl LogStore {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let location: Location = text
            .trim()
            .parse()
            .map_err(|e: forebay_source::LocationError| e.to_string())?;
        match &location {
            Location::Rqbit { .. } => {
                Err("a torrent client cannot be written to: use s3://, gs://, az:// or file:///".to_owned())
            }
            Location::Web(_) => {
                Err("a web server cannot be written to: use s3://, gs://, az:// or file:///".to_owned())
            }
            Location::File(path) | Location::Direct(path) if !path.is_absolute() => Err(format!(
                "'{}' is not an absolute path, which it must be: the log would be another one in every directory",
                printable(&path.to_string_lossy())
            )),
            _ => Ok(Self {
                typed: text.trim().to_owned(),
                location,
            }),
        }
    }

    /// What it means.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The directory that it is, if it is one of this machine.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.location {
            Location::File(path) | Location::Direct(path) => Some(path),
            Location::Bucket { .. } | Location::Web(_) | Location::Rqbit { .. } => None,
        }
    }

    /// What tells this log from others of the same user: the same text for the same place, however it was typed.
    /// `endpoint` is where its buckets are.
    pub(crate) fn identity(&self, endpoint: &str) -> String {
        match self.directory() {
            Some(path) => {
                // Followed now, so that two names of one directory are one log.
                let found = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                format!("file://{}", found.display())
            }
            None => {
                let shown = self.location.to_string();
                format!("{}@{endpoint}", shown.trim_end_matches('/'))
            }
        }
    }
}

impl fmt::Display for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.typed))
    }
}

impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the metadata of a log is. Shown without secrets, by `Display` and by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum LogMetadata {
    /// An SQLite file in the user's state directory, named by the store.
    #[default]
    Auto,
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database: its URL, with the password.
    Postgres(String),
}

/// Parameters of a PostgreSQL URL whose values may be shown.
const HARMLESS: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "port",
    "schema",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// What stands in place of what is not shown.
const HIDDEN: &str = "***";

impl LogMetadata {
    /// Errors never repeat what was typed: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text == "auto" {
            return Ok(Self::Auto);
        }
        let known = "write \"sqlite:///path/of/a/file\", \"postgres://user@host/database\" or \"auto\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("it is not the URL of a metadata store; {known}"));
        };
        match scheme {
            "sqlite" if rest.is_empty() => Err(format!("it names no file; {known}")),
            "sqlite" if !Path::new(rest).is_absolute() => Err(format!(
                "the path '{}' is not absolute, which it must be: the log would be another one in every directory",
                printable(rest)
            )),
            "sqlite" if rest.ends_with('/') || rest.contains('\0') => {
                Err(format!("'{}' is not the name of a file", printable(rest)))
            }
            "sqlite" => Ok(Self::Sqlite(rest.into())),
            "postgres" | "postgresql" if rest.is_empty() => Err(format!("it names no server; {known}")),
            "postgres" | "postgresql" => Ok(Self::Postgres(text.to_owned())),
            _ => Err(format!("no metadata store has this scheme; {known}")),
        }
    }
}

impl fmt::Display for LogMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Sqlite(path) => write!(f, "sqlite://{}", printable(&path.to_string_lossy())),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for LogMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The URL of a database without its password. What cannot be taken apart for sure is hidden whole.
fn without_secrets(url: &str) -> String {
    let whole = || format!("postgres://{HIDDEN}");
    let Ok(parsed) = Url::parse(url) else {
        return whole();
    };
    // An unescaped `/`, `?` or `#` in a password ends the host for the parser, and an `@` stands after it.
    let after_host = [Some(parsed.path()), parsed.query(), parsed.fragment()];
    if after_host.into_iter().flatten().any(|part| part.contains('@')) {
        return whole();
    }
    let mut shown = format!("{}://", parsed.scheme());
    if !parsed.username().is_empty() || parsed.password().is_some() {
        shown.push_str(parsed.username());
        if parsed.password().is_some() {
            shown.push(':');
            shown.push_str(HIDDEN);
        }
        shown.push('@');
    }
    shown.push_str(parsed.host_str().unwrap_or_default());
    if let Some(port) = parsed.port() {
        shown.push_str(&format!(":{port}"));
    }
    shown.push_str(parsed.path());
    for (nth, (name, value)) in parsed.query_pairs().enumerate() {
        let value = if HARMLESS.contains(&&*name) {
            &*value
        } else {
            HIDDEN
        };
        let between = if nth == 0 { '?' } else { '&' };
        shown.push_str(&format!("{between}{name}={value}"));
    }
    printable(&shown).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for (url, shown) in [
            ("postgres://host/db", "postgres://host/db"),
            ("postgres://me@host:5433/db", "postgres://me@host:5433/db"),
            ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
            ("postgres://me:hun%40ter2@host/db", "postgres://me:***@host/db"),
            ("postgres://me:hun@ter2@host/db", "postgres://me:***@host/db"),
            (
                "postgres://host/db?password=hunter2&sslmode=require",
                "postgres://host/db?password=***&sslmode=require",
            ),
            (
                "postgres://host/db?PASSWORD=hunter2",
                "postgres://host/db?PASSWORD=***",
            ),
            ("postgres://me:12/hunter2@host/db", "postgres://***"),
            ("postgres://me:12?hunter2@host/db", "postgres://***"),
            ("postgres://me:hunter2/x@host/db", "postgres://***"),
            ("postgres://me:hunter2@ho st/db", "postgres://***"),
        ] {
            let metadata = LogMetadata::parse(url).unwrap();
            assert_eq!(metadata.to_string(), shown);
            assert_eq!(format!("{metadata:?}"), shown);
            assert_eq!(metadata, LogMetadata::Postgres(url.to_owned()), "kept whole");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, part) in [
            ("mysql://me:hunter2@host/db", "no metadata store has this scheme"),
            ("me:hunter2@host", "not the URL of a metadata store"),
            ("sqlite://", "names no file"),
            ("sqlite://here.db", "'here.db' is not absolute"),
            ("sqlite:///dir/", "not the name of a file"),
            ("postgres://", "names no server"),
        ] {
            let error = LogMetadata::parse(text).unwrap_err();
            assert!(
                error.contains(part) && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn one_place_is_one_log() {
        let identity = |text: &str| LogStore::read(text).unwrap().identity("http://e");
        assert_eq!(identity("s3://bucket/logs"), identity("s3://bucket/logs/"));
        assert_ne!(identity("s3://bucket/logs"), identity("s3://bucket/other"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        let file = |name: &str| identity(&format!("file://{}/{name}", dir.path().display()));
        assert_eq!(file("a"), file("b"));
        assert_eq!(file("a"), file("a/"));
        let plain = LogStore::read("s3://bucket/logs").unwrap();
        assert_ne!(plain.identity("http://e"), plain.identity("http://other"));
    }

    #[test]
    fn places_that_are_none() {
        for (text, part) in [
            ("https://host/dir/", "cannot be written to"),
            ("logs", "not an absolute path"),
            ("s3://", "names no bucket"),
            ("kafka://host", "not a known kind of source"),
        ] {
            let error = LogStore::read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
