//! PUT of an object: with a body, or as a copy.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::{collect, conditions, stored, xml, xml_document};
use crate::lab::{LabBody, Target};
use crate::objects::{Object, Preconditions, StoreError, Verdict};
use crate::{Attributes, Objects};

pub(super) async fn object(
    objects: &Objects,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<LabBody>, StoreError> {
    let conditions = conditions(&request);
    let attributes = Attributes::from_headers(request.headers());
    if let Some(from) = copy_source(objects, request.headers()) {
        let from = from?;
        let replaces = request
            .headers()
            .get("x-amz-metadata-directive")
            .is_some_and(|value| value == "REPLACE");
        let mut attributes = if replaces {
            attributes
        } else {
            from.attributes.clone()
        };
        attributes.etag = None;
        let copy = objects.put_if(
            &target.bucket,
            &target.key,
            from.content.clone(),
            attributes,
            &conditions,
        )?;
        let text = format!(
            "{}<CopyObjectResult><ETag>{}</ETag><LastModified>{}</LastModified></CopyObjectResult>",
            xml::HEAD,
            xml::escape(&copy.etag),
            xml::timestamp(copy.last_modified)
        );
        return Ok(xml_document(StatusCode::OK, text));
    }
    // Read in any case: a refusal in mid upload closes the connection, and the client may never see the reason.
    let content = match collect(request).await {
        Ok(bytes) => bytes.into(),
        Err(response) => return Ok(response),
    };
    let object = objects.put_if(&target.bucket, &target.key, content, attributes, &conditions)?;
    Ok(stored(&object.etag))
}

/// The object that a copy reads, if the request is one; a condition on it that is not met is 412.
pub(super) fn copy_source(objects: &Objects, headers: &HeaderMap) -> Option<Result<Arc<Object>, StoreError>> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let path = percent_decode_str(text("x-amz-copy-source")?)
        .decode_utf8_lossy()
        .into_owned();
    let (bucket, key) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((&path, ""));
    let conditions = Preconditions {
        if_match: text("x-amz-copy-source-if-match").map(str::to_owned),
        if_none_match: text("x-amz-copy-source-if-none-match").map(str::to_owned),
        ..Preconditions::default()
    };
    Some(
        objects
            .find(bucket, key)
            .and_then(|object| match conditions.evaluate(Some(&object)) {
                Verdict::Proceed => Ok(object),
                Verdict::Failed | Verdict::NotModified => Err(StoreError::PreconditionFailed(key.to_owned())),
            }),
    )
}
