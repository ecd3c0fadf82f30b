//! DELETE of one object, and of many.

use std::fmt::Write;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::{collect, conditions, empty, error_document, xml, xml_document};
use crate::Objects;
use crate::lab::{LabBody, Target};
use crate::objects::StoreError;

/// 204, whether there was one or not, as in S3.
pub(super) fn object<B>(
    objects: &Objects,
    target: &Target,
    request: &Request<B>,
) -> Result<Response<LabBody>, StoreError> {
    objects.delete_if(&target.bucket, &target.key, &conditions(request))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// POST ?delete.
pub(super) async fn many(
    objects: &Objects,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<LabBody>, StoreError> {
    objects.check_bucket(&target.bucket)?;
    let body = match collect(request).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(response) => return Ok(response),
    };
    let keys = xml::elements(&body, "Key");
    if keys.is_empty() || keys.len() > 1000 {
        return Ok(error_document(
            400,
            "MalformedXML",
            "a bulk delete names 1 to 1,000 keys",
        ));
    }
    let quiet = xml::elements(&body, "Quiet").iter().any(|value| value == "true");
    let mut text = format!("{}<DeleteResult>", xml::HEAD);
    for key in keys {
        objects.delete(&target.bucket, &key);
        if !quiet {
            // Writing to a String does not fail.
            let _ = write!(text, "<Deleted><Key>{}</Key></Deleted>", xml::escape(&key));
        }
    }
    text.push_str("</DeleteResult>");
    Ok(xml_document(StatusCode::OK, text))
}
