use std::time::Duration;

use forebay_log::metadata::{MetadataError, MetadataStore, PostgresMetadataStore};
use forebay_testkit::within;
use forebay_types::ErrorKind;

use super::PostgresRig;
use crate::rig::{Rig, topic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_a_new_schema_at_once() {
    let Some(rig) = PostgresRig::new().await else {
        return;
    };
    within(async {
        let opening = (0..8).map(|_| {
            let url = rig.url.clone();
            tokio::spawn(async move { PostgresMetadataStore::connect(&url).await.map(drop) })
        });
        for opened in futures::future::join_all(opening).await {
            opened.unwrap().unwrap();
        }
        assert_eq!(rig.number("SELECT version FROM forebay_schema").await, 1);
        assert_eq!(rig.number("SELECT count(*) FROM forebay_schema").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused() {
    let Some(rig) = PostgresRig::new().await else {
        return;
    };
    within(async {
        rig.store().await;
        rig.client()
            .await
            .execute("UPDATE forebay_schema SET version = 7", &[])
            .await
            .unwrap();
        let error = PostgresMetadataStore::connect(&rig.url).await.unwrap_err();
        let MetadataError::Schema { found, known, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((found, known), (7, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_told_in_time_and_without_the_password() {
    within(async {
        // Nobody listens; and somebody who never answers.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for port in [port, silent.local_addr().unwrap().port()] {
            let url = format!("postgres://me:hunter2@127.0.0.1:{port}/db?connect_timeout=1&sslmode=disable");
            let begun = tokio::time::Instant::now();
            let error = PostgresMetadataStore::connect_within(&url, Duration::from_secs(3))
                .await
                .unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(5));
            let text = format!("{error} {error:?}");
            assert!(
                matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut),
                "{text}"
            );
            assert!(
                text.contains(&port.to_string()) && !text.contains("hunter2"),
                "{text}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_have_no_password_and_refusals_are_told() {
    let Some(rig) = PostgresRig::new().await else {
        return;
    };
    within(async {
        let url = rig.url.replacen("postgres@", "postgres:hunter2@", 1);
        assert_ne!(url, rig.url);
        let store = PostgresMetadataStore::connect(&url).await.unwrap();
        assert!(store.name().contains(rig.schema()) && store.name().starts_with("postgres://127.0.0.1:"));
        assert!(!format!("{store:?} {}", store.name()).contains("hunter2"));
        for (wrong, kind) in [
            (rig.url.replacen("/postgres?", "/none?", 1), ErrorKind::NotFound),
            (
                rig.url.replacen("postgres@", "nobody:hunter2@", 1),
                ErrorKind::Denied,
            ),
        ] {
            let error = PostgresMetadataStore::connect(&wrong).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
        // The tables are gone: it says so, and does not make up an answer.
        rig.client()
            .await
            .batch_execute("DROP TABLE topics")
            .await
            .unwrap();
        assert_eq!(
            store.topic(&topic("t")).await.unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_as_libpq_has_it() {
    let Some(rig) = PostgresRig::own().await else {
        return;
    };
    within(async {
        let server = rig.server.as_ref().unwrap();
        let with = |mode: &str| rig.url.replacen("sslmode=disable", &format!("sslmode={mode}"), 1);
        // A server without certificates: what may go without encryption does, the others say why not.
        for mode in ["disable", "prefer"] {
            PostgresMetadataStore::connect(&with(mode)).await.unwrap();
        }
        for mode in ["require", "verify-full"] {
            let error = PostgresMetadataStore::connect_within(&with(mode), Duration::from_secs(5)).await;
            assert!(error.is_err(), "{mode}");
        }
        // One that signed its own.
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let data = server.data();
        std::fs::write(data.join("server.crt"), signed.cert.pem()).unwrap();
        std::fs::write(data.join("server.key"), signed.signing_key.serialize_pem()).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&data).unwrap());
        std::os::unix::fs::chown(data.join("server.key"), Some(owner), None).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(data.join("server.key"), mode).unwrap();
        let conf = data.join("postgresql.conf");
        let mut settings = std::fs::read_to_string(&conf).unwrap();
        settings.push_str("ssl = on\n");
        std::fs::write(&conf, settings).unwrap();
        server.restart();
        let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE ssl AND pid <> pg_backend_pid()";
        for (mode, count) in [("disable", 0), ("prefer", 1), ("require", 1)] {
            let store = PostgresMetadataStore::connect(&with(mode)).await.unwrap();
            store.topics(None, 1).await.unwrap();
            assert_eq!(rig.number(encrypted).await, count, "{mode}");
            drop(store);
            while rig
                .number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'forebay'")
                .await
                > 0
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let error = PostgresMetadataStore::connect_within(&with("verify-full"), Duration::from_secs(5)).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    })
    .await;
}
