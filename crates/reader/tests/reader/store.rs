//! `CachedStore` is a store like any other, and faster.

use std::sync::Arc;

use forebay_reader::CachedStore;
use forebay_source::Source;
use forebay_testkit::{Face, Profile};
use object_store::integration::{
    copy_if_not_exists, copy_rename_nonexistent_object, get_nonexistent_object, get_opts,
    list_uses_directories_correctly, list_with_delimiter, list_with_offset_exclusivity,
    multipart_out_of_order, multipart_race_condition, put_get_attributes, put_get_delete_list, put_opts,
    rename_and_copy, stream_get,
};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::world::{MIB, Setup, World, settled, within};

async fn conforms(store: CachedStore) {
    put_get_delete_list(&store).await;
    list_with_offset_exclusivity(&store).await;
    get_opts(&store).await;
    list_uses_directories_correctly(&store).await;
    list_with_delimiter(&store).await;
    rename_and_copy(&store).await;
    copy_if_not_exists(&store).await;
    copy_rename_nonexistent_object(&store).await;
    assert!(get_nonexistent_object(&store, None).await.is_err());
    stream_get(&store).await;
    multipart_race_condition(&store, true).await;
    multipart_out_of_order(&store).await;
    put_opts(&store, true).await;
}

fn cached(world: &World, source: Source) -> CachedStore {
    CachedStore::new(world.reader(), source, Arc::new(world.setup.range.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms_over_s3() {
    let world = World::at(Profile::LOOPBACK, Face::Full, Setup::default());
    let store = cached(&world, world.source(""));
    conforms(store.clone()).await;
    put_get_attributes(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms_over_memory() {
    let world = World::new(Setup::default());
    let store = cached(&world, world.opener.memory());
    conforms(store.clone()).await;
    put_get_attributes(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_read_brings_no_bytes() {
    let world = World::new(Setup::default());
    let content = world.put("object", 1, 20 * MIB);
    let store = cached(&world, world.source(""));
    let path = Path::from("object");
    for round in 0..2 {
        let sent = world.lab.counts().bytes_sent;
        let bytes = within(store.get(&path)).await.unwrap().bytes().await.unwrap();
        content.check(0, &bytes).unwrap();
        let ranges = [5..10, MIB..MIB + 100, 19 * MIB..20 * MIB + 50, 0..1];
        let parts = within(store.get_ranges(&path, &ranges)).await.unwrap();
        for (range, part) in ranges.iter().zip(&parts) {
            content.check(range.start, part).unwrap();
            assert_eq!(part.len() as u64, range.end.min(20 * MIB) - range.start);
        }
        let handle = store.open(&path).await.unwrap();
        drop(handle);
        let sent = world.lab.counts().bytes_sent - sent;
        assert_eq!(sent < 10_000, round == 1, "round {round}: {sent}");
        settle(&world, &store).await;
    }
}

async fn settle(world: &World, store: &CachedStore) {
    settled(world, store.reader()).await;
}
