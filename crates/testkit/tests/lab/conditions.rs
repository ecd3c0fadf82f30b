//! Conditional requests, and that a conditional put is a compare-and-swap.

use forebay_testkit::{Content, Lab, Objects, Preconditions, StoreError};

use crate::client::Client;

#[test]
fn reads_obey_their_conditions() {
    let lab = Lab::builder().start().unwrap();
    let etag = lab.objects().put("b", "k", "one");
    let mut client = Client::connect(lab.addr());
    for method in ["GET", "HEAD"] {
        let mut status = |name, value: &str| client.send(method, "/b/k", &[(name, value)], b"").status;
        assert_eq!(status("If-Match", &etag), 200);
        assert_eq!(status("If-Match", "\"other\""), 412);
        assert_eq!(status("If-None-Match", &etag), 304);
        assert_eq!(status("If-None-Match", "\"other\""), 200);
        assert_eq!(status("If-Modified-Since", "Tue, 31 Dec 2199 23:59:59 GMT"), 304);
        assert_eq!(
            status("If-Unmodified-Since", "Fri, 31 Dec 1999 23:59:59 GMT"),
            412
        );
    }
    let fresh = client.get("/b/k", &[("If-None-Match", &etag)]);
    assert_eq!(fresh.header("etag"), Some(etag.as_str()));
    let old = client.get("/b/k", &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")]);
    assert_eq!((old.status, old.text()), (200, "one"));
}

#[test]
fn writes_obey_their_conditions() {
    let lab = Lab::builder().bucket("b").start().unwrap();
    let mut client = Client::connect(lab.addr());
    let mut put = |name, value: &str| client.send("PUT", "/b/k", &[(name, value)], b"x");
    assert_eq!(put("If-Match", "\"none\"").status, 404);
    let first = put("If-None-Match", "*");
    assert_eq!(first.status, 200);
    assert_eq!(put("If-None-Match", "*").status, 412);
    let etag = first.header("etag").unwrap();
    let second = put("If-Match", etag);
    assert_eq!(second.status, 200);
    assert_ne!(
        second.header("etag"),
        first.header("etag"),
        "a rewrite is a new version"
    );
    let stale = put("If-Match", etag);
    assert!(stale.text().contains("<Code>PreconditionFailed</Code>"));
    assert_eq!(
        client.send("DELETE", "/b/k", &[("If-Match", etag)], b"").status,
        412
    );
}

/// Eight writers count one number up; a lost update would show as a missing count.
#[test]
fn a_conditional_put_is_a_compare_and_swap() {
    const WRITERS: u64 = 8;
    const COUNTS: u64 = 50;
    let objects = Objects::new();
    objects.keep_history();
    objects.put("b", "n", vec![0; 8]);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..COUNTS {
                    loop {
                        let now = objects.get("b", "n").unwrap();
                        let Content::Bytes(bytes) = &now.content else {
                            panic!("not what was put")
                        };
                        let next = u64::from_le_bytes(bytes[..].try_into().unwrap()) + 1;
                        let next = Content::from(next.to_le_bytes().to_vec());
                        let condition = Preconditions::matches(now.etag.clone());
                        match objects.put_if("b", "n", next, Default::default(), &condition) {
                            Ok(_) => break,
                            Err(StoreError::PreconditionFailed(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let versions = objects.versions("b", "n");
    assert_eq!(versions.len() as u64, WRITERS * COUNTS + 1);
    let etags: std::collections::BTreeSet<_> = versions.iter().map(|version| version.etag.clone()).collect();
    assert_eq!(etags.len(), versions.len());
    let last = (WRITERS * COUNTS).to_le_bytes();
    assert_eq!(versions.last().unwrap().content.check(0, &last), Ok(()));
}
