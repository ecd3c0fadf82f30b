//! What becomes of a read when a server misbehaves: the right bytes or a clear error, never wrong bytes, never a hang,
//! and nothing left behind.

use std::time::Duration;

use forebay_testkit::{Content, FaultKind, Point, RetryAfter, Rule, WrongRange};
use forebay_types::ErrorKind;

use crate::fault_cases::{Case, Expect};
use crate::world::{DOORS, Door, FORMS, KIB, WHOLE, World, small_parts, within};

const UNAVAILABLE: Expect = Expect::Fails(&[ErrorKind::Unavailable]);
const TIMED_OUT: Expect = Expect::Fails(&[ErrorKind::TimedOut]);
const CHANGED: Expect = Expect::Fails(&[ErrorKind::Changed]);
const MS: Duration = Duration::from_millis(1);

fn status(code: u16) -> FaultKind {
    FaultKind::Status {
        code,
        retry_after: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_first_bytes_are_waited_for() {
    Case::new(FaultKind::Latency(50 * MS))
        .once(Expect::Right)
        .always(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_bytes_later_than_the_deadline_are_asked_for_again() {
    Case::new(FaultKind::Latency(60_000 * MS))
        .once(Expect::Retried)
        .always(TIMED_OUT)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_waited_for() {
    Case::new(FaultKind::Bandwidth(2_000_000))
        .once(Expect::Right)
        .always(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_before_the_head_is_retried() {
    Case::new(FaultKind::Reset(Point::BeforeHeaders))
        .once(Expect::Retried)
        .always(UNAVAILABLE)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_after_the_head_is_retried() {
    Case::new(FaultKind::Reset(Point::AfterBody(0)))
        .once(Expect::Retried)
        .always(UNAVAILABLE)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_after_some_bytes_are_resumed_as_often_as_it_takes() {
    let fault = FaultKind::Reset(Point::AfterBody(30_000));
    Case::new(fault)
        .once(Expect::Retried)
        .always(Expect::Retried)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_before_the_head_is_given_up_at_the_deadline() {
    let fault = FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    };
    Case::new(fault)
        .once(Expect::Retried)
        .always(TIMED_OUT)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_after_the_head_is_given_up_at_the_deadline() {
    let fault = FaultKind::Stall {
        at: Point::AfterBody(0),
        resume: None,
    };
    Case::new(fault)
        .once(Expect::Retried)
        .always(TIMED_OUT)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_in_mid_body_is_resumed_where_it_stopped() {
    let fault = FaultKind::Stall {
        at: Point::AfterBody(50_000),
        resume: None,
    };
    Case::new(fault)
        .once(Expect::Retried)
        .always(Expect::Retried)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_shorter_than_the_deadline_is_waited_out() {
    let fault = FaultKind::Stall {
        at: Point::AfterBody(50_000),
        resume: Some(50 * MS),
    };
    Case::new(fault)
        .once(Expect::Right)
        .always(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_end_early_are_resumed() {
    Case::new(FaultKind::Truncate { after: 30_000 })
        .once(Expect::Retried)
        .always(Expect::Retried)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_come_are_an_error() {
    Case::new(FaultKind::Truncate { after: 0 })
        .once(Expect::Retried)
        .always(UNAVAILABLE)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_statuses_are_retried() {
    for code in [429, 500, 502, 503] {
        Case::new(status(code))
            .once(Expect::Retried)
            .always(UNAVAILABLE)
            .run()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_not_retried() {
    for (code, kind) in [
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (400, ErrorKind::Invalid),
    ] {
        for door in DOORS {
            let world = World::new(small_parts());
            world.put("object", 1, 64 * KIB);
            world.lab.faults().add(Rule::new(status(code)));
            let taken = within(world.take(door, FORMS[0], "object", WHOLE)).await;
            assert_eq!(taken.outcome.unwrap_err().kind(), kind, "{code} {door:?}");
            assert_eq!(world.lab.counts().gets, 1, "{code} {door:?}");
            world.settled().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_beyond_the_range_are_never_taken() {
    Case::new(FaultKind::ExtraBody { bytes: 1000 })
        .once(Expect::Right)
        .always(Expect::RightOr(&[ErrorKind::Unavailable]))
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_goes_unnoticed_because_nothing_on_the_wire_would_tell() {
    let world = World::new(small_parts());
    let content = world.put("object", 1, 64 * KIB);
    world.lab.faults().add(Rule::new(FaultKind::Corrupt { at: 1000 }));
    let (bytes, _) = within(world.engine.read(world.target(Door::S3, "object"), WHOLE))
        .await
        .unwrap();
    assert_eq!(content.check(0, &bytes).unwrap_err().offset, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_for_other_ranges_are_refused() {
    for by in [-1, 1, 4096] {
        let fault = FaultKind::ContentRange(WrongRange::Shifted(by));
        Case::new(fault)
            .once(Expect::Retried)
            .always(UNAVAILABLE)
            .run()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_usable_content_range_are_refused() {
    for wrong in [WrongRange::Missing, WrongRange::Unparsable] {
        Case::new(FaultKind::ContentRange(wrong))
            .once(Expect::Retried)
            .always(UNAVAILABLE)
            .run()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_total_is_no_size() {
    let case = Case::new(FaultKind::ContentRange(WrongRange::UnknownTotal));
    case.clone()
        .only(Door::S3)
        .once(Expect::Retried)
        .always(UNAVAILABLE)
        .run()
        .await;
    let unsupported = Expect::Fails(&[ErrorKind::Unsupported]);
    case.only(Door::Http)
        .once(unsupported)
        .always(unsupported)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_differ_are_never_mixed() {
    const NONSENSE: &[ErrorKind] = &[ErrorKind::Changed, ErrorKind::Unavailable, ErrorKind::Invalid];
    for by in [-5, 5] {
        Case::new(FaultKind::ContentRange(WrongRange::Total(by)))
            .first(Expect::RightOr(NONSENSE))
            .later(Expect::RightOr(NONSENSE))
            .alone(Expect::RightOr(NONSENSE))
            .run()
            .await;
    }
    Case::new(FaultKind::ContentRange(WrongRange::Total(5)))
        .always(Expect::Fails(NONSENSE))
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_for_a_range_is_cut_on_the_web_and_refused_on_s3() {
    let case = Case::new(FaultKind::WholeBody);
    case.clone()
        .only(Door::Http)
        .once(Expect::Right)
        .always(Expect::Right)
        .run()
        .await;
    case.only(Door::S3)
        .once(Expect::Retried)
        .always(UNAVAILABLE)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_for_a_range_is_resumed_when_it_breaks() {
    Case::new(FaultKind::WholeBody)
        .and(FaultKind::Reset(Point::AfterBody(700_000)))
        .only(Door::Http)
        .first(Expect::Retried)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_in_mid_read_is_changed() {
    Case::new(FaultKind::Replace { with: None })
        .first(Expect::Right)
        .later(CHANGED)
        .always(CHANGED)
        .alone(Expect::Right)
        .alone_always(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_by_a_shorter_one_is_changed() {
    Case::new(FaultKind::Replace {
        with: Some(Content::pattern(99, 1000)),
    })
    .later(CHANGED)
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_in_mid_read_is_changed_even_if_the_server_ignores_conditions() {
    Case::new(FaultKind::Replace { with: None })
        .and(FaultKind::IgnoreConditions)
        .later(CHANGED)
        .run()
        .await;
    Case::new(FaultKind::Replace {
        with: Some(Content::pattern(99, 1000)),
    })
    .and(FaultKind::IgnoreConditions)
    .later(Expect::Fails(&[ErrorKind::Changed, ErrorKind::Invalid]))
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_another_etag_is_changed() {
    Case::new(FaultKind::WrongETag("\"other\"".to_owned()))
        .first(CHANGED)
        .later(CHANGED)
        .always(CHANGED)
        .alone(Expect::Right)
        .alone_always(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_without_an_etag_counts_as_another_version() {
    Case::new(FaultKind::MissingETag)
        .first(CHANGED)
        .later(CHANGED)
        .alone(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_without_etags_or_dates_are_read_all_the_same() {
    Case::new(FaultKind::MissingETag)
        .always(Expect::Right)
        .run()
        .await;
    Case::new(FaultKind::MissingLastModified)
        .once(Expect::Right)
        .always(Expect::Right)
        .run()
        .await;
    Case::new(FaultKind::MissingETag)
        .and(FaultKind::MissingLastModified)
        .always(Expect::Right)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_answers_are_read_on_the_web() {
    let case = Case::new(FaultKind::MissingContentLength);
    case.clone()
        .only(Door::Http)
        .once(Expect::Right)
        .always(Expect::Right)
        .run()
        .await;
    case.only(Door::S3)
        .once(Expect::Retried)
        .always(UNAVAILABLE)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_tail_only_costs_time() {
    let world = World::new(small_parts());
    let content = world.put("object", 1, 4 << 20);
    world.lab.faults().add(Rule::slow_tail(0.1, 100 * MS, 3));
    for door in DOORS {
        for form in FORMS {
            let taken = within(world.take(door, form, "object", WHOLE)).await;
            taken.version_of(std::slice::from_ref(&content));
            taken.outcome.unwrap();
        }
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_in_both_its_forms() {
    for retry_after in [RetryAfter::Seconds(1), RetryAfter::Date(2000 * MS)] {
        for door in DOORS {
            let world = World::new(small_parts());
            let content = world.put("object", 1, 64 * KIB);
            let fault = FaultKind::Status {
                code: 503,
                retry_after: Some(retry_after),
            };
            world.lab.faults().add(Rule::new(fault).times(1));
            let taken = within(world.take(door, FORMS[1], "object", WHOLE)).await;
            taken.version_of(&[content]);
            let stats = taken.outcome.unwrap();
            assert_eq!(
                (stats.retries, stats.throttles),
                (1, 1),
                "{retry_after:?} {door:?}"
            );
            // A date has whole seconds, so one of the two may be lost.
            assert!(
                stats.elapsed >= 990 * MS,
                "{retry_after:?} {door:?}: {:?}",
                stats.elapsed
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_an_error_after_its_retries() {
    let world = World::new(small_parts());
    for door in DOORS {
        let target = world.target(door, "object");
        let gone = World::new(small_parts());
        let elsewhere = gone.target(door, "object");
        drop(gone.lab);
        let error = within(world.engine.read(elsewhere, WHOLE)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("after 2 retries"), "{error}");
        let error = within(world.engine.read(target, WHOLE)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    world.settled().await;
}
