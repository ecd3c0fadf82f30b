//! The full face: S3 through crate `s3s` over the same objects, one file per verb.
//!
//! `s3s` checks signatures, reads requests and writes answers; what an operation means is ours: [`store`] lists them.

mod delete;
mod get;
mod list;
mod multipart;
mod put;
mod store;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::ETag;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};

use crate::Objects;
use crate::fast::error_document;
use crate::faults::Overrides;
use crate::lab::LabBody;
use crate::objects::{Preconditions, StoreError, set};

/// The S3 service over these objects, for this one key pair.
pub(crate) fn service(objects: Objects, (access_key, secret_key): (String, String)) -> S3Service {
    let mut builder = S3ServiceBuilder::new(store::Store { objects });
    builder.set_auth(OneKey {
        access_key,
        secret_key: secret_key.into(),
    });
    builder.build()
}

/// Answers a request.
pub(crate) async fn answer(service: &S3Service, request: Request<Incoming>) -> Response<LabBody> {
    match service.call(request.map(s3s::Body::from)).await {
        // Crate s3s writes an error document for it, which a 304 cannot carry.
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => {
            let mut response = response.map(|_| LabBody::empty());
            response.headers_mut().remove(http::header::CONTENT_TYPE);
            response
        }
        Ok(response) => response.map(LabBody::stream),
        Err(error) => error_document(500, "InternalError", &format!("crate s3s failed: {error:?}")),
    }
}

struct OneKey {
    access_key: String,
    secret_key: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "the lab knows another access key; see LabBuilder::credentials"
        ))
    }
}

/// The one table from refusals to S3 codes; crate s3s knows their statuses.
#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn refusal(error: StoreError) -> S3Error {
    let code = match &error {
        StoreError::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
        StoreError::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
        StoreError::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
        StoreError::AccessDenied(_) => S3ErrorCode::AccessDenied,
        StoreError::PreconditionFailed(_) => S3ErrorCode::PreconditionFailed,
        StoreError::InvalidPart(_) => S3ErrorCode::InvalidPart,
        StoreError::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
    };
    S3Error::with_message(code, error.to_string())
}

/// The conditions of a request, unless a fault overlooks them. They are read from the headers as they came, because
/// crate s3s takes one tag only where HTTP allows a list.
fn conditions<T>(request: &S3Request<T>) -> Preconditions {
    if overrides(request).ignore_conditions {
        return Preconditions::default();
    }
    Preconditions::from_headers(&request.headers)
}

fn overrides<T>(request: &S3Request<T>) -> Overrides {
    request.extensions.get().copied().unwrap_or_default()
}

fn etag(text: &str) -> Option<ETag> {
    ETag::parse_http_header(text.as_bytes()).ok()
}

fn header(name: http::HeaderName, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, name, value);
    headers
}
