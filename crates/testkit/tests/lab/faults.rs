//! Every fault, as a client sees it.

#![expect(
    clippy::disallowed_methods,
    reason = "what is tested here is time on the wire"
)]

use std::time::{Duration, Instant};

use forebay_testkit::{
    Content, FaultClass, FaultKind, Lab, Op, Point, Profile, RetryAfter, Rule, WrongRange,
};

use crate::client::{Answer, Client, End};

const SIZE: u64 = 3_000_000;

fn lab_with(rule: Rule) -> Lab {
    let lab = Lab::builder().start().unwrap();
    lab.objects().put("b", "k", Content::pattern(7, SIZE));
    lab.faults().add(rule);
    lab
}

fn get_with(kind: FaultKind) -> (Lab, Answer) {
    let lab = lab_with(Rule::new(kind));
    let answer = Client::connect(lab.addr()).get("/b/k", &[]);
    (lab, answer)
}

#[test]
fn a_reset_before_the_head_is_a_reset() {
    let (lab, answer) = get_with(FaultKind::Reset(Point::BeforeHeaders));
    assert_eq!((answer.status, answer.end), (0, End::Reset));
    assert_eq!(lab.faults().injected(FaultClass::Reset), 1);
}

#[test]
fn a_reset_after_n_bytes_lets_exactly_n_arrive() {
    for after in [0, 1, 1000, 1_234_567] {
        let (lab, answer) = get_with(FaultKind::Reset(Point::AfterBody(after)));
        assert_eq!(
            (answer.status, answer.end, answer.body.len() as u64),
            (200, End::Reset, after)
        );
        Content::pattern(7, SIZE).check(0, &answer.body).unwrap();
        assert_eq!(lab.counts().faults[&FaultClass::Reset], 1);
    }
}

#[test]
fn a_truncated_body_ends_with_a_clean_close() {
    for after in [0, 500_000] {
        let (lab, answer) = get_with(FaultKind::Truncate { after });
        assert_eq!((answer.end, answer.body.len() as u64), (End::Closed, after));
        assert_eq!(answer.header("content-length"), Some("3000000"));
        assert_eq!(lab.faults().injected(FaultClass::Truncate), 1);
    }
}

#[test]
fn a_stall_leaves_the_connection_open() {
    let (lab, answer) = get_with(FaultKind::Stall {
        at: Point::BeforeHeaders,
        resume: None,
    });
    assert_eq!((answer.status, answer.end), (0, End::Silent));
    assert_eq!(lab.faults().injected(FaultClass::Stall), 1);
    let (lab, answer) = get_with(FaultKind::Stall {
        at: Point::AfterBody(65_536),
        resume: None,
    });
    assert_eq!(
        (answer.status, answer.end, answer.body.len()),
        (200, End::Silent, 65_536)
    );
    assert_eq!(lab.faults().injected(FaultClass::Stall), 1);
}

#[test]
fn a_stall_may_end() {
    let resume = Some(Duration::from_millis(120));
    for at in [Point::BeforeHeaders, Point::AfterBody(1000)] {
        let start = Instant::now();
        let (_, answer) = get_with(FaultKind::Stall { at, resume });
        assert!(start.elapsed() >= Duration::from_millis(120), "{at:?}");
        assert_eq!((answer.end, answer.body.len() as u64), (End::Complete, SIZE));
    }
}

#[test]
fn a_server_that_is_busy_says_when_to_come_again() {
    for (code, retry_after) in [
        (503, Some(RetryAfter::Seconds(7))),
        (429, Some(RetryAfter::Date(Duration::from_secs(60)))),
        (500, None),
    ] {
        let lab = lab_with(Rule::new(FaultKind::Status { code, retry_after }).times(1));
        let mut client = Client::connect(lab.addr());
        let answer = client.get("/b/k", &[]);
        assert_eq!(answer.status, code);
        match retry_after {
            Some(RetryAfter::Seconds(_)) => assert_eq!(answer.header("retry-after"), Some("7")),
            Some(RetryAfter::Date(_)) => assert!(answer.header("retry-after").unwrap().ends_with(" GMT")),
            None => assert_eq!(answer.header("retry-after"), None),
        }
        assert!(answer.text().contains("<Error><Code>"));
        assert_eq!(client.get("/b/k", &[]).status, 200, "the same connection goes on");
    }
}

#[test]
fn a_body_may_be_longer_than_its_range() {
    let lab = lab_with(Rule::new(FaultKind::ExtraBody { bytes: 10 }));
    let answer = Client::connect(lab.addr()).range("/b/k", "100-199");
    assert_eq!(answer.header("content-range"), Some("bytes 100-199/3000000"));
    assert_eq!(
        (answer.body.len(), answer.header("content-length")),
        (110, Some("110"))
    );
}

#[test]
fn a_flipped_byte_is_where_it_was_asked_for() {
    let lab = lab_with(Rule::new(FaultKind::Corrupt { at: 50 }));
    let answer = Client::connect(lab.addr()).range("/b/k", "100-199");
    let wrong = Content::pattern(7, SIZE).check(100, &answer.body).unwrap_err();
    assert_eq!(wrong.offset, 150);
    assert_eq!(Content::pattern(7, SIZE).check(151, &answer.body[51..]), Ok(()));
}

#[test]
fn a_content_range_may_lie() {
    for (wrong, expected) in [
        (WrongRange::Shifted(-50), Some("bytes 50-149/3000000")),
        (WrongRange::Shifted(1), Some("bytes 101-200/3000000")),
        (WrongRange::Total(1), Some("bytes 100-199/3000001")),
        (WrongRange::UnknownTotal, Some("bytes 100-199/*")),
        (WrongRange::Unparsable, Some("bytes some of them")),
        (WrongRange::Missing, None),
    ] {
        let lab = lab_with(Rule::new(FaultKind::ContentRange(wrong)));
        let mut client = Client::connect(lab.addr());
        let answer = client.range("/b/k", "100-199");
        assert_eq!((answer.status, answer.header("content-range")), (206, expected));
        Content::pattern(7, SIZE).check(100, &answer.body).unwrap();
        assert_eq!(client.get("/b/k", &[]).status, 200);
        assert_eq!(
            lab.faults().injected(FaultClass::ContentRange),
            1,
            "a whole answer has none to get wrong"
        );
    }
}

#[test]
fn a_range_may_be_answered_with_everything() {
    let lab = lab_with(Rule::new(FaultKind::WholeBody));
    let answer = Client::connect(lab.addr()).range("/b/k", "100-199");
    assert_eq!((answer.status, answer.body.len() as u64), (200, SIZE));
    assert_eq!(answer.header("content-range"), None);
}

#[test]
fn an_object_may_change_in_mid_read() {
    let lab = lab_with(
        Rule::new(FaultKind::Replace { with: None })
            .skip_first(2)
            .times(1),
    );
    lab.objects().keep_history();
    let mut client = Client::connect(lab.addr());
    let etags: Vec<_> = (0..4)
        .map(|_| client.range("/b/k", "0-9").headers["etag"].clone())
        .collect();
    assert!(etags[0] == etags[1] && etags[1] != etags[2] && etags[2] == etags[3]);
    assert_eq!(lab.objects().versions("b", "k").len(), 1);
    assert_eq!(client.get("/b/k", &[("If-Match", &etags[0])]).status, 412);
    lab.faults().clear();
    lab.faults().add(
        Rule::new(FaultKind::Replace {
            with: Some("new".into()),
        })
        .times(1),
    );
    assert_eq!(client.get("/b/k", &[("If-Match", &etags[3])]).status, 412);
    assert_eq!(client.get("/b/k", &[]).text(), "new");
}

#[test]
fn headers_may_be_missing_or_wrong() {
    for (kind, gone) in [
        (FaultKind::MissingETag, "etag"),
        (FaultKind::MissingLastModified, "last-modified"),
        (FaultKind::MissingContentLength, "content-length"),
    ] {
        let (lab, answer) = get_with(kind.clone());
        assert_eq!(
            (answer.header(gone), answer.end, answer.body.len() as u64),
            (None, End::Complete, SIZE)
        );
        assert_eq!(lab.faults().injected(kind.class()), 1);
    }
    let (_, answer) = get_with(FaultKind::WrongETag("W/\"x\"".into()));
    assert_eq!(answer.header("etag"), Some("W/\"x\""));
}

#[test]
fn conditions_may_be_ignored() {
    let lab = lab_with(Rule::new(FaultKind::IgnoreConditions).any_op());
    let mut client = Client::connect(lab.addr());
    assert_eq!(client.get("/b/k", &[("If-Match", "\"no\"")]).status, 200);
    assert_eq!(
        client.send("PUT", "/b/k", &[("If-None-Match", "*")], b"x").status,
        200
    );
    assert_eq!(lab.faults().injected(FaultClass::IgnoreConditions), 2);
}

#[test]
fn latency_counts_from_the_head_and_for_each_request() {
    let lab = Lab::builder()
        .profile(Profile::of("slow", Duration::from_millis(40), None))
        .start()
        .unwrap();
    lab.objects().put("b", "k", "x");
    lab.faults()
        .add(Rule::new(FaultKind::Latency(Duration::from_millis(60))).skip_first(2));
    let mut client = Client::connect(lab.addr());
    let mut timed = || {
        let start = Instant::now();
        assert_eq!(client.get("/b/k", &[]).text(), "x");
        start.elapsed()
    };
    assert!(timed() >= Duration::from_millis(40));
    assert!(timed() >= Duration::from_millis(40));
    assert!(timed() >= Duration::from_millis(100));
}

/// A body never comes faster than its line, and has it alone.
#[test]
fn bandwidth_is_a_limit_of_each_connection() {
    let lab = Lab::builder()
        .profile(Profile::of("narrow", Duration::ZERO, Some(10_000_000)))
        .start()
        .unwrap();
    lab.objects().put("b", "k", Content::pattern(1, 10_000_000));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let addr = lab.addr();
            scope.spawn(move || {
                let answer = Client::connect(addr).get("/b/k", &[]);
                Content::pattern(1, 10_000_000).check(0, &answer.body).unwrap();
            });
        }
    });
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(999),
        "10 MB at 10 MB/s took {took:?}"
    );
    assert!(
        took < Duration::from_millis(3999),
        "four connections shared one line: {took:?}"
    );
    lab.faults().add(Rule::new(FaultKind::Bandwidth(3_000_000)));
    let start = Instant::now();
    assert_eq!(
        Client::connect(lab.addr()).range("/b/k", "0-299999").body.len(),
        300_000
    );
    assert!(start.elapsed() >= Duration::from_millis(99));
}

#[test]
fn an_upload_is_paced_too() {
    let lab = Lab::builder()
        .bucket("b")
        .profile(Profile::of("narrow", Duration::ZERO, Some(10_000_000)))
        .start()
        .unwrap();
    let start = Instant::now();
    let put = Client::connect(lab.addr()).send("PUT", "/b/k", &[], &vec![1; 1_000_000]);
    assert_eq!(put.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(99));
}

#[test]
fn faults_combine_and_pick_their_requests() {
    let lab = lab_with(Rule::new(FaultKind::MissingETag).key_prefix("k").range_start(100));
    lab.faults().add(
        Rule::new(FaultKind::Truncate { after: 5 })
            .op(Op::Get)
            .bucket("b")
            .range_start(200),
    );
    lab.faults()
        .add(Rule::new(FaultKind::MissingLastModified).range_start(200));
    lab.objects().put("b", "other", "0123456789");
    let mut client = Client::connect(lab.addr());
    assert!(client.range("/b/k", "0-9").header("etag").is_some());
    assert!(client.range("/b/k", "100-109").header("etag").is_none());
    let both = client.range("/b/k", "200-209");
    assert_eq!(
        (both.end, both.body.len(), both.header("last-modified")),
        (End::Closed, 5, None)
    );
    let mut client = Client::connect(lab.addr());
    assert_eq!(
        client
            .send("HEAD", "/b/k", &[("Range", "bytes=100-109")], b"")
            .header("etag")
            .map(|_| ()),
        Some(())
    );
    lab.faults().clear();
    assert!(client.range("/b/k", "100-109").header("etag").is_some());
}
