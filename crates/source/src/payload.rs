//! The bytes of an answer, with something done to them on the way.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetResult, GetResultPayload, ObjectMeta, Result};

/// `result` with another stream of bytes, made from its own.
pub(crate) fn map_stream(
    mut result: GetResult,
    map: impl FnOnce(BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>>,
) -> GetResult {
    let nothing = GetResultPayload::Stream(futures::stream::empty().boxed());
    let payload = std::mem::replace(&mut result.payload, nothing);
    // Through a whole GetResult, because a payload may be a file as well, if another crate switches that on. Of its
    // description only the range matters for that.
    let nobody = ObjectMeta {
        location: Path::ROOT,
        last_modified: Default::default(),
        size: 0,
        e_tag: None,
        version: None,
    };
    let whole = GetResult {
        payload,
        meta: nobody,
        range: result.range.clone(),
        attributes: Default::default(),
        extensions: Default::default(),
    };
    result.payload = GetResultPayload::Stream(map(whole.into_stream()));
    result
}
