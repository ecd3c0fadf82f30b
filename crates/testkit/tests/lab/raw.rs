//! The raw client against the lab.

use std::io::Read;
use std::sync::Arc;

use forebay_testkit::raw::{RawClient, Sink};
use forebay_testkit::{Content, FaultKind, Lab, Rule};
use forebay_types::ByteRange;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_land_in_their_place() {
    let lab = Lab::builder().start().unwrap();
    let content = Content::pattern(1, 5_000_001);
    lab.objects().put("b", "k", content.clone());
    let file = tempfile::tempfile().unwrap();
    let sink = Sink::File(Arc::new(file.try_clone().unwrap()));
    let client = RawClient::default();
    let report = client
        .fetch(lab.addr(), "/b/k", 5_000_001, 1 << 20, 3, sink)
        .await
        .unwrap();
    assert_eq!(
        (report.bytes, report.requests, report.latencies.len()),
        (5_000_001, 5, 5)
    );
    let mut bytes = Vec::new();
    let mut file = file;
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.len(), content.check(0, &bytes)), (5_000_001, Ok(())));
    let counts = lab.counts();
    assert_eq!(
        (counts.connections, counts.gets, counts.bytes_sent),
        (3, 5, 5_000_001)
    );
}

#[tokio::test]
async fn many_objects_and_many_ranges() {
    let lab = Lab::builder().start().unwrap();
    let paths: Vec<_> = (0..50).map(|n| format!("/b/{n}")).collect();
    for n in 0..50 {
        lab.objects()
            .put("b", &n.to_string(), Content::pattern(n, 1000 + n));
    }
    let client = RawClient::default();
    let report = client.fetch_many(lab.addr(), &paths, 4).await.unwrap();
    assert_eq!((report.bytes, report.requests), (50 * 1000 + 49 * 25, 50));
    let ranges = [ByteRange::at(10, 5), ByteRange::at(0, 1000)];
    let report = client.fetch_ranges(lab.addr(), "/b/0", &ranges, 2).await.unwrap();
    assert_eq!((report.bytes, report.requests), (1005, 2));
    assert!(report.percentile(0.99) >= report.percentile(0.5));
    assert!(report.mb_per_second() > 0.0);
}

#[tokio::test]
async fn a_failure_is_an_error() {
    let lab = Lab::builder().start().unwrap();
    lab.objects().put("b", "k", Content::pattern(1, 1000));
    lab.faults().add(Rule::new(FaultKind::Truncate { after: 10 }));
    let client = RawClient::default();
    assert!(
        client
            .fetch(lab.addr(), "/b/k", 1000, 1000, 1, Sink::Discard)
            .await
            .is_err()
    );
    assert!(
        client
            .fetch_many(lab.addr(), &["/b/none".to_owned()], 1)
            .await
            .is_err()
    );
}
