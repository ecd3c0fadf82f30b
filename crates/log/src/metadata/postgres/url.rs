//! Where the server is and how it is spoken to.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use forebay_types::ErrorKind;
use futures::future::BoxFuture;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::error::{MetadataError, Result};
use super::super::rules::invalid;

/// The schema if none is said.
const SCHEMA: &str = "forebay";
/// Longest name of a schema: the channel that is named after it may have 63 bytes.
const MAX_SCHEMA: usize = 48;
/// A connection that is not there after this time is tried again.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that is silent for so long is taken for dead.
const SILENT: Duration = Duration::from_secs(20);

const LIKE: &str = "it should be like postgres://user:password@host:5432/database?sslmode=verify-full&schema=forebay \
                    (write special characters of the password as %XX)";

/// Makes connections. Its password is shown nowhere.
pub(super) struct Door {
    config: Config,
    tls: MakeRustlsConnect,
    schema: String,
    name: String,
}

impl Door {
    /// Takes what is ours out of `url`; the rest is the driver's.
    pub(super) fn parse(url: &str) -> Result<Self> {
        // The driver's own error would quote what it does not understand, which may be a piece of the password.
        let wrong = || invalid(format!("this is no URL of a PostgreSQL server: {LIKE}"));
        let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
        // Like the driver: what stands before the first '@' is user and password.
        let past = url.find('@').unwrap_or(0);
        let mark = url[past..].find('?').map_or(url.len(), |at| past + at);
        let (server, query) = (&url[..mark], url[mark..].trim_start_matches('?'));
        if !known || server.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let mut mode = "prefer";
        let mut schema = SCHEMA;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("schema", value)) => schema = value,
                _ => rest.push(pair),
            }
        }
        let mut config: Config = format!("{server}?{}", rest.join("&"))
            .parse()
            .map_err(|_| wrong())?;
        let nowhere = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
        let hosts = config.get_hosts();
        if hosts.iter().any(nowhere) || hosts.is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid(format!(
                "the URL of the PostgreSQL server names no host: {LIKE}"
            )));
        }
        if config.get_user().is_none() {
            return Err(invalid(format!(
                "the URL of the PostgreSQL server names no user: {LIKE}"
            )));
        }
        let mut letters = schema.bytes();
        let first = letters
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
        let others = letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
        if !first || !others || schema.len() > MAX_SCHEMA || schema.starts_with("pg_") {
            return Err(invalid(format!(
                "a schema is named by 1 to {MAX_SCHEMA} of a-z, 0-9 and _, not first a digit and not first pg_"
            )));
        }
        let verify = match mode {
            "disable" | "prefer" | "require" => false,
            "verify-full" => true,
            _ => {
                return Err(invalid(
                    "sslmode can be disable, prefer, require or verify-full in the URL of the PostgreSQL server",
                ));
            }
        };
        config.ssl_mode(match mode {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config
            .keepalives(true)
            .keepalives_idle(SILENT / 2)
            .keepalives_interval(SILENT / 4)
            .keepalives_retries(2)
            .tcp_user_timeout(SILENT);
        if config.get_application_name().is_none() {
            config.application_name("forebay");
        }
        let name = name(&config, schema);
        let tls = tls(verify && mode != "disable").map_err(|what| MetadataError::Store {
            store: name.clone(),
            what,
            kind: ErrorKind::LocalIo,
        })?;
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(tls),
            schema: schema.to_owned(),
            name,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The store's name in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A fault of this program.
    pub(super) fn internal(&self, what: &str) -> MetadataError {
        MetadataError::Store {
            store: self.name.clone(),
            what: what.to_owned(),
            kind: ErrorKind::Internal,
        }
    }

    /// A new connection; whoever asked drives it.
    pub(super) async fn open(
        &self,
    ) -> std::result::Result<(Client, Connection<Socket, impl TlsStream + Unpin + Send + use<>>), Error> {
        self.config.connect(self.tls.clone()).await
    }

    /// Statements that a session begins with. A statement that hangs would hold locks that others wait for.
    pub(super) fn session(&self) -> String {
        format!(
            "SET search_path TO {}; SET statement_timeout TO '30s'; SET lock_timeout TO '10s';
             SET idle_in_transaction_session_timeout TO '30s'; SET synchronous_commit TO on;
             SET default_transaction_isolation TO 'read committed'",
            self.schema
        )
    }
}

/// Makes the connections of a pool.
pub(super) struct Pooled(pub(super) Arc<Door>);

impl Connect for Pooled {
    fn connect(&self, _: &Config) -> BoxFuture<'_, std::result::Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            let (client, connection) = self.0.open().await?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to PostgreSQL ended");
                }
            });
            match client.batch_execute(&self.0.session()).await {
                Ok(()) => Ok((client, task)),
                Err(error) => {
                    task.abort();
                    Err(error)
                }
            }
        })
    }
}

/// Host, port, database and schema.
fn name(config: &Config, schema: &str) -> String {
    let ports = config.get_ports();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(n, host)| {
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(host) if host.contains(':') => format!("[{host}]:{port}"),
                Host::Tcp(host) => format!("{host}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        })
        .collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    let name = format!("postgres://{}/{database}?schema={schema}", hosts.join(","));
    forebay_types::printable(&name).into_owned()
}

fn tls(verify: bool) -> std::result::Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if !verify {
        let any = AnyCertificate { provider };
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any))
            .with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        return Err(match native.errors.first() {
            Some(error) => format!("the root certificates of this machine cannot be read: {error}"),
            None => "this machine has no root certificates, which sslmode=verify-full needs".into(),
        });
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate, as libpq does for `prefer` and `require` without a root file: what is sent is hidden from who
/// listens, not from who stands between. Signatures of the handshake are checked all the same.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
