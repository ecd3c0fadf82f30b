//! Both faces against the conformance suite of crate `object_store`, over the smallest transport that serves it.

use std::sync::Arc;

use forebay_testkit::{Face, Lab};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::integration::{
    copy_if_not_exists, copy_rename_nonexistent_object, get_nonexistent_object, get_opts, list_paginated,
    list_uses_directories_correctly, list_with_delimiter, list_with_offset_exclusivity, multipart,
    multipart_out_of_order, multipart_put_part_out_of_order, multipart_race_condition, multipart_with_opts,
    put_get_attributes, put_get_delete_list, put_opts, rename_and_copy, stream_get,
};
use object_store::{ClientOptions, RetryConfig};
use tokio::net::TcpStream;

/// A connection per request.
#[derive(Debug)]
struct Transport;

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

#[async_trait::async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let authority = request.uri().authority().unwrap().to_string();
        let stream = TcpStream::connect(&authority).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.headers.insert("host", authority.parse().unwrap());
        head.uri = head.uri.path_and_query().unwrap().as_str().parse().unwrap();
        let error = |error| HttpError::new(HttpErrorKind::Request, error);
        let response = sender
            .send_request(http::Request::from_parts(head, body))
            .await
            .map_err(error)?;
        Ok(response.map(|body| HttpResponseBody::new(body.map_err(error))))
    }
}

pub(crate) fn store(lab: &Lab, bucket: &str, access: &str, secret: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_http_connector(Transport)
        .with_endpoint(lab.endpoint())
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id(access)
        .with_secret_access_key(secret)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .build()
        .unwrap()
}

async fn conforms(face: Face) {
    let lab = Lab::builder()
        .face(face)
        .bucket("bucket")
        .credentials("key", "secret")
        .start()
        .unwrap();
    let store = Arc::new(store(&lab, "bucket", "key", "secret"));
    put_get_delete_list(&store).await;
    list_with_offset_exclusivity(&store).await;
    get_opts(&store).await;
    list_uses_directories_correctly(&store).await;
    list_with_delimiter(&store).await;
    rename_and_copy(&store).await;
    copy_if_not_exists(&store).await;
    copy_rename_nonexistent_object(&store).await;
    assert!(get_nonexistent_object(&store, None).await.is_err());
    stream_get(&store).await;
    multipart(&store, store.as_ref()).await;
    multipart_with_opts(&store, store.as_ref()).await;
    multipart_put_part_out_of_order(&store, store.as_ref()).await;
    multipart_race_condition(&store, true).await;
    multipart_out_of_order(&store).await;
    put_get_attributes(&store).await;
    list_paginated(&store, store.as_ref()).await;
    put_opts(&store, true).await;
}

#[tokio::test]
async fn the_fast_face_conforms() {
    conforms(Face::Fast).await;
}

#[tokio::test]
async fn the_full_face_conforms() {
    conforms(Face::Full).await;
}
