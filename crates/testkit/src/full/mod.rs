//! The full face: S3 through crate `s3s`.

use http::{Request, Response};
use hyper::body::Incoming;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::Objects;
use crate::fast::error_document;
use crate::lab::LabBody;

/// The S3 service over these objects.
pub(crate) fn service(objects: Objects, (access_key, secret_key): (String, String)) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Store { objects });
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    builder.build()
}

/// Answers a request.
pub(crate) async fn answer(service: &S3Service, request: Request<Incoming>) -> Response<LabBody> {
    match service.call(request.map(s3s::Body::from)).await {
        Ok(response) => response.map(LabBody::stream),
        Err(error) => error_document(500, "InternalError", &format!("{error:?}")),
    }
}

struct Store {
    #[expect(dead_code, reason = "soon")]
    objects: Objects,
}

impl s3s::S3 for Store {}
