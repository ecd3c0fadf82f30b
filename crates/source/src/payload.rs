//! Which bytes an answer has, and those bytes with something done to them on the way.

use bytes::Bytes;
use forebay_types::ByteRange;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetRange, GetResult, GetResultPayload, ObjectMeta, Result};

/// What is asked for of an object of `size` bytes, as far as it has them; without a range all of it.
pub(crate) fn asked_for(asked: Option<&GetRange>, size: u64) -> ByteRange {
    let range = match asked {
        None => ByteRange::new(0, size),
        Some(GetRange::Bounded(range)) => ByteRange::from(range.clone()),
        Some(GetRange::Offset(start)) => ByteRange::new(*start, size.max(*start)),
        Some(GetRange::Suffix(len)) => ByteRange::new(size.saturating_sub(*len), size),
    };
    range.clamp_to(size)
}

/// The same; `None` for a range that begins where there is no byte, which a server with ranges refuses (416).
pub(crate) fn satisfiable(asked: Option<&GetRange>, size: u64) -> Option<ByteRange> {
    let range = asked_for(asked, size);
    (asked.is_none() || range.start() < size).then_some(range)
}

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
