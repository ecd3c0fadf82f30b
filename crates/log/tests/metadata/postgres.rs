//! What the store on a server promises beside.

mod failing;
mod opening;
mod plans;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forebay_log::metadata::{MetadataStore, PostgresMetadataStore};
use forebay_testkit::Postgres;
use ulid::Ulid;

use crate::rig::Rig;

/// A schema of its own on the test command's server, or on one of its own.
pub(crate) struct PostgresRig {
    /// With the schema.
    pub(crate) url: String,
    pub(crate) server: Option<Postgres>,
}

impl PostgresRig {
    /// `None` (said) if there is no server and none can be started.
    pub(crate) async fn new() -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test command tells by the environment what it started"
        )]
        let shared = std::env::var("FOREBAY_TEST_POSTGRES_URL").ok();
        match shared {
            Some(url) => Some(Self::on(&url, None)),
            None => Self::own().await,
        }
    }

    /// On a server of its own, which the test may restart.
    pub(crate) async fn own() -> Option<Self> {
        let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap()?;
        let url = server.url();
        Some(Self::on(&url, Some(server)))
    }

    fn on(url: &str, server: Option<Postgres>) -> Self {
        let schema = format!("t_{}", Ulid::generate().to_string().to_lowercase());
        let join = if url.contains('?') { '&' } else { '?' };
        Self {
            url: format!("{url}{join}schema={schema}"),
            server,
        }
    }

    pub(crate) fn schema(&self) -> &str {
        self.url.rsplit('=').next().unwrap()
    }

    /// A plain connection in its schema.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        let (url, _) = self.url.rsplit_once("schema=").unwrap();
        let config: tokio_postgres::Config = url.trim_end_matches(['?', '&']).parse().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(&format!("SET search_path TO {}", self.schema()))
            .await
            .unwrap();
        client
    }

    pub(crate) async fn store(&self) -> PostgresMetadataStore {
        PostgresMetadataStore::connect(&self.url).await.unwrap()
    }
}

#[async_trait]
impl Rig for PostgresRig {
    async fn open(&self) -> Arc<dyn MetadataStore> {
        Arc::new(self.store().await)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn number(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

mod conformance {
    crate::suite::conformance!(super::PostgresRig::new());
}

#[test]
fn random_work_agrees_with_the_model_in_postgres() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let Some(first) = runtime.block_on(PostgresRig::new()) else {
        return;
    };
    let (url, _) = first.url.rsplit_once("schema=").unwrap();
    let url = url.trim_end_matches(['?', '&']);
    crate::model::run(8, async || PostgresRig::on(url, None));
}

/// Prints how long lookups take among 100,000 segments: `cargo nextest run --run-ignored only --no-capture figures`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures() {
    let Some(rig) = PostgresRig::new().await else {
        return;
    };
    let store = rig.store().await;
    store
        .restore(&crate::figures::many(100_000), false)
        .await
        .unwrap();
    crate::figures::print("postgres", &store).await;
}
