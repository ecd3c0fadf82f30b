use super::*;

const BEGUN: Duration = Duration::from_secs(100);
const NOW: Duration = Duration::from_secs(130);

fn failed() -> Failed {
    let failed = Failed::default();
    failed.note(ByteRange::at(4096, 131_072), Errno::TIMEDOUT, BEGUN, NOW);
    failed
}

#[test]
fn the_second_question_is_answered_once() {
    let failed = failed();
    assert_eq!(failed.again(0, NOW), None);
    assert_eq!(failed.again(4096 + 131_072, NOW), None);
    assert_eq!(failed.again(4096, NOW), Some(Errno::TIMEDOUT));
    assert_eq!(failed.again(4096, NOW), None);
}

#[test]
fn who_asks_later_waits_anew() {
    let failed = failed();
    assert_eq!(failed.again(4096, NOW + SOON), None);
    assert_eq!(failed.again(4096, NOW), None, "it is forgotten");
}

#[test]
fn what_failed_at_once_is_tried_again() {
    let failed = Failed::default();
    failed.note(ByteRange::at(0, 4096), Errno::IO, NOW, NOW + LONG / 2);
    assert_eq!(failed.again(0, NOW + LONG / 2), None);
}

#[test]
fn only_the_last_ones_are_kept() {
    let failed = Failed::default();
    for number in 0..KEPT as u64 + 1 {
        failed.note(ByteRange::at(number * 10, 10), Errno::IO, BEGUN, NOW);
    }
    assert_eq!(failed.again(0, NOW), None);
    assert_eq!(failed.again(19, NOW), Some(Errno::IO));
    assert_eq!(failed.again(KEPT as u64 * 10, NOW), Some(Errno::IO));
}
