use forebay_types::ErrorKind;
use object_store::{GetRange, ObjectStore, ObjectStoreExt};

use super::*;
use crate::fault::Fault;
use crate::open::Opener;
use crate::options::SourceOptions;
use crate::read_only::ReadOnly;

async fn store() -> (Source, CasStore) {
    let opener = Opener::new(SourceOptions::default());
    let mut below = opener.memory();
    below.path = Path::from("Data");
    for (name, bytes) in [("one", "abcd"), ("two", "efgh"), ("three", "ij")] {
        let key = Path::from(format!("Data/{name}"));
        below.store.put(&key, bytes.into()).await.unwrap();
    }
    let (_, store) = opener.open_cas(&below);
    (below, store)
}

fn chunks(size: u64, names: &[&str]) -> Chunks {
    Chunks {
        size,
        chunk_size: 4,
        names: names.iter().map(|name| (*name).into()).collect(),
    }
}

async fn read(store: &CasStore, name: &str, range: Option<GetRange>) -> Result<(ObjectMeta, Vec<u8>)> {
    let options = GetOptions {
        range,
        ..GetOptions::default()
    };
    let result = store.get_opts(&Path::from(name), options).await?;
    let meta = result.meta.clone();
    Ok((meta, result.bytes().await?.to_vec()))
}

#[tokio::test]
async fn a_content_has_its_name_as_its_version() {
    let (_, store) = store().await;
    let (meta, bytes) = read(&store, "one", None).await.unwrap();
    assert_eq!((meta.size, meta.e_tag.as_deref()), (4, Some("\"one\"")));
    assert_eq!((meta.location.as_ref(), &*bytes), ("one", b"abcd".as_slice()));
    let other = GetOptions {
        if_match: Some("\"two\"".to_owned()),
        ..GetOptions::default()
    };
    let error = store.get_opts(&Path::from("one"), other).await.unwrap_err();
    assert_eq!(Fault::of(&error).kind, ErrorKind::Changed);
    let error = read(&store, "none", None).await.unwrap_err();
    assert_eq!(Fault::of(&error).kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn chunks_are_read_as_one_wherever_a_range_begins_and_ends() {
    let (_, store) = store().await;
    store.join("all", chunks(10, &["one", "two", "three"])).unwrap();
    let whole = b"abcdefghij";
    for start in 0..10 {
        for end in start + 1..=12 {
            let range = Some(GetRange::Bounded(start..end));
            let (meta, bytes) = read(&store, "all", range).await.unwrap();
            assert_eq!(meta.size, 10);
            assert_eq!(
                bytes,
                &whole[start as usize..end.min(10) as usize],
                "{start}..{end}"
            );
        }
    }
    assert_eq!(read(&store, "all", None).await.unwrap().1, whole);
    let error = read(&store, "all", Some(GetRange::Offset(10))).await.unwrap_err();
    assert_eq!(Fault::of(&error).kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_chunk_of_another_length_is_none_of_it() {
    let (below, store) = store().await;
    store.join("wrong", chunks(10, &["one", "three", "two"])).unwrap();
    let error = read(&store, "wrong", None).await.unwrap_err();
    assert_eq!(Fault::of(&error).kind, ErrorKind::Changed, "{error}");
    // The first bytes are right.
    let start = Some(GetRange::Bounded(0..4));
    assert_eq!(read(&store, "wrong", start).await.unwrap().1, b"abcd");
    store.join("lost", chunks(10, &["none", "two", "three"])).unwrap();
    let error = read(&store, "lost", None).await.unwrap_err();
    assert_eq!(Fault::of(&error).kind, ErrorKind::NotFound);
    below.store.delete(&Path::from("Data/one")).await.unwrap();
}

#[tokio::test]
async fn lists_that_are_none_are_refused() {
    let (_, store) = store().await;
    for (size, names) in [
        (10, &["one", "two"][..]),
        (8, &["one", "two", "three"]),
        (4, &["a//b"]),
    ] {
        let error = store.join("x", chunks(size, names)).unwrap_err();
        assert!(matches!(error, Failure::Malformed { .. }), "{error}");
    }
    let nothing = Chunks {
        chunk_size: 0,
        ..chunks(4, &["one"])
    };
    store.join("x", nothing).unwrap_err();
    assert!(store.list(None).try_next().await.is_err());
    let put = ReadOnly(store)
        .put_opts(&Path::from("x"), "y".into(), object_store::PutOptions::default())
        .await;
    assert!(matches!(put, Err(object_store::Error::NotSupported { .. })));
}
