//! ListObjectsV2 and ListObjects.

use percent_encoding::utf8_percent_encode;
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass,
};
use s3s::{S3Response, S3Result, s3_error};

use super::{etag, refusal};
use crate::Objects;
use crate::fast::list::{URL, parse_token, token};
use crate::objects::{ListEntry, ListPage, ListQuery};

pub(super) fn v2(objects: &Objects, input: ListObjectsV2Input) -> S3Result<S3Response<ListObjectsV2Output>> {
    let after_entry = match &input.continuation_token {
        Some(text) => {
            let entry = parse_token(text);
            Some(
                entry
                    .ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not of this lab"))?,
            )
        }
        None => None,
    };
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        start_after: input.start_after.clone(),
        after_entry,
        max: max(input.max_keys),
    };
    let page = objects.list(&input.bucket, &query).map_err(refusal)?;
    let names = Names::of(input.encoding_type.as_ref());
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: input.prefix.map(|prefix| names.write(&prefix)),
        delimiter: input.delimiter.map(|delimiter| names.write(&delimiter)),
        start_after: input.start_after.map(|key| names.write(&key)),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        max_keys: i32::try_from(query.max).ok(),
        key_count: i32::try_from(page.objects.len() + page.prefixes.len()).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(token),
        contents: Some(contents(&page, names)),
        common_prefixes: Some(prefixes(&page, names)),
        ..ListObjectsV2Output::default()
    }))
}

pub(super) fn v1(objects: &Objects, input: ListObjectsInput) -> S3Result<S3Response<ListObjectsOutput>> {
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        // A marker that is a rolled-up prefix means: behind all of it.
        after_entry: match (&input.marker, &input.delimiter) {
            (Some(marker), Some(delimiter)) if marker.ends_with(delimiter) => {
                Some(ListEntry::Prefix(marker.clone()))
            }
            _ => None,
        },
        start_after: input.marker.clone(),
        max: max(input.max_keys),
    };
    let page = objects.list(&input.bucket, &query).map_err(refusal)?;
    let names = Names::of(input.encoding_type.as_ref());
    let next_marker = page
        .next
        .as_ref()
        .map(|(ListEntry::Key(name) | ListEntry::Prefix(name))| names.write(name));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: input.prefix.map(|prefix| names.write(&prefix)),
        delimiter: input.delimiter.map(|delimiter| names.write(&delimiter)),
        marker: input.marker.map(|marker| names.write(&marker)),
        encoding_type: input.encoding_type,
        max_keys: i32::try_from(query.max).ok(),
        is_truncated: Some(page.next.is_some()),
        next_marker,
        contents: Some(contents(&page, names)),
        common_prefixes: Some(prefixes(&page, names)),
        ..ListObjectsOutput::default()
    }))
}

fn max(asked: Option<i32>) -> usize {
    asked
        .and_then(|max| usize::try_from(max).ok())
        .unwrap_or(1000)
        .min(1000)
}

/// How names are written in an answer.
#[derive(Clone, Copy)]
enum Names {
    Plain,
    Url,
}

impl Names {
    fn of(encoding: Option<&EncodingType>) -> Self {
        if encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL) {
            Self::Url
        } else {
            Self::Plain
        }
    }

    fn write(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::Url => utf8_percent_encode(name, URL).to_string(),
        }
    }
}

fn contents(page: &ListPage, names: Names) -> Vec<Object> {
    let line = |(key, object): &(String, std::sync::Arc<crate::Object>)| Object {
        key: Some(names.write(key)),
        e_tag: etag(&object.etag),
        last_modified: Some(object.last_modified.into()),
        size: i64::try_from(object.size()).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    };
    page.objects.iter().map(line).collect()
}

fn prefixes(page: &ListPage, names: Names) -> Vec<CommonPrefix> {
    page.prefixes
        .iter()
        .map(|prefix| CommonPrefix {
            prefix: Some(names.write(prefix)),
        })
        .collect()
}
