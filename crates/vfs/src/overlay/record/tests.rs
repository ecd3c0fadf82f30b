use proptest::prelude::*;

use super::codec::BadPayload;
use super::*;

fn id() -> impl Strategy<Value = NodeId> {
    (1..u64::MAX).prop_map(NodeId)
}

fn attrs() -> impl Strategy<Value = Attrs> {
    any::<([u32; 3], [i64; 3])>().prop_map(|([mode, uid, gid], [atime, mtime, ctime])| Attrs {
        mode,
        uid,
        gid,
        atime,
        mtime,
        ctime,
    })
}

fn text() -> impl Strategy<Value = Box<str>> {
    ".{0,40}".prop_map(Into::into)
}

fn bytes() -> impl Strategy<Value = Box<[u8]>> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Into::into)
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        Just(Data::Lower),
        Just(Data::Whole),
        any::<u64>().prop_map(|limit| Data::Mapped { limit }),
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    (text(), text(), any::<u64>(), any::<i64>()).prop_map(|(path, version, size, mtime)| Origin {
        path,
        version,
        size,
        mtime,
    })
}

fn stamp() -> impl Strategy<Value = DataStamp> {
    any::<(u64, i64, i64)>().prop_map(|(size, mtime, ctime)| DataStamp { size, mtime, ctime })
}

fn body() -> impl Strategy<Value = NewBody> {
    let special = prop::sample::select(vec![
        SpecialKind::Fifo,
        SpecialKind::Socket,
        SpecialKind::Char,
        SpecialKind::Block,
    ]);
    prop_oneof![
        prop::option::of(text()).prop_map(|origin| NewBody::Dir { origin }),
        (prop::option::of(origin()), data(), any::<u32>()).prop_map(|(origin, data, hidden)| NewBody::File {
            origin,
            data,
            hidden
        }),
        bytes().prop_map(|target| NewBody::Symlink { target }),
        (special, any::<u64>()).prop_map(|(kind, rdev)| NewBody::Special { kind, rdev }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let slot = prop_oneof![
        Just(Slot::Whiteout),
        (2..u64::MAX).prop_map(|id| Slot::Node(NodeId(id)))
    ];
    prop_oneof![
        (id(), attrs(), any::<bool>(), body()).prop_map(|(id, attrs, changed, body)| Change::Node {
            id,
            attrs,
            changed,
            body
        }),
        (id(), bytes(), prop::option::of(slot)).prop_map(|(dir, name, slot)| Change::Entry {
            dir,
            name,
            slot
        }),
        (id(), attrs()).prop_map(|(id, attrs)| Change::Attrs { id, attrs }),
        (id(), any::<i64>()).prop_map(|(id, at)| Change::Touch { id, at }),
        (id(), any::<i64>()).prop_map(|(id, at)| Change::Ctime { id, at }),
        (id(), any::<u32>()).prop_map(|(id, hidden)| Change::Changed { id, hidden }),
        (id(), bytes(), prop::option::of(bytes())).prop_map(|(id, name, value)| Change::Xattr {
            id,
            name,
            value
        }),
        (id(), data()).prop_map(|(id, data)| Change::Data { id, data }),
        id().prop_map(|id| Change::Next { id }),
        any::<(u64, u64)>().prop_map(|(covers, durable)| Change::Marker { covers, durable }),
        (text(), prop::option::of(text())).prop_map(|(path, version)| Change::Gone { path, version }),
        (id(), origin(), prop::option::of(stamp())).prop_map(|(id, origin, stamp)| Change::Put {
            id,
            origin,
            stamp
        }),
        (id(), text(), text()).prop_map(|(id, path, version)| Change::Also { id, path, version }),
        (id(), prop::option::of(text())).prop_map(|(id, path)| Change::Settled { id, path }),
        (id(), text()).prop_map(|(id, origin)| Change::Over { id, origin }),
        (text(), prop::option::of(text())).prop_map(|(path, what)| Change::Sent { path, what }),
        id().prop_map(|id| Change::Alone { id }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(changes in prop::collection::vec(change(), 0..8)) {
        let mut payload = Vec::new();
        for change in &changes {
            encode(change, &mut payload);
        }
        prop_assert_eq!(decode(&payload).unwrap(), changes.clone());
        // A payload that ends too early is never taken for another whole one of as many changes.
        for end in 0..payload.len() {
            if let Ok(some) = decode(&payload[..end]) {
                prop_assert!(some.len() < changes.len() && some[..] == changes[..some.len()]);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(changes) = decode(&bytes) {
            let mut again = Vec::new();
            for change in &changes {
                encode(change, &mut again);
            }
            prop_assert_eq!(decode(&again).unwrap(), changes);
        }
    }
}

#[test]
fn numbers_end_within_64_bits() {
    // 2^64 takes ten bytes, of which the last has more than one bit.
    let mut payload = vec![9];
    payload.extend([0xFF; 9]);
    payload.push(2);
    assert_eq!(decode(&payload), Err(BadPayload));
    *payload.last_mut().unwrap() = 1;
    assert_eq!(decode(&payload), Ok(vec![Change::Next { id: NodeId(u64::MAX) }]));
}
