//! DeleteObject, DeleteObjects and DeleteObjectTagging.

use std::collections::BTreeMap;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{conditions, refusal};
use crate::Objects;

/// Success, whether there was one or not, as in S3.
pub(super) fn one(
    objects: &Objects,
    req: &S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    objects
        .delete_if(&req.input.bucket, &req.input.key, &conditions(req))
        .map_err(refusal)?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

pub(super) fn many(
    objects: &Objects,
    req: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let input = req.input;
    objects.check_bucket(&input.bucket).map_err(refusal)?;
    let deleted = input.delete.objects.into_iter().map(|object| {
        objects.delete(&input.bucket, &object.key);
        DeletedObject {
            key: Some(object.key),
            ..DeletedObject::default()
        }
    });
    let deleted: Vec<_> = deleted.collect();
    let quiet = input.delete.quiet.unwrap_or(false);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        ..DeleteObjectsOutput::default()
    }))
}

pub(super) fn tags(
    objects: &Objects,
    input: &DeleteObjectTaggingInput,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    objects
        .set_tags(&input.bucket, &input.key, BTreeMap::new())
        .map_err(refusal)?;
    Ok(S3Response::new(DeleteObjectTaggingOutput::default()))
}
