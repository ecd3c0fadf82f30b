use super::*;
use proptest::prelude::*;

fn any_id() -> impl Strategy<Value = ObjectId> {
    let version = prop_oneof![
        Just(Version::Unknown),
        ".{0,40}".prop_map(|tag| Version::ETag(tag.into())),
        any::<i64>().prop_map(Version::Modified),
    ];
    (".{0,60}", ".{0,20}", ".{0,200}", version, 0u64..1 << 45).prop_map(|(url, scope, key, version, size)| {
        ObjectId {
            origin: Origin::new(url, scope),
            key: key.into(),
            version,
            size,
        }
    })
}

fn head(id: ObjectId) -> Head {
    Head::new(
        id,
        0xABCD_EF01_2345_6789,
        Duration::from_micros(1_700_000_000_000_000),
    )
    .unwrap()
}

proptest! {
    #[test]
    fn a_head_survives_the_file(id in any_id()) {
        let head = head(id);
        let bytes = head.encode();
        prop_assert_eq!(Head::decode(&bytes), Ok(head));
    }

    #[test]
    fn a_flipped_bit_is_damage(id in any_id(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = head(id).encode();
        let at = at.index(bytes.len());
        let in_records = (RECORDS as usize..STRINGS).contains(&at);
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(Head::decode(&bytes).is_err(), !in_records);
    }

    #[test]
    fn any_bytes_are_refused_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        if magic && bytes.len() > 16 {
            bytes[..16].copy_from_slice(&head(any_object(1)).encode()[..16]);
        }
        prop_assert!(Head::decode(&bytes).is_err());
    }

    #[test]
    fn a_record_survives_and_a_flipped_bit_does_not(value in any::<u64>(), instance in any::<u64>(), bit in 0usize..128) {
        for record in [Record::Seal, Record::Validated, Record::Generation, Record::HandedOut] {
            let mut map = vec![0; STRINGS];
            prop_assert_eq!(record.decode(&map, instance), Value::Unset);
            let at = record.offset() as usize;
            map[at..at + RECORD].copy_from_slice(&record.encode(value, instance));
            prop_assert_eq!(record.decode(&map, instance), Value::Is(value));
            prop_assert_eq!(record.decode(&map, instance ^ 1), Value::Damaged);
            map[at + bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(record.decode(&map, instance), Value::Damaged);
        }
    }
}

fn any_object(size: u64) -> ObjectId {
    ObjectId {
        origin: Origin::new("s3://bucket", ""),
        key: "key".into(),
        version: Version::Unknown,
        size,
    }
}

#[test]
fn a_head_that_ends_early_says_how_much_it_needs() {
    let bytes = head(any_object(1)).encode();
    assert_eq!(Head::decode(&bytes[..10]), Err(BadHead::Short(STRINGS)));
    assert_eq!(
        Head::decode(&bytes[..bytes.len() - 1]),
        Err(BadHead::Short(bytes.len()))
    );
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_anything_is_read() {
    let mut bytes = head(any_object(1)).encode();
    bytes[64..68].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Head::decode(&bytes), Err(BadHead::Damaged));
    let mut long = any_object(1);
    long.key = "k".repeat(MAX_KEY_BYTES + 1).into();
    assert_eq!(Head::new(long, 1, Duration::ZERO), None);
    assert_eq!(Head::new(any_object(MAX_SIZE + 1), 1, Duration::ZERO), None);
}

#[test]
fn small_objects_live_in_their_map() {
    let small = head(any_object(INSIDE));
    let data = small.layout.inside.unwrap();
    assert!(data >= small.layout.entry(4) && small.file_len() == data + INSIDE);
    let large = head(any_object(INSIDE + 1));
    assert_eq!(large.layout.inside, None);
    assert_eq!(large.file_len(), large.layout.entry(5));
}
