//! Warming: into the cache, for nobody in particular.

use forebay_reader::Warmed;

use crate::world::{MIB, Setup, World, check, settled, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_object_is_read_without_a_byte_from_the_source() {
    let world = World::new(Setup::default());
    let content = world.put("object", 1, 50 * MIB + 1);
    let reader = world.reader();
    let warmed = within(reader.warm(world.target("object"))).await.unwrap();
    let size = content.size();
    assert_eq!(
        warmed,
        Warmed {
            size,
            found: 0,
            fetched: size,
            cached: size
        }
    );
    settled(&world, &reader).await;
    let again = within(reader.warm(world.target("object"))).await.unwrap();
    assert_eq!((again.found, again.fetched, again.cached), (size, 0, size));
    let other = world.reader();
    let handle = world.open(&other, "object").await;
    assert!(handle.is_cached());
    let sent = world.lab.counts().bytes_sent;
    check(&handle, &content, 0, size).await;
    assert_eq!(world.lab.counts().bytes_sent, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn warming_fetches_only_what_is_missing() {
    let world = World::new(Setup::small_parts().no_read_ahead());
    let content = world.put("object", 1, 8 * MIB);
    let reader = world.reader();
    let handle = world.open(&reader, "object").await;
    check(&handle, &content, 0, MIB).await;
    check(&handle, &content, 5 * MIB, MIB).await;
    reader.flush().await;
    let warmed = within(reader.warm(world.target("object"))).await.unwrap();
    assert!((2 * MIB..3 * MIB).contains(&warmed.found), "{warmed:?}");
    assert_eq!(warmed.fetched, 8 * MIB - warmed.found);
    assert_eq!(warmed.cached, 8 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_there_is_nothing_to_warm() {
    let world = World::new(Setup::default());
    world.put("object", 1, MIB);
    let warmed = within(world.uncached().warm(world.target("object")))
        .await
        .unwrap();
    assert_eq!((warmed.size, warmed.cached), (MIB, 0));
}
