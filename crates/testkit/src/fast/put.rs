//! PUT of an object: with a body, or as a copy.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::{attributes, collect, conditions, stored, xml, xml_document};
use crate::Objects;
use crate::lab::{LabBody, Target};
use crate::objects::{StoreError, Verdict};

pub(super) async fn object(
    objects: &Objects,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<LabBody>, StoreError> {
    let conditions = conditions(&request);
    let attributes = attributes(request.headers());
    if let Some(source) = request.headers().get("x-amz-copy-source") {
        let path = percent_decode_str(source.to_str().unwrap_or("")).decode_utf8_lossy().into_owned();
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((&path, ""));
        let from = objects.find(bucket, key)?;
        let replaces = request.headers().get("x-amz-metadata-directive").is_some_and(|value| value == "REPLACE");
        let mut attributes = if replaces { attributes } else { from.attributes.clone() };
        attributes.etag = None;
        let copy = objects.put_if(&target.bucket, &target.key, from.content.clone(), attributes, &conditions)?;
        let text = format!(
            "{}<CopyObjectResult><ETag>{}</ETag><LastModified>{}</LastModified></CopyObjectResult>",
            xml::HEAD,
            xml::escape(&copy.etag),
            xml::timestamp(copy.last_modified)
        );
        return Ok(xml_document(StatusCode::OK, text));
    }
    // Refused before the body is read, so that a large one is not sent for nothing; decided for good when it is there.
    let current = match objects.find(&target.bucket, &target.key) {
        Ok(object) => Some(object),
        Err(StoreError::NoSuchKey(_)) => None,
        Err(error) => return Err(error),
    };
    if current.is_some() && conditions.evaluate(current.as_deref()) != Verdict::Proceed {
        return Err(StoreError::PreconditionFailed(target.key.clone()));
    }
    let content = match collect(request).await {
        Ok(bytes) => bytes.into(),
        Err(response) => return Ok(response),
    };
    let object = objects.put_if(&target.bucket, &target.key, content, attributes, &conditions)?;
    Ok(stored(&object.etag))
}
