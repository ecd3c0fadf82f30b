//! PutObject, CopyObject and PutObjectTagging.

use futures::StreamExt;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, MetadataDirective, PutObjectInput,
    PutObjectOutput, PutObjectTaggingInput, PutObjectTaggingOutput, StreamingBlob, TaggingDirective,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;

use super::{conditions, etag, refusal};
use crate::objects::{Object, Preconditions, StoreError, Verdict};
use crate::{Attributes, Content, Objects};

pub(super) async fn put(
    objects: &Objects,
    req: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let conditions = conditions(&req);
    let attributes = Attributes::from_headers(&req.headers);
    let input = req.input;
    objects.check_bucket(&input.bucket).map_err(refusal)?;
    let content = collect(input.body, input.content_length).await?;
    let object = objects
        .put_if(&input.bucket, &input.key, content, attributes, &conditions)
        .map_err(refusal)?;
    Ok(S3Response::new(PutObjectOutput {
        e_tag: etag(&object.etag),
        ..PutObjectOutput::default()
    }))
}

/// The bytes of a body. Its length, if known, is checked: a client that broke off must not leave half an object.
pub(super) async fn collect(body: Option<StreamingBlob>, length: Option<i64>) -> S3Result<Content> {
    let length = length.and_then(|length| usize::try_from(length).ok());
    let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(MAX_RESERVED));
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            // A signature of a chunk that does not fit, for example, arrives here as a broken stream.
            bytes.extend_from_slice(&piece.map_err(|error| s3_error!(InvalidRequest, "{error}"))?);
        }
    }
    if length.is_some_and(|length| length != bytes.len()) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(bytes.into())
}

/// Memory reserved at a client's word, in bytes; more grows as it comes.
const MAX_RESERVED: usize = 256 * 1024 * 1024;

pub(super) fn copy(
    objects: &Objects,
    req: &S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let input = &req.input;
    let condition = |name| {
        req.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let source_conditions = Preconditions {
        if_match: condition("x-amz-copy-source-if-match"),
        if_none_match: condition("x-amz-copy-source-if-none-match"),
        ..Preconditions::default()
    };
    let source = source(objects, &input.copy_source, &source_conditions)?;
    let given = Attributes::from_headers(&req.headers);
    let replaces = input
        .metadata_directive
        .as_ref()
        .is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
    let retags = input
        .tagging_directive
        .as_ref()
        .is_some_and(|d| d.as_str() == TaggingDirective::REPLACE);
    let tags = if retags {
        given.tags.clone()
    } else {
        source.attributes.tags.clone()
    };
    let attributes = if replaces {
        given
    } else {
        source.attributes.clone()
    };
    let attributes = Attributes {
        tags,
        etag: None,
        ..attributes
    };
    let copy = objects
        .put_if(
            &input.bucket,
            &input.key,
            source.content.clone(),
            attributes,
            &conditions(req),
        )
        .map_err(refusal)?;
    let result = CopyObjectResult {
        e_tag: etag(&copy.etag),
        last_modified: Some(copy.last_modified.into()),
        ..CopyObjectResult::default()
    };
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        ..CopyObjectOutput::default()
    }))
}

/// The object that a copy reads; a condition on it that is not met is 412, for If-None-Match too.
pub(super) fn source(
    objects: &Objects,
    source: &CopySource,
    conditions: &Preconditions,
) -> S3Result<Arc<Object>> {
    let CopySource::Bucket { bucket, key, .. } = source else {
        return Err(s3_error!(
            NotImplemented,
            "a copy source is written as bucket/key"
        ));
    };
    let object = objects.find(bucket, key).map_err(refusal)?;
    match conditions.evaluate(Some(&object)) {
        Verdict::Proceed => Ok(object),
        Verdict::Failed | Verdict::NotModified => {
            Err(refusal(StoreError::PreconditionFailed(key.to_string())))
        }
    }
}

pub(super) fn tags(
    objects: &Objects,
    input: PutObjectTaggingInput,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let tags = input
        .tagging
        .tag_set
        .into_iter()
        .filter_map(|tag| Some((tag.key?, tag.value?)))
        .collect();
    objects
        .set_tags(&input.bucket, &input.key, tags)
        .map_err(refusal)?;
    Ok(S3Response::new(PutObjectTaggingOutput::default()))
}
