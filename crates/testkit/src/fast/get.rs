//! GET and HEAD of an object.

use forebay_types::{ByteRange, RangeSpec};
use http::{HeaderMap, Request, Response, StatusCode, header};

use super::{conditions, empty, error_document, overrides};
use crate::Objects;
use crate::lab::{LabBody, Target};
use crate::objects::{Object, StoreError, Verdict, set};

pub(super) fn object<B>(
    objects: &Objects,
    target: &Target,
    request: &Request<B>,
) -> Result<Response<LabBody>, StoreError> {
    let object = objects.find(&target.bucket, &target.key)?;
    match conditions(request).evaluate(Some(&object)) {
        Verdict::Proceed => {}
        Verdict::Failed => return Err(StoreError::PreconditionFailed(target.key.clone())),
        Verdict::NotModified => {
            let mut response = empty(StatusCode::NOT_MODIFIED);
            object.write_headers(response.headers_mut());
            return Ok(response);
        }
    }
    let spec = target
        .range
        .filter(|_| !overrides(request).ignore_range && if_range(request.headers(), &object));
    let (status, range) = match select(spec, object.size()) {
        Selection::Whole => (StatusCode::OK, ByteRange::new(0, object.size())),
        Selection::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Selection::Unsatisfiable => {
            let mut response =
                error_document(416, "InvalidRange", "the range begins behind the object's end");
            set(
                response.headers_mut(),
                header::CONTENT_RANGE,
                &format!("bytes */{}", object.size()),
            );
            return Ok(response);
        }
    };
    let body = if request.method() == http::Method::HEAD {
        LabBody::empty()
    } else {
        LabBody::pieces(object.content.slice(range))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    object.write_headers(headers);
    headers.insert(header::CONTENT_LENGTH, range.len().into());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end().saturating_sub(1);
        set(
            headers,
            header::CONTENT_RANGE,
            &format!("bytes {}-{last}/{}", range.start(), object.size()),
        );
    }
    Ok(response)
}

/// Which bytes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selection {
    Whole,
    Part(ByteRange),
    Unsatisfiable,
}

/// No range of an empty object can be satisfied, because Content-Range cannot say "no bytes": S3 answers 416 too.
fn select(spec: Option<RangeSpec>, size: u64) -> Selection {
    match spec {
        None => Selection::Whole,
        Some(_) if size == 0 => Selection::Unsatisfiable,
        Some(spec) => spec
            .resolve(size)
            .map_or(Selection::Unsatisfiable, Selection::Part),
    }
}

/// Whether the range counts: If-Range names another version, then the whole object is wanted.
fn if_range(headers: &HeaderMap, object: &Object) -> bool {
    headers
        .get(header::IF_RANGE)
        .is_none_or(|value| value.as_bytes() == object.etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_object_has_no_range() {
        assert_eq!(select(None, 0), Selection::Whole);
        for text in ["0-", "0-0", "-5"] {
            assert_eq!(
                select(Some(text.parse().unwrap()), 0),
                Selection::Unsatisfiable,
                "{text}"
            );
        }
        assert_eq!(
            select(Some(RangeSpec::Last(5)), 3),
            Selection::Part(ByteRange::new(0, 3))
        );
        assert_eq!(select(Some(RangeSpec::From(3)), 3), Selection::Unsatisfiable);
    }
}
