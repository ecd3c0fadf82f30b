use bytes::Bytes;

use super::super::*;
use super::rig::*;

/// Asks as a reader does that has `first` of the last bytes; how many requests it made.
fn ask(object: &Bytes, first: usize, expected: &[Section]) -> usize {
    let size = object.len();
    let mut start = size - first;
    for asked in 0.. {
        match read_tail(size as u64, &object.slice(start..)).unwrap() {
            Tail::Contents(contents) => {
                assert_eq!(contents.sections, expected);
                return asked;
            }
            Tail::Need(range) => {
                assert_eq!(range.end(), start as u64);
                assert!(!range.is_empty());
                start = range.start() as usize;
            }
        }
    }
    unreachable!("the object has a first byte");
}

#[test]
fn an_object_is_read_from_a_tail_of_any_length() {
    let built = small();
    let object = object(&built);
    for first in 0..=object.len() {
        assert!(ask(&object, first, &built.sections) <= 1, "{first}");
    }
}

#[test]
fn a_large_index_takes_one_more_request() {
    let plans: Vec<_> = (0..1000)
        .map(|partition| Plan {
            at: at("t", partition),
            ..small_plans()[0].clone()
        })
        .collect();
    let built = build(SegmentKind::Flush, &plans);
    let object = object(&built);
    let index = built.chunks[built.chunks.len() - 1].len();
    assert!(index as u64 > TAIL_GUESS);
    for (first, asked) in [
        (0, 2),
        (63, 2),
        (64, 1),
        (TAIL_GUESS as usize, 1),
        (index - 1, 1),
        (index, 0),
        (object.len(), 0),
    ] {
        assert_eq!(ask(&object, first, &built.sections), asked, "{first}");
    }
}

#[test]
fn a_tail_is_not_longer_than_its_object() {
    let object = object(&small());
    let error = read_tail(object.len() as u64 - 1, &object).unwrap_err();
    assert!(matches!(error, SegmentError::Refused { .. }), "{error}");
}

#[test]
fn an_object_of_another_size_was_changed() {
    let object = object(&small());
    let tail = object.slice(object.len() - 64..);
    for size in [object.len() as u64 - 1, object.len() as u64 + 1, u64::MAX, 96] {
        let error = read_tail(size, &tail).unwrap_err();
        assert!(
            error.to_string().contains(&format!("it has {size} bytes")),
            "{error}"
        );
        assert_eq!(error.place().object, Some(ID));
    }
}
