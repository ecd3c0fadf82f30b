//! Errors as users see them: one line of what and why, one of what to do, and an exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use forebay_cache::CacheError;
use forebay_log::LogError;
use forebay_log::metadata::MetadataError;
use forebay_manifest::ManifestError;
use forebay_range::RangeError;
use forebay_reader::ReadError;
use forebay_source::{Failure, Fault, LocationError, OpenError, TorrentFault, xml_element};
use forebay_types::{ErrorKind, printable};

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    /// The exit code of another process of ours that has said everything.
    said: Option<u8>,
}

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            said: None,
        }
    }

    /// Another process of ours failed, has said why, and ended with `code`.
    pub(crate) fn already_said(code: Option<i32>) -> Self {
        let code = code
            .and_then(|code| u8::try_from(code).ok())
            .filter(|code| *code != 0);
        Self {
            said: Some(code.unwrap_or(1)),
            ..Self::new(ErrorKind::Internal, "a process of forebay failed")
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A failure of a local file, with its name.
    pub(crate) fn local(path: &std::path::Path, action: &str, error: &io::Error) -> Self {
        let path = path.to_string_lossy();
        let local = Self::new(
            error.kind().into(),
            format!("cannot {action} {}: {error}", printable(&path)),
        );
        match local.kind {
            // The usual help speaks of a store's credentials.
            ErrorKind::Denied => local.hint("check who owns it and what its permissions are"),
            _ => local,
        }
    }

    /// A failure of a store, with the object's name.
    pub(crate) fn store(name: &str, error: &object_store::Error) -> Self {
        Self::new(
            Fault::of(error).kind,
            format!("{}: {}", printable(name), store_text(error)),
        )
        .hint_of_torrents(name, error)
    }

    /// With what helps if it is a torrent client, as `name` tells, that failed.
    #[must_use]
    pub(crate) fn hint_of_torrents(self, name: &str, error: &object_store::Error) -> Self {
        match torrent_hint(name, error) {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With where it happened said first.
    #[must_use]
    pub(crate) fn with_prefix(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What happened, without the help.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do, if that was said.
    pub(crate) fn own_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Prints it to standard error and tells the exit code. Nobody reads the output any more: nothing is said, and
    /// that is success, as for `head`.
    pub(crate) fn report(&self) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        if let Some(code) = self.said {
            return ExitCode::from(code);
        }
        // A closed standard error must not turn into a panic.
        let _ = fmt::Write::write_str(&mut Stderr, &format!("forebay: {self}\n"));
        ExitCode::from(exit_code(self.kind))
    }

    fn is_closed_pipe(&self) -> bool {
        self.message == CLOSED_PIPE
    }

    /// The reader of standard output is gone.
    pub(crate) fn closed_pipe() -> Self {
        Self::new(ErrorKind::Cancelled, CLOSED_PIPE)
    }

    /// A failure to write to standard output.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::closed_pipe();
        }
        Self::new(
            error.kind().into(),
            format!("cannot write to standard output: {error}"),
        )
    }
}

const CLOSED_PIPE: &str = "standard output is closed";

struct Stderr;

impl fmt::Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        io::Write::write_all(&mut io::stderr(), text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// The contract of the command line: scripts depend on it. No `_` arm, so that a new kind must choose.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Unavailable
        | ErrorKind::TimedOut
        | ErrorKind::NoSpace
        | ErrorKind::LocalIo
        | ErrorKind::Unsupported
        | ErrorKind::Conflict
        | ErrorKind::Cancelled
        | ErrorKind::Internal => 1,
        ErrorKind::Invalid => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Changed => 5,
        ErrorKind::Corrupt => 6,
    }
}

/// What helps in most cases of a kind.
fn usual_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::NotFound => Some("check the name; `forebay ls` shows what is there"),
        ErrorKind::Denied => Some(
            "check the credentials and what they may do (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3, the GOOGLE_ and AZURE_ variables for gs and az); for a public bucket set AWS_SKIP_SIGNATURE=true",
        ),
        ErrorKind::Unavailable => Some("check the address and the network, or try again later"),
        ErrorKind::TimedOut => Some("the other side does not answer: try again later"),
        ErrorKind::NoSpace => Some("make room, or choose another destination"),
        ErrorKind::Changed => Some("run the command again to read the new version"),
        ErrorKind::Corrupt => Some("do not use the data; fetch it again from another place"),
        ErrorKind::Internal => Some("this is a bug in forebay: please report it"),
        ErrorKind::Invalid
        | ErrorKind::LocalIo
        | ErrorKind::Unsupported
        | ErrorKind::Conflict
        | ErrorKind::Cancelled => None,
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.hint.as_deref().or(usual_hint(self.kind)) {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

/// What a store's error says, without the layers that only repeat it and without walls of XML.
pub(crate) fn store_text(error: &object_store::Error) -> String {
    let text = innermost(error);
    let text = match (xml_element(&text, "Code"), xml_element(&text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => text,
    };
    printable(&text).chars().take(600).collect()
}

/// What helps if a torrent client failed: other things than with a bucket.
fn torrent_hint(name: &str, error: &object_store::Error) -> Option<String> {
    let (scheme, rest) = name.split_once("://")?;
    if !matches!(scheme, "rqbit" | "rqbits") {
        return None;
    }
    let host = rest.split('/').next().unwrap_or_default();
    let host = printable(host);
    let mut chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    match chain.find_map(|error| error.downcast_ref::<Failure>())? {
        Failure::Connect { .. } | Failure::ConnectTimeout { .. } => {
            Some(format!("is rqbit running, with its HTTP API on {host}?"))
        }
        Failure::Status {
            status: 401 | 403, ..
        } => Some(format!(
            "write {scheme}://USER:PASSWORD@{host}/, or set RQBIT_HTTP_BASIC_AUTH_USERPASS=USER:PASSWORD, as rqbit itself has it"
        )),
        Failure::Torrent(TorrentFault::Failed { .. } | TorrentFault::Client { .. }) => Some(format!(
            "rqbit's page shows what is the matter: http{}://{host}/web/",
            if scheme == "rqbits" { "s" } else { "" }
        )),
        Failure::Torrent(TorrentFault::Waited { .. }) => {
            Some("rqbit.read_timeout says how long a read waits".to_owned())
        }
        _ => None,
    }
}

fn innermost(error: &object_store::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        // The system's bare «Connection refused (os error 111)» says less than the line above it.
        if source.is::<io::Error>() || source.to_string().is_empty() {
            break;
        }
        deepest = source;
    }
    deepest.to_string()
}

impl From<LocationError> for CliError {
    fn from(error: LocationError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<RangeError> for CliError {
    fn from(error: RangeError) -> Self {
        Self::from(&error)
    }
}

impl From<&RangeError> for CliError {
    fn from(error: &RangeError) -> Self {
        let kind = error.kind();
        match error {
            RangeError::Store {
                object,
                source,
                retries,
            } => {
                let after = if *retries > 0 {
                    format!(" (after {retries} retries)")
                } else {
                    String::new()
                };
                Self::new(
                    kind,
                    format!("{}: {}{after}", printable(object), store_text(source)),
                )
                .hint_of_torrents(object, source)
            }
            RangeError::Sink { source } if source.kind() == io::ErrorKind::BrokenPipe => Self::closed_pipe(),
            _ => Self::new(kind, error.to_string()),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Range(error) => Self::from(&**error),
            ReadError::Sink(source) if source.kind() == io::ErrorKind::BrokenPipe => Self::closed_pipe(),
            _ => Self::new(error.kind(), error.to_string()),
        }
    }
}

impl From<CacheError> for CliError {
    fn from(error: CacheError) -> Self {
        // Each says what to do with the directory; that another will do is common to all.
        Self::new(error.kind(), printable(&error.to_string()).into_owned()).hint(
            "name another directory with --cache-dir or cache.dir, or read without a cache by --no-cache",
        )
    }
}

impl From<ManifestError> for CliError {
    fn from(error: ManifestError) -> Self {
        Self::new(error.kind(), printable(&error.to_string()).into_owned())
    }
}

impl From<LogError> for CliError {
    fn from(error: LogError) -> Self {
        Self::from(&error)
    }
}

impl From<&LogError> for CliError {
    /// The exit code follows from what the log says is to be done. Text of a store is boiled down as everywhere.
    fn from(error: &LogError) -> Self {
        let kind = error.kind();
        let plain = || Self::new(kind, printable(&error.to_string()).into_owned());
        match error {
            LogError::Metadata(source) => Self::from(source),
            LogError::Store { object, what, source } => Self::new(
                kind,
                format!("{} could not be {what}: {}", printable(object), store_text(source)),
            ),
            LogError::NotWritten(source) => Self::from(&**source).with_prefix("not written"),
            LogError::Aborted(source) => {
                Self::from(&**source).with_prefix("not written, because what was sent before it was not")
            }
            LogError::Unknown(source) => Self::from(&**source).with_prefix("whether it was written is not known"),
            LogError::OffsetNotFound { .. } => plain().hint("--from earliest begins at the log start"),
            LogError::MissingObject { .. } | LogError::Segment { .. } | LogError::Batch { .. } => {
                plain().hint("`forebay log recover` tells what is missing or damaged; `forebay cache clear` if only the cache is")
            }
            LogError::Read { .. }
            | LogError::Record { .. }
            | LogError::Topic(_)
            | LogError::Invalid(_)
            | LogError::Key { .. }
            | LogError::Busy { .. }
            | LogError::Closed
            | LogError::Task(_) => plain(),
        }
    }
}

impl From<MetadataError> for CliError {
    fn from(error: MetadataError) -> Self {
        Self::from(&error)
    }
}

impl From<&MetadataError> for CliError {
    fn from(error: &MetadataError) -> Self {
        let plain = Self::new(error.kind(), printable(&error.to_string()).into_owned());
        match error {
            MetadataError::UnknownTopic { .. } => plain.hint("check its name, log.store and log.metadata"),
            MetadataError::UnknownPartition { .. } => {
                plain.hint("`forebay log topics TOPIC` shows its partitions")
            }
            MetadataError::NotEmpty { .. } => plain.hint("say --replace if what it knows is to be forgotten"),
            MetadataError::Corrupt { .. } => {
                plain.hint("correct log.metadata, or move it away; `forebay log recover` then rebuilds it from the bucket")
            }
            MetadataError::Store {
                kind: ErrorKind::Denied,
                ..
            } => {
                plain.hint("check who owns the file and its directory, or user and password, in log.metadata")
            }
            _ => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_of_exit_codes() {
        for (kind, code) in [
            (ErrorKind::Unavailable, 1),
            (ErrorKind::Invalid, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::Denied, 4),
            (ErrorKind::Changed, 5),
            (ErrorKind::Corrupt, 6),
        ] {
            assert_eq!(exit_code(kind), code);
        }
    }

    #[test]
    fn torrent_clients_have_help_of_their_own() {
        let refused = || Failure::Connect {
            host: "h:3030".to_owned(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let status = |status| Failure::Status {
            status,
            code: None,
            message: None,
            retry_after: None,
        };
        let stopped = || {
            Failure::Torrent(TorrentFault::Failed {
                why: "disk full".to_owned(),
            })
        };
        for (name, failure, code, help) in [
            (
                "rqbit://h:3030/film",
                refused(),
                1,
                "is rqbit running, with its HTTP API on h:3030?",
            ),
            (
                "rqbits://h:443/film",
                status(401),
                4,
                "write rqbits://USER:PASSWORD@h:443/, or set RQBIT_HTTP_BASIC_AUTH_USERPASS",
            ),
            ("rqbit://h:3030/film", status(404), 3, "`forebay ls` shows"),
            ("rqbit://h:3030/film", stopped(), 1, "http://h:3030/web/"),
            ("rqbits://h:3030/film", stopped(), 1, "https://h:3030/web/"),
            // Others have the help that they had.
            ("s3://b/k", refused(), 1, "check the address"),
            ("https://h/k", status(401), 4, "AWS_ACCESS_KEY_ID"),
        ] {
            let error = CliError::store(name, &failure.into_store_error(name));
            assert_eq!(exit_code(error.kind()), code, "{error}");
            assert!(error.to_string().contains(help), "no {help:?} in {error}");
        }
        let range = RangeError::Store {
            object: "rqbit://h:3030/film/a".into(),
            source: status(401).into_store_error("film/a"),
            retries: 0,
        };
        let error = CliError::from(&range);
        assert!(error.to_string().contains("USER:PASSWORD@h:3030"), "{error}");
    }

    #[test]
    fn xml_is_boiled_down() {
        let xml = "<?xml?><Error><Code>AccessDenied</Code><Message>No \x1b[31m</Message></Error>";
        let error = object_store::Error::Generic {
            store: "S3",
            source: xml.into(),
        };
        assert_eq!(store_text(&error), "AccessDenied: No \\u{1b}[31m");
    }
}
