//! The fast face: a thin handler, one file per verb. Bodies of GETs are slices of the object's memory; nothing is
//! copied, nothing is hashed, no signature is looked at.

mod delete;
mod get;
pub(crate) mod list;
mod multipart;
mod put;
mod xml;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::faults::Overrides;
use crate::lab::{LabBody, Target};
use crate::objects::{Preconditions, StoreError, set};
use crate::{Objects, Op};

/// Answers a request.
pub(crate) async fn answer(
    objects: &Objects,
    target: &Target,
    request: Request<Incoming>,
) -> Response<LabBody> {
    let has = |name| target.query(name).is_some();
    let answer = match (request.method(), target.key.is_empty()) {
        (&Method::GET | &Method::HEAD, false) if matches!(target.op, Op::Get | Op::Head) => {
            get::object(objects, target, &request)
        }
        (&Method::GET, true) if target.op == Op::List => list::keys(objects, target),
        (&Method::HEAD, true) => objects
            .check_bucket(&target.bucket)
            .map(|()| empty(StatusCode::OK)),
        (&Method::PUT, true) => {
            objects.create_bucket(&target.bucket);
            Ok(empty(StatusCode::OK))
        }
        (&Method::PUT, false) if has("uploadId") => multipart::put_part(objects, target, request).await,
        (&Method::PUT, false) if target.op == Op::Put => put::object(objects, target, request).await,
        (&Method::POST, false) if has("uploads") => multipart::create(objects, target, &request),
        (&Method::POST, false) if has("uploadId") => multipart::complete(objects, target, request).await,
        (&Method::POST, true) if has("delete") => delete::many(objects, target, request).await,
        (&Method::DELETE, false) if has("uploadId") => multipart::abort(objects, target),
        (&Method::DELETE, false) => delete::object(objects, target, &request),
        (method, _) => Ok(error_document(
            501,
            "NotImplemented",
            &format!("the fast face does not do {method} here"),
        )),
    };
    answer.unwrap_or_else(|error| refusal(&error))
}

/// The one table from refusals to status and S3 code.
fn refusal(error: &StoreError) -> Response<LabBody> {
    let (status, code) = match error {
        StoreError::NoSuchBucket(_) => (404, "NoSuchBucket"),
        StoreError::NoSuchKey(_) => (404, "NoSuchKey"),
        StoreError::NoSuchUpload(_) => (404, "NoSuchUpload"),
        StoreError::AccessDenied(_) => (403, "AccessDenied"),
        StoreError::PreconditionFailed(_) => (412, "PreconditionFailed"),
        StoreError::InvalidPart(_) => (400, "InvalidPart"),
        StoreError::InvalidPartOrder => (400, "InvalidPartOrder"),
    };
    error_document(status, code, &error.to_string())
}

/// An S3 error document.
pub(crate) fn error_document(status: u16, code: &str, message: &str) -> Response<LabBody> {
    let message = xml::escape(message);
    let text = format!(
        "{}<Error><Code>{code}</Code><Message>{message}</Message></Error>",
        xml::HEAD
    );
    xml_document(
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        text,
    )
}

fn xml_document(status: StatusCode, text: String) -> Response<LabBody> {
    let mut response = Response::new(LabBody::text(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn empty(status: StatusCode) -> Response<LabBody> {
    let mut response = Response::new(LabBody::empty());
    *response.status_mut() = status;
    response
}

/// An answer that only tells the ETag.
fn stored(etag: &str) -> Response<LabBody> {
    let mut response = empty(StatusCode::OK);
    set(response.headers_mut(), header::ETAG, etag);
    response
}

/// The conditions of a request, unless a fault overlooks them.
fn conditions<B>(request: &Request<B>) -> Preconditions {
    if overrides(request).ignore_conditions {
        return Preconditions::default();
    }
    Preconditions::from_headers(request.headers())
}

fn overrides<B>(request: &Request<B>) -> Overrides {
    request.extensions().get().copied().unwrap_or_default()
}

/// The whole body of a request in one piece; `Err` is the answer to give if the client broke off.
async fn collect(request: Request<Incoming>) -> Result<Bytes, Response<LabBody>> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(MAX_RESERVED));
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(error) => return Err(error_document(400, "IncompleteBody", &error.to_string())),
        }
    }
    Ok(bytes.into())
}

/// Memory reserved at a client's word, in bytes; more grows as it comes.
const MAX_RESERVED: usize = 256 * 1024 * 1024;
