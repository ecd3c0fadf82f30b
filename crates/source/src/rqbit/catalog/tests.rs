use std::sync::atomic::Ordering::SeqCst;

use forebay_types::ManualClock;
use futures::future::join_all;
use futures::poll;

use super::script::{Contents, Script, entry, hash, torrent_of};
use super::*;

const BELIEVED: Duration = Duration::from_secs(1);

fn catalog(script: &Arc<Script>) -> (Catalog, ManualClock) {
    let clock = ManualClock::default();
    let catalog = Catalog::new(script.clone(), BELIEVED, Arc::new(clock.clone()));
    (catalog, clock)
}

fn keys(shelf: &Shelf) -> Vec<String> {
    shelf.below("").map(|(key, _)| key).collect()
}

/// All files, by a list that is asked for after this call.
async fn refreshed(catalog: &Catalog) -> Result<Arc<Shelf>, Failure> {
    let since = lock(&catalog.inner.flights).begun;
    loop {
        let (number, flight) = catalog.inner.board();
        let outcome = flight.await;
        // One that was under way may have its list from before the call.
        if number > since {
            return outcome.map_err(own);
        }
        // The next one may have come and gone before this was awake.
        let known = lock(&catalog.inner.known);
        if known.flight > since {
            return Ok(known.shelf.clone());
        }
    }
}

fn refused() -> Failure {
    Failure::Connect {
        host: "script:1".to_owned(),
        source: io::ErrorKind::ConnectionRefused.into(),
    }
}

fn malformed() -> Failure {
    Failure::Malformed {
        what: "description of a torrent",
        why: "missing field `files`".to_owned(),
    }
}

fn stalled() -> Failure {
    Failure::Stalled {
        what: "an answer of the torrent client",
        after: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn a_list_is_believed_for_a_while() {
    let script = Script::new(vec![entry(1, "a.mkv", &["a.mkv"]), entry(2, "d", &["x", "s/y"])]);
    let (catalog, clock) = catalog(&script);
    let first = catalog.shelf().await.unwrap();
    assert_eq!(keys(&first), ["a.mkv", "d/s/y", "d/x"]);
    clock.advance(BELIEVED / 2);
    assert!(Arc::ptr_eq(&first, &catalog.shelf().await.unwrap()));
    assert_eq!(script.lists.load(SeqCst), 1);
    clock.advance(BELIEVED / 2);
    // Asked again; nothing changed, so it is the same shelf, and no contents were asked for.
    assert!(Arc::ptr_eq(&first, &catalog.shelf().await.unwrap()));
    assert_eq!((script.lists.load(SeqCst), script.details.load(SeqCst)), (2, 2));
    assert!(Arc::ptr_eq(&first, &refreshed(&catalog).await.unwrap()));
    assert_eq!(script.lists.load(SeqCst), 3);
}

#[tokio::test]
async fn names_are_kept_as_long_as_their_torrents() {
    let script = Script::new(vec![
        entry(1, "a.mkv", &["a.mkv"]),
        entry(2, "a.mkv", &["a.mkv"]),
        entry(3, "a.mkv", &["x"]),
    ]);
    let (catalog, _) = catalog(&script);
    let shelf = catalog.shelf().await.unwrap();
    assert_eq!(keys(&shelf), ["a [22222222].mkv", "a.mkv", "a.mkv [33333333]/x"]);
    script.torrents.lock().unwrap().remove(0);
    let shelf = refreshed(&catalog).await.unwrap();
    assert_eq!(keys(&shelf), ["a [22222222].mkv", "a.mkv [33333333]/x"]);
    // The name is free for whoever comes next.
    script.torrents.lock().unwrap().push(entry(4, "a.mkv", &["y"]));
    let shelf = refreshed(&catalog).await.unwrap();
    assert_eq!(
        keys(&shelf),
        ["a [22222222].mkv", "a.mkv [33333333]/x", "a.mkv/y"]
    );
    assert_eq!(script.details.load(SeqCst), 4);
    script.torrents.lock().unwrap().clear();
    assert_eq!(keys(&refreshed(&catalog).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn many_askers_are_one_flight() {
    let script = Script::shut(vec![entry(1, "a", &["a"])]);
    let (catalog, _) = catalog(&script);
    let askers = join_all((0..50).map(|_| catalog.shelf()));
    tokio::pin!(askers);
    assert!(poll!(&mut askers).is_pending());
    script.gate.add_permits(1000);
    let shelves = askers.await;
    assert!(shelves.iter().all(|shelf| keys(shelf.as_ref().unwrap()) == ["a"]));
    assert_eq!((script.lists.load(SeqCst), script.details.load(SeqCst)), (1, 1));
}

#[tokio::test]
async fn whoever_gives_up_leaves_the_others_waiting() {
    let script = Script::shut(vec![entry(1, "a", &["a"]), entry(2, "b", &["b"])]);
    let (catalog, _) = catalog(&script);
    let mut first = Box::pin(catalog.shelf());
    let mut second = Box::pin(catalog.shelf());
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    // The one that drives the flight goes while it waits for its list, and another while it waits for contents.
    drop(first);
    script.gate.add_permits(1);
    assert!(poll!(&mut second).is_pending());
    let mut third = Box::pin(catalog.shelf());
    assert!(poll!(&mut third).is_pending());
    drop(second);
    script.gate.add_permits(1);
    assert!(poll!(&mut third).is_pending());
    assert_eq!(script.lists.load(SeqCst), 1);
    // The last one ends the questions.
    drop(third);
    assert_eq!(script.questions.load(SeqCst), 0);
    script.gate.add_permits(1000);
    assert_eq!(keys(&catalog.shelf().await.unwrap()), ["a", "b"]);
    // What was answered is not asked again.
    assert_eq!((script.lists.load(SeqCst), script.details.load(SeqCst)), (2, 3));
}

#[tokio::test]
async fn few_contents_are_asked_for_at_a_time() {
    let torrents = (0..200).map(|n| entry(n, &format!("t{n:03}"), &["x"])).collect();
    let script = Script::shut(torrents);
    let (catalog, _) = catalog(&script);
    let mut asker = Box::pin(catalog.shelf());
    for _ in 0..201 {
        assert!(poll!(&mut asker).is_pending());
        script.gate.add_permits(1);
    }
    assert_eq!(keys(&asker.await.unwrap()).len(), 200);
    assert_eq!(script.most_questions.load(SeqCst), QUESTIONS);
}

#[tokio::test]
async fn a_refresh_asks_after_the_call() {
    let script = Script::shut(vec![entry(1, "a", &["a"])]);
    let (catalog, _) = catalog(&script);
    let mut before = Box::pin(catalog.shelf());
    assert!(poll!(&mut before).is_pending());
    script.torrents.lock().unwrap().push(entry(2, "b", &["b"]));
    let mut after = Box::pin(refreshed(&catalog));
    let mut too = Box::pin(refreshed(&catalog));
    assert!(poll!(&mut after).is_pending());
    assert!(poll!(&mut too).is_pending());
    script.gate.add_permits(1000);
    let (before, after, too) = tokio::join!(before, after, too);
    assert_eq!(keys(&before.unwrap()), ["a"]);
    assert_eq!(keys(&after.unwrap()), ["a", "b"]);
    assert_eq!(keys(&too.unwrap()), ["a", "b"]);
    assert_eq!(script.lists.load(SeqCst), 2);
}

#[tokio::test]
async fn a_torrent_that_cannot_be_had_does_not_hide_the_others() {
    let (magnet, _) = entry(1, "magnet", &[]);
    let (broken, _) = entry(2, "broken", &[]);
    let script = Script::new(vec![
        (magnet.clone(), Contents::Files(Vec::new())),
        (broken, Contents::Fails(malformed)),
        entry(3, "fine", &["x"]),
    ]);
    let (catalog, clock) = catalog(&script);
    let shelf = catalog.shelf().await.unwrap();
    assert_eq!((keys(&shelf), shelf.skipped()), (vec!["fine/x".to_owned()], 2));
    assert_eq!(torrent_of(&shelf, &hash(1).to_string()), None);
    // They are asked for again after one second, then two, four, …
    let mut asked = Vec::new();
    for _ in 0..16 {
        let before = script.details.load(SeqCst);
        clock.advance(Duration::from_secs(1));
        assert!(Arc::ptr_eq(&shelf, &catalog.shelf().await.unwrap()));
        asked.push(script.details.load(SeqCst) - before);
    }
    assert_eq!(asked, [2, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
    script.torrents.lock().unwrap()[0] = entry(1, "magnet", &["m"]);
    clock.advance(LAST_PAUSE);
    let shelf = catalog.shelf().await.unwrap();
    assert_eq!(keys(&shelf), ["fine/x", "magnet/m"]);
    assert_eq!(shelf.skipped(), 1);
    assert_eq!(torrent_of(&shelf, "magnet/zzz"), Some(magnet.hash));
}

#[tokio::test]
async fn one_removed_meanwhile_is_just_not_there() {
    fn gone() -> Failure {
        Failure::Torrent(TorrentFault::Gone { hash: hash(1) })
    }
    let (listed, _) = entry(1, "a", &[]);
    let script = Script::new(vec![(listed, Contents::Fails(gone)), entry(2, "b", &["b"])]);
    let (catalog, _) = catalog(&script);
    assert_eq!(keys(&catalog.shelf().await.unwrap()), ["b"]);
}

#[tokio::test]
async fn a_client_that_is_away_fails_all_who_ask() {
    let script = Script::shut(vec![entry(1, "a", &["a"])]);
    *script.list_fails.lock().unwrap() = Some(refused);
    let (catalog, _) = catalog(&script);
    let askers = join_all((0..3).map(|_| catalog.shelf()));
    tokio::pin!(askers);
    assert!(poll!(&mut askers).is_pending());
    script.gate.add_permits(1);
    for outcome in askers.await {
        let failure = outcome.unwrap_err();
        assert!(
            matches!(&failure, Failure::Connect { source, .. }
            if source.kind() == io::ErrorKind::ConnectionRefused),
            "{failure:?}"
        );
    }
    assert_eq!(script.lists.load(SeqCst), 1);
    *script.list_fails.lock().unwrap() = None;
    script.gate.add_permits(2);
    assert_eq!(keys(&catalog.shelf().await.unwrap()), ["a"]);
}

fn failing(count: u8, fails: fn() -> Failure) -> Arc<Script> {
    let torrents = (0..count).map(|n| {
        let (listed, _) = entry(n, &format!("t{n:03}"), &[]);
        (listed, Contents::Fails(fails))
    });
    Script::new(torrents.collect())
}

fn mend(script: &Script, from: usize) {
    for (listed, contents) in script.torrents.lock().unwrap().iter_mut().skip(from) {
        *contents = entry(0, listed.name.as_deref().unwrap(), &["x"]).1;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_not_asked_for_every_torrent() {
    let script = failing(100, refused);
    let (catalog, _) = catalog(&script);
    let failure = catalog.shelf().await.unwrap_err();
    assert_eq!(failure.to_string(), refused().to_string());
    assert!(script.details.load(SeqCst) <= QUESTIONS);
    assert_eq!(script.questions.load(SeqCst), 0);
    mend(&script, 0);
    assert_eq!(keys(&catalog.shelf().await.unwrap()).len(), 100);
}

#[tokio::test]
async fn torrents_that_do_not_answer_hide_the_others_for_one_flight() {
    let script = failing(100, stalled);
    mend(&script, SILENCES);
    let (catalog, clock) = catalog(&script);
    let shelf = catalog.shelf().await.unwrap();
    assert!(shelf.skipped() > 90);
    assert!(script.details.load(SeqCst) <= SILENCES + QUESTIONS);
    clock.advance(BELIEVED / 2);
    let shelf = refreshed(&catalog).await.unwrap();
    assert_eq!(keys(&shelf).len(), 100 - SILENCES);
    assert_eq!(shelf.skipped(), SILENCES as u64);
}

#[tokio::test]
async fn whoever_keeps_all_waiting_is_seldom_asked() {
    let script = failing(1, stalled);
    let (catalog, clock) = catalog(&script);
    script.gate.forget_permits(usize::MAX >> 4);
    let mut asker = Box::pin(catalog.shelf());
    script.gate.add_permits(1);
    assert!(poll!(&mut asker).is_pending());
    clock.advance(Duration::from_secs(30));
    script.gate.add_permits(1000);
    assert_eq!(asker.await.unwrap().skipped(), 1);
    for (later, asked) in [(1, 1), (298, 1), (1, 2)] {
        clock.advance(Duration::from_secs(later));
        catalog.shelf().await.unwrap();
        assert_eq!(script.details.load(SeqCst), asked, "{later} s later");
    }
}

#[test]
fn copies_say_the_same() {
    for failure in [
        refused(),
        malformed(),
        stalled(),
        Failure::Torrent(TorrentFault::Gone { hash: hash(1) }),
        Failure::TooLarge {
            what: "list of torrents",
            limit: 16,
        },
        Failure::Status {
            status: 401,
            code: None,
            message: Some("user and password".to_owned()),
            retry_after: Some(BELIEVED),
        },
        Failure::ConnectTimeout {
            host: "h:1".to_owned(),
            after: BELIEVED,
        },
        Failure::Tls {
            host: "h:1".to_owned(),
            why: "expired".to_owned(),
        },
        Failure::Redirect("away"),
        Failure::BadUri { why: "malformed" },
    ] {
        let copy = copy(&failure);
        assert_eq!(copy.to_string(), failure.to_string());
        assert_eq!(copy.kind(), failure.kind());
        assert_eq!(copy.retry_after(), failure.retry_after());
    }
}
