//! Multipart uploads.

use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyPartResult, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part, Range, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::put::{collect, source};
use super::{conditions, etag, refusal};
use crate::objects::{PartInfo, Preconditions};
use crate::{Attributes, Content, Objects};

pub(super) fn create(
    objects: &Objects,
    req: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let attributes = Attributes::from_headers(&req.headers);
    let input = req.input;
    let id = objects
        .create_upload(&input.bucket, &input.key, attributes)
        .map_err(refusal)?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        ..CreateMultipartUploadOutput::default()
    }))
}

pub(super) async fn put_part(
    objects: &Objects,
    input: UploadPartInput,
) -> S3Result<S3Response<UploadPartOutput>> {
    let content = collect(input.body, input.content_length).await?;
    let tag = objects
        .put_part(&input.upload_id, number(input.part_number)?, content)
        .map_err(refusal)?;
    Ok(S3Response::new(UploadPartOutput {
        e_tag: etag(&tag),
        ..UploadPartOutput::default()
    }))
}

pub(super) fn copy_part(
    objects: &Objects,
    input: &UploadPartCopyInput,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let source = source(objects, &input.copy_source, &Preconditions::default())?;
    let content = match &input.copy_source_range {
        None => source.content.clone(),
        Some(text) => {
            let range = Range::parse(text).map_err(|error| s3_error!(error, InvalidArgument))?;
            let range = range
                .check(source.size())
                .map_err(|error| s3_error!(error, InvalidRange))?;
            let pieces = source.content.slice(range.into()).into_iter().map(Content::from);
            Content::Chain(pieces.collect())
        }
    };
    let tag = objects
        .put_part(&input.upload_id, number(input.part_number)?, content)
        .map_err(refusal)?;
    let result = CopyPartResult {
        e_tag: etag(&tag),
        ..CopyPartResult::default()
    };
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..UploadPartCopyOutput::default()
    }))
}

pub(super) fn complete(
    objects: &Objects,
    req: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let conditions = conditions(&req);
    let input = req.input;
    let listed = input
        .multipart_upload
        .and_then(|upload| upload.parts)
        .unwrap_or_default();
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload has at least one part"));
    }
    let mut parts = Vec::with_capacity(listed.len());
    for part in listed {
        let tag = part.e_tag.map(|tag| tag.value().to_owned());
        parts.push((number(part.part_number.unwrap_or(0))?, tag));
    }
    let object = objects
        .complete_upload(&input.upload_id, &parts, &conditions)
        .map_err(refusal)?;
    Ok(S3Response::new(CompleteMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: etag(&object.etag),
        ..CompleteMultipartUploadOutput::default()
    }))
}

pub(super) fn list_parts(objects: &Objects, input: ListPartsInput) -> S3Result<S3Response<ListPartsOutput>> {
    let part = |info: PartInfo| Part {
        part_number: i32::try_from(info.number).ok(),
        e_tag: etag(&info.etag),
        size: i64::try_from(info.size).ok(),
        ..Part::default()
    };
    let parts = objects
        .parts(&input.upload_id)
        .map_err(refusal)?
        .into_iter()
        .map(part)
        .collect();
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        is_truncated: Some(false),
        parts: Some(parts),
        ..ListPartsOutput::default()
    }))
}

pub(super) fn list_uploads(
    objects: &Objects,
    input: ListMultipartUploadsInput,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    objects.check_bucket(&input.bucket).map_err(refusal)?;
    let upload = |(key, id)| MultipartUpload {
        key: Some(key),
        upload_id: Some(id),
        ..MultipartUpload::default()
    };
    let uploads = objects.uploads(&input.bucket).into_iter().map(upload).collect();
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        is_truncated: Some(false),
        uploads: Some(uploads),
        ..ListMultipartUploadsOutput::default()
    }))
}

fn number(number: i32) -> S3Result<u32> {
    match u32::try_from(number) {
        Ok(number @ 1..=10_000) => Ok(number),
        _ => Err(s3_error!(InvalidArgument, "part numbers go from 1 to 10,000")),
    }
}
