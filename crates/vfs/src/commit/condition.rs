//! What stores say of conditions: that they are not met, or not known.

use forebay_source::Fault;
use forebay_types::ErrorKind;

/// That something is there, or another one, where nothing was to be, or this one.
pub(super) fn is_refusal(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }
    ) || Fault::of(error).status == Some(409)
}

pub(super) fn is_another(error: &object_store::Error) -> bool {
    let kind = Fault::of(error).kind;
    kind == ErrorKind::Changed || kind == ErrorKind::NotFound || is_refusal(error)
}

/// Whether the store says that it does not know how to create only.
pub(super) fn cannot_create_only(error: &object_store::Error) -> bool {
    let fault = Fault::of(error);
    fault.kind == ErrorKind::Unsupported || fault.status == Some(501)
}
