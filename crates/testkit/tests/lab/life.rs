//! Starting, stopping and counting.

use forebay_testkit::{Content, FaultKind, Lab, Point, Rule};
use forebay_types::{ByteRange, RangeSpec};

use crate::client::{Client, End};

#[test]
fn dropping_a_lab_closes_its_connections() {
    let lab = Lab::builder().start().unwrap();
    lab.objects().put("b", "k", "x");
    lab.faults().add(
        Rule::new(FaultKind::Stall {
            at: Point::BeforeHeaders,
            resume: None,
        })
        .skip_first(1),
    );
    let addr = lab.addr();
    let mut idle = Client::connect(addr);
    assert_eq!(idle.get("/b/k", &[]).text(), "x");
    let mut stalled = Client::connect(addr);
    let waiting = std::thread::spawn(move || stalled.get("/b/k", &[]).end);
    while lab.counts().concurrent_requests == 0 {
        std::thread::yield_now();
    }
    drop(lab);
    assert!(matches!(waiting.join().unwrap(), End::Closed | End::Reset));
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn a_lab_can_be_dropped_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let lab = Lab::builder().threads(1).start().unwrap();
        // Blocks the only thread of this runtime; the lab has its own.
        assert_eq!(Client::connect(lab.addr()).get("/b/k", &[]).status, 404);
    });
}

#[test]
fn an_address_in_use_is_an_error() {
    let lab = Lab::builder().start().unwrap();
    let error = Lab::builder().bind(lab.addr()).start().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn everything_is_counted() {
    let lab = Lab::builder().bucket("b").record_keys(true).start().unwrap();
    let mut client = Client::connect(lab.addr());
    client.send("PUT", "/b/k", &[], &[7; 1000]);
    client.send("HEAD", "/b/k", &[], b"");
    client.get("/b/k", &[]);
    client.range("/b/k", "100-199");
    client.range("/b/k", "-5");
    client.get("/b?list-type=2", &[]);
    client.send("DELETE", "/b/k", &[], b"");
    client.send("POST", "/b/k?uploads", &[], b"");
    let mut other = Client::connect(lab.addr());
    other.get("/b/none", &[]);
    let counts = lab.counts();
    assert_eq!(
        (counts.connections, counts.open_connections, counts.requests),
        (2, 2, 9)
    );
    assert_eq!((counts.gets, counts.heads, counts.puts), (4, 1, 1));
    assert_eq!((counts.lists, counts.deletes, counts.other), (1, 1, 1));
    assert!(counts.bytes_sent >= 1105);
    assert_eq!(counts.max_concurrent_requests, 1);
    let key = &counts.keys["b/k"];
    let bounded = RangeSpec::Bounded(ByteRange::new(100, 200));
    assert_eq!((key.gets, key.heads), (3, 1));
    assert_eq!(key.ranges, [None, Some(bounded), Some(RangeSpec::Last(5))]);
    lab.reset_counts();
    let counts = lab.counts();
    assert_eq!(
        (counts.requests, counts.bytes_sent, counts.open_connections),
        (0, 0, 2)
    );
    assert!(counts.keys.is_empty());
}

#[test]
fn two_labs_can_show_the_same_objects() {
    let one = Lab::builder().start().unwrap();
    let etag = one.objects().put("b", "k", Content::pattern(1, 10));
    let two = Lab::builder().objects(one.objects()).start().unwrap();
    drop(one);
    assert_eq!(
        Client::connect(two.addr()).get("/b/k", &[]).header("etag"),
        Some(etag.as_str())
    );
}
