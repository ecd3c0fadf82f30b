//! The wrapped stores against the conformance suite of crate `object_store`.

use forebay_source::{Opener, SourceOptions};
use forebay_testkit::Face;
use object_store::ObjectStore;
use object_store::integration::{
    copy_if_not_exists, copy_rename_nonexistent_object, get_nonexistent_object, get_opts,
    list_uses_directories_correctly, list_with_delimiter, list_with_offset_exclusivity,
    multipart_out_of_order, multipart_race_condition, put_get_delete_list, put_opts, rename_and_copy,
    stream_get,
};

use crate::world::{init_logging, lab, open, options};

pub(crate) async fn conforms(store: &dyn ObjectStore, updates: bool) {
    put_get_delete_list(store).await;
    list_with_offset_exclusivity(store).await;
    get_opts(store).await;
    list_uses_directories_correctly(store).await;
    list_with_delimiter(store).await;
    rename_and_copy(store).await;
    copy_if_not_exists(store).await;
    copy_rename_nonexistent_object(store).await;
    assert!(get_nonexistent_object(store, None).await.is_err());
    stream_get(store).await;
    multipart_race_condition(store, true).await;
    multipart_out_of_order(store).await;
    put_opts(store, updates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_conforms_through_all_wrappers() {
    let lab = lab(Face::Full);
    let opener = Opener::new(options(&lab));
    let source = open(&opener, "s3://bucket/");
    conforms(&source.store, true).await;
    assert_eq!(opener.budget().in_use(), 0);
    assert!(source.meter.writes() > 0 && source.meter.lists() > 0 && source.meter.gets() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms_through_all_wrappers() {
    init_logging();
    let opener = Opener::new(SourceOptions::default());
    conforms(&opener.memory().store, true).await;
    assert_eq!(opener.budget().in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_conform_through_all_wrappers() {
    init_logging();
    let dir = tempfile::tempdir().unwrap();
    let opener = Opener::new(SourceOptions::default());
    let source = open(&opener, dir.path().to_str().unwrap());
    conforms(&source.store, false).await;
    assert_eq!(opener.budget().in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_conforms_over_one_connection_at_a_time() {
    let lab = lab(Face::Full);
    let mut options = options(&lab);
    options.max_connections = 1;
    let opener = Opener::new(options);
    let store = open(&opener, "s3://bucket/").store;
    crate::world::within(put_get_delete_list(&store)).await;
    assert_eq!(lab.counts().max_concurrent_requests, 1);
    assert_eq!(opener.budget().in_use(), 0);
}
