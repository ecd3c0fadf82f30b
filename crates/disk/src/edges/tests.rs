use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[test]
fn one_reads_and_all_others_are_told_once() {
    let edges = Edges::default();
    assert!(matches!(edges.claim(4096, None), Claim::Mine));
    assert!(matches!(edges.claim(8192, None), Claim::Mine), "another unit");
    let waiting: Vec<_> = (0..3).map(|_| edges.claim(4096, None)).collect();
    edges.deliver(4096, Some(b"unit"));
    for claim in waiting {
        let Claim::Theirs(told) = claim else {
            panic!("it was claimed")
        };
        assert_eq!(told.blocking_recv().unwrap().as_deref(), Some(&b"unit"[..]));
    }
    assert!(
        matches!(edges.claim(4096, None), Claim::Mine),
        "it is nobody's again"
    );
    edges.deliver(4096, None);
    edges.deliver(4096, None);
    assert_eq!(edges.lock().len(), 1);
}

#[test]
fn who_is_reaped_by_one_runtime_is_waited_for_only_there() {
    let (one, two) = (runtime(), runtime());
    let (one, two) = (Some(one.handle().id()), Some(two.handle().id()));
    let edges = Edges::default();
    assert!(matches!(edges.claim(0, one), Claim::Mine));
    assert!(matches!(edges.claim(0, one), Claim::Theirs(_)));
    assert!(matches!(edges.claim(0, two), Claim::Apart));
    assert!(matches!(edges.claim(0, None), Claim::Apart));
    edges.deliver(0, None);
    // Who comes to his end by himself keeps nobody waiting.
    assert!(matches!(edges.claim(0, None), Claim::Mine));
    assert!(matches!(edges.claim(0, one), Claim::Theirs(_)));
    assert!(matches!(edges.claim(0, two), Claim::Theirs(_)));
}
