//! How a client reaches a lab.

use std::collections::BTreeMap;

/// The key of a lab that was given no other.
pub(crate) const KEY_ID: &str = "forebay-lab";
/// Its secret.
pub(crate) const SECRET: &str = "forebay-lab-secret";

/// The settings of S3 that reach the lab at `endpoint`, with the credentials that it has if nobody gave it others: by the
/// lower-case names of their environment variables, as `SourceOptions::cloud` has them.
pub fn s3_settings(endpoint: &str) -> BTreeMap<String, String> {
    [
        ("aws_endpoint_url", endpoint),
        ("aws_allow_http", "true"),
        ("aws_access_key_id", KEY_ID),
        ("aws_secret_access_key", SECRET),
        ("aws_region", "us-east-1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
