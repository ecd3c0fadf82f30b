//! Varints.

use proptest::prelude::*;

use super::*;

fn encode(value: i64) -> Vec<u8> {
    let mut raw = (value << 1) as u64 ^ (value >> 63) as u64;
    let mut bytes = Vec::new();
    while raw >= 0x80 {
        bytes.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    bytes.push(raw as u8);
    bytes
}

#[test]
fn zigzag_is_as_kafka_has_it() {
    for (value, bytes) in [
        (0, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (-64, &[0x7F]),
        (64, &[0x80, 1]),
        (300, &[0xD8, 4]),
        (i32::MIN.into(), &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
    ] {
        assert_eq!(encode(value), bytes);
        assert_eq!(varlong(&mut &bytes[..]), Ok(value));
        assert_eq!(varint(&mut &bytes[..]).map(i64::from), Ok(value));
    }
}

#[test]
fn numbers_with_too_many_digits_are_refused() {
    let too_long = Err(Fault::VarintTooLong);
    assert_eq!(varint(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x10][..]), too_long);
    assert_eq!(varint(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), too_long);
    let mut most = [0xFF; 10];
    most[9] = 1;
    assert_eq!(varlong(&mut &most[..]), Ok(i64::MIN));
    most[9] = 2;
    assert_eq!(varlong(&mut &most[..]), Err(Fault::VarintTooLong));
    assert_eq!(varlong(&mut &[0x80; 12][..]), Err(Fault::VarintTooLong));
    assert_eq!(varint(&mut &[0x80, 0x80][..]), Err(Fault::BeyondLength));
    assert_eq!(varint(&mut &[][..]), Err(Fault::BeyondLength));
}

proptest! {
    #[test]
    fn numbers_come_back(wide in any::<i64>(), shift in 0_u32..64, tail in any::<[u8; 3]>()) {
        let wide = wide >> shift;
        let mut bytes = encode(wide);
        bytes.extend(tail);
        let mut rest = &bytes[..];
        prop_assert_eq!(varlong(&mut rest), Ok(wide));
        prop_assert_eq!(rest, &tail);
        let mut rest = &bytes[..];
        match i32::try_from(wide) {
            Ok(narrow) => {
                prop_assert_eq!(varint(&mut rest), Ok(narrow));
                prop_assert_eq!(rest, &tail);
            }
            Err(_) => prop_assert_eq!(varint(&mut rest), Err(Fault::VarintTooLong)),
        }
    }

    #[test]
    fn bytes_are_where_their_length_says(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut whole = encode(body.len() as i64);
        whole.extend(&body);
        whole.push(9);
        let mut rest = &whole[..];
        let range = bytes(&mut rest, whole.len(), Fault::KeyLength).unwrap().unwrap();
        prop_assert_eq!(&whole[range], &body);
        prop_assert_eq!(rest, &[9]);
    }
}
