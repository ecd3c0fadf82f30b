//! Multipart uploads, so that a client can put large objects.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::put::copy_source;
use super::{collect, conditions, empty, error_document, stored, xml, xml_document};
use crate::lab::{LabBody, Target, range};
use crate::objects::StoreError;
use crate::{Attributes, Content, Objects};

/// POST ?uploads.
pub(super) fn create<B>(
    objects: &Objects,
    target: &Target,
    request: &Request<B>,
) -> Result<Response<LabBody>, StoreError> {
    let id = objects.create_upload(
        &target.bucket,
        &target.key,
        Attributes::from_headers(request.headers()),
    )?;
    let text = format!(
        "{}<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
        xml::HEAD,
        xml::escape(&target.bucket),
        xml::escape(&target.key),
    );
    Ok(xml_document(StatusCode::OK, text))
}

/// PUT ?partNumber&uploadId, with a body or as a copy.
pub(super) async fn put_part(
    objects: &Objects,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<LabBody>, StoreError> {
    let Some(number) = target.query("partNumber").and_then(|number| number.parse().ok()) else {
        return Ok(error_document(
            400,
            "InvalidArgument",
            "partNumber is not a number",
        ));
    };
    if let Some(source) = copy_source(objects, request.headers()) {
        let source = source?;
        let asked = request
            .headers()
            .get("x-amz-copy-source-range")
            .and_then(|value| value.to_str().ok());
        let content = match asked.map(|text| range(text).and_then(|range| range.resolve(source.size()))) {
            None => source.content.clone(),
            Some(None) => {
                return Ok(error_document(
                    416,
                    "InvalidRange",
                    "no such range in the copy's source",
                ));
            }
            Some(Some(range)) => Content::Chain(
                source
                    .content
                    .slice(range)
                    .into_iter()
                    .map(Content::from)
                    .collect(),
            ),
        };
        let etag = objects.put_part(upload(target), number, content)?;
        let etag = xml::escape(&etag);
        let text = format!(
            "{}<CopyPartResult><ETag>{etag}</ETag></CopyPartResult>",
            xml::HEAD
        );
        return Ok(xml_document(StatusCode::OK, text));
    }
    match collect(request).await {
        Ok(bytes) => Ok(stored(&objects.put_part(upload(target), number, bytes.into())?)),
        Err(response) => Ok(response),
    }
}

/// POST ?uploadId.
pub(super) async fn complete(
    objects: &Objects,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<LabBody>, StoreError> {
    let conditions = conditions(&request);
    let body = match collect(request).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(response) => return Ok(response),
    };
    let numbers = xml::elements(&body, "PartNumber");
    let etags = xml::elements(&body, "ETag");
    let numbers: Result<Vec<u32>, _> = numbers.iter().map(|number| number.trim().parse()).collect();
    let parts: Vec<_> = match numbers {
        Ok(numbers) if !numbers.is_empty() && numbers.len() == etags.len() => {
            numbers.into_iter().zip(etags.into_iter().map(Some)).collect()
        }
        _ => {
            return Ok(error_document(
                400,
                "MalformedXML",
                "parts need a PartNumber and an ETag each",
            ));
        }
    };
    let object = objects.complete_upload(upload(target), &parts, &conditions)?;
    let text = format!(
        "{}<CompleteMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
        xml::HEAD,
        xml::escape(&target.bucket),
        xml::escape(&target.key),
        xml::escape(&object.etag),
    );
    Ok(xml_document(StatusCode::OK, text))
}

/// DELETE ?uploadId.
pub(super) fn abort(objects: &Objects, target: &Target) -> Result<Response<LabBody>, StoreError> {
    objects.abort_upload(upload(target))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn upload(target: &Target) -> &str {
    target.query("uploadId").unwrap_or("")
}
