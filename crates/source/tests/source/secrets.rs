//! Nothing secret is ever shown.

use forebay_source::{Opener, SourceOptions};
use forebay_testkit::Face;
use object_store::ObjectStoreExt;

use crate::server::{Reply, Server};
use crate::world::{lab, open, options, read, within};

const SECRETS: [&str; 5] = ["hunter2", "aHVudGVy", "s3cr3t", "X-Amz-Signature", "c2lnbmF0dXJl"];

fn shows_nothing(what: &str, shown: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{what} shows {secret}: {shown}");
    }
}

/// An error as any caller may print it, with all that lies below it.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        text += &format!(" {source} {source:?}");
        next = source.source();
    }
    text
}

#[test]
fn clouds_show_no_credentials() {
    let mut options = SourceOptions::default();
    for (name, value) in [
        ("aws_access_key_id", "AKIA"),
        ("aws_secret_access_key", "hunter2"),
        ("aws_session_token", "s3cr3t"),
        ("aws_region", "us-east-1"),
        ("azure_storage_account_name", "account"),
        ("azure_storage_sas_key", "sv=1&sig=c2lnbmF0dXJl"),
        ("google_skip_signature", "true"),
    ] {
        options.cloud.insert(name.to_owned(), value.to_owned());
    }
    shows_nothing("options", &format!("{options:?}"));
    let opener = Opener::new(options);
    shows_nothing("opener", &format!("{opener:?}"));
    for url in ["s3://bucket/key", "az://container/key", "gs://bucket/key"] {
        let source = open(&opener, url);
        shows_nothing(url, &format!("{source:?} {:?} {}", source.store, source.store));
        assert!(!source.origin.scope().contains("AKIA"));
    }

    let mut options = SourceOptions::default();
    for (name, value) in [
        ("azure_storage_account_name", "account"),
        ("azure_storage_account_key", "aHVudGVyMg=="),
    ] {
        options.cloud.insert(name.to_owned(), value.to_owned());
    }
    let source = open(&Opener::new(options), "az://container/key");
    // The key as it is, and decoded, as a list of numbers.
    shows_nothing("azure", &format!("{source:?}"));
    assert!(!format!("{source:?}").contains("104, 117, 110"), "{source:?}");
}

#[test]
fn a_setting_that_is_wrong_is_not_shown_by_its_value() {
    let mut options = SourceOptions::default();
    options
        .cloud
        .insert("aws_region".to_owned(), "us-east-1".to_owned());
    options
        .cloud
        .insert("aws_copy_if_not_exists".to_owned(), "hunter2".to_owned());
    // Another tool's variable is none of ours.
    options.cloud.insert("aws_pager".to_owned(), "hunter2".to_owned());
    match Opener::new(options).open(&"s3://bucket/key".parse().unwrap()) {
        Ok(source) => shows_nothing("source", &format!("{source:?}")),
        Err(error) => assert!(error.to_string().contains("s3://bucket/key"), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_sources_show_no_user_info_and_no_query() {
    let server = Server::start(|_, n| match n % 4 {
        0 => Reply::of("404 Not Found", ""),
        1 => Reply::of("403 Forbidden", "no"),
        2 => Reply::of("302 Found\nLocation: ftp://elsewhere/?X-Amz-Signature=1", ""),
        _ => Reply::of("200 OK\nETag: \"a\"", "x"),
    })
    .await;
    let url = format!(
        "http://alice:hunter2@{}/dir/file?X-Amz-Signature=s3cr3t",
        server.addr
    );
    let opener = Opener::new(SourceOptions::default());
    let source = open(&opener, &url);
    let location: forebay_source::Location = url.parse().unwrap();
    shows_nothing("location", &format!("{location} {location:?}"));
    shows_nothing(
        "source",
        &format!(
            "{source:?} {} {:?} {}",
            source.store, source.origin, source.origin
        ),
    );
    for _ in 0..4 {
        match within(read(&source)).await {
            Ok(_) => {
                let meta = within(source.store.head(&source.path)).await;
                if let Ok(meta) = meta {
                    shows_nothing(
                        "object",
                        &format!("{} {:?}", source.object_id(&meta), source.object_id(&meta)),
                    );
                }
            }
            Err(error) => shows_nothing("error", &in_full(&error)),
        }
    }
    let first = &server.heads()[0];
    assert!(
        first.starts_with("GET /dir/file?X-Amz-Signature=s3cr3t HTTP/1.1"),
        "{first}"
    );
    assert!(
        first.contains("authorization: basic ywxpy2u6ahvudgvymg=="),
        "{first}"
    );
    assert!(
        !first
            .lines()
            .any(|line| line.starts_with("host:") && line.contains("alice")),
        "{first}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_s3_show_no_signature() {
    let lab = lab(Face::Full);
    let mut settings = options(&lab);
    settings
        .cloud
        .insert("aws_secret_access_key".to_owned(), "hunter2".to_owned());
    settings
        .cloud
        .insert("aws_session_token".to_owned(), "s3cr3t".to_owned());
    let opener = Opener::new(settings);
    let source = open(&opener, "s3://bucket/key");
    let error = within(read(&source)).await.unwrap_err();
    shows_nothing("denied", &in_full(&error));
    drop(lab);
    let error = within(source.store.get_opts(
        &source.path,
        object_store::GetOptions {
            extensions: {
                let mut extensions = object_store::Extensions::new();
                extensions.insert(forebay_source::EngineRead::default());
                extensions
            },
            ..Default::default()
        },
    ))
    .await
    .unwrap_err();
    shows_nothing("unreachable", &in_full(&error));
}
