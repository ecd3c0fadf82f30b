//! GetObject, HeadObject and GetObjectTagging.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use forebay_types::ByteRange;
use http::header;
use s3s::dto::{
    GetObjectInput, GetObjectOutput, GetObjectTaggingInput, GetObjectTaggingOutput, HeadObjectInput,
    HeadObjectOutput, Range, StreamingBlob, Tag,
};
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{conditions, overrides, refusal};
use crate::Objects;
use crate::objects::{Object, StoreError, Verdict};

pub(super) fn get(
    objects: &Objects,
    req: &S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let object = find(objects, req, &req.input.bucket, &req.input.key)?;
    let wanted = req.input.range.filter(|_| !overrides(req).ignore_range);
    let (range, content_range) = select(&object, wanted)?;
    let mut response = S3Response::new(GetObjectOutput {
        body: Some(Pieces::of(&object, range)),
        content_length: i64::try_from(range.len()).ok(),
        content_range,
        ..GetObjectOutput::default()
    });
    object.write_headers(&mut response.headers);
    Ok(response)
}

pub(super) fn head(
    objects: &Objects,
    req: &S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let object = find(objects, req, &req.input.bucket, &req.input.key)?;
    let wanted = req.input.range.filter(|_| !overrides(req).ignore_range);
    let (range, content_range) = select(&object, wanted)?;
    let mut response = S3Response::new(HeadObjectOutput {
        content_length: i64::try_from(range.len()).ok(),
        content_range,
        ..HeadObjectOutput::default()
    });
    object.write_headers(&mut response.headers);
    Ok(response)
}

pub(super) fn tags(
    objects: &Objects,
    input: &GetObjectTaggingInput,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let object = objects.find(&input.bucket, &input.key).map_err(refusal)?;
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    let tag_set = object.attributes.tags.iter().map(tag).collect();
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set,
        version_id: None,
    }))
}

/// The object, if its conditions allow to read it.
fn find<T>(objects: &Objects, req: &S3Request<T>, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
    let object = objects.find(bucket, key).map_err(refusal)?;
    match conditions(req).evaluate(Some(&object)) {
        Verdict::Proceed => Ok(object),
        Verdict::Failed => Err(refusal(StoreError::PreconditionFailed(key.to_owned()))),
        Verdict::NotModified => {
            let mut error = S3Error::new(S3ErrorCode::NotModified);
            let mut headers = http::HeaderMap::new();
            object.write_headers(&mut headers);
            error.set_headers(headers);
            Err(error)
        }
    }
}

/// The bytes to send, and Content-Range if they are a part.
fn select(object: &Object, wanted: Option<Range>) -> S3Result<(ByteRange, Option<String>)> {
    let size = object.size();
    let Some(wanted) = wanted else {
        return Ok((ByteRange::new(0, size), None));
    };
    let Ok(range) = wanted.check(size) else {
        let mut error = S3Error::new(S3ErrorCode::InvalidRange);
        error.set_headers(super::header(header::CONTENT_RANGE, &format!("bytes */{size}")));
        return Err(error);
    };
    let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    Ok((range.into(), Some(text)))
}

/// Pieces of an object as crate s3s wants a body.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: usize,
}

impl Pieces {
    fn of(object: &Object, range: ByteRange) -> StreamingBlob {
        let pieces: VecDeque<_> = object.content.slice(range).into();
        let left = pieces.iter().map(Bytes::len).sum();
        StreamingBlob::new(Self { pieces, left })
    }
}

impl futures::Stream for Pieces {
    type Item = Result<Bytes, s3s::StdError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(Ok))
    }
}

impl ByteStream for Pieces {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(self.left)
    }
}
