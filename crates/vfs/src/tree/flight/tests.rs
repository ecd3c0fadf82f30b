use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use forebay_testkit::within;
use futures::future::join_all;
use tokio::sync::Notify;

use super::*;

type Numbers = Flights<&'static str, u32>;

/// A question that is answered, with the number of times it was begun, when it is let go.
#[derive(Clone, Default)]
struct Question {
    begun: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
    go: Arc<Notify>,
}

struct CountDrop(Arc<AtomicU32>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Question {
    fn ask(&self) -> impl Future<Output = u32> + Send + 'static {
        let question = self.clone();
        async move {
            let _dropped = CountDrop(question.dropped);
            let number = question.begun.fetch_add(1, SeqCst) + 1;
            question.go.notified().await;
            number
        }
    }
}

/// Polls once.
fn poke<T: Clone>(flight: &mut Flight<T>) {
    assert!(flight.now_or_never().is_none());
}

#[tokio::test]
async fn all_who_ask_meanwhile_hear_one_answer() {
    let (flights, question) = (Numbers::default(), Question::default());
    let crowd: Vec<_> = (1..=50)
        .map(|asked| flights.board("a", 0, asked, || question.ask()))
        .collect();
    let begun = crowd.iter().filter(|(_, how)| *how == Boarding::Begun).count();
    assert_eq!(begun, 1);
    let (other, how) = flights.board("b", 0, 51, async || 77);
    assert_eq!((other.await, how), (77, Boarding::Begun));
    question.go.notify_one();
    let answers = within(join_all(crowd.into_iter().map(|(flight, _)| flight))).await;
    assert_eq!(answers, vec![1; 50]);
    assert_eq!(flights.len(), 0);
    // The next one asks anew.
    question.go.notify_one();
    let (again, how) = flights.board("a", 0, 52, || question.ask());
    assert_eq!((within(again).await, how), (2, Boarding::Begun));
}

#[tokio::test]
async fn a_flight_outlives_who_began_it() {
    let (flights, question) = (Numbers::default(), Question::default());
    let (mut first, _) = flights.board("a", 0, 1, || question.ask());
    poke(&mut first);
    let (second, how) = flights.board("a", 0, 2, || question.ask());
    assert_eq!(how, Boarding::Joined);
    let waiting = tokio::spawn(second);
    tokio::task::yield_now().await;
    drop(first);
    question.go.notify_one();
    assert_eq!(within(waiting).await.unwrap(), 1);
    assert_eq!(question.begun.load(SeqCst), 1);
}

#[tokio::test]
async fn a_flight_that_nobody_waits_for_ends() {
    let (flights, question) = (Numbers::default(), Question::default());
    let (mut first, _) = flights.board("a", 0, 1, || question.ask());
    let (mut second, _) = flights.board("a", 0, 2, || question.ask());
    poke(&mut first);
    poke(&mut second);
    drop(first);
    assert_eq!((question.dropped.load(SeqCst), flights.len()), (0, 1));
    drop(second);
    assert_eq!((question.dropped.load(SeqCst), flights.len()), (1, 0));
}

#[tokio::test]
async fn who_doubts_what_was_known_does_not_join_an_older_flight() {
    let (flights, question) = (Numbers::default(), Question::default());
    let (mut old, _) = flights.board("a", 0, 1, || question.ask());
    poke(&mut old);
    let (mut new, how) = flights.board("a", 2, 3, || question.ask());
    assert_eq!(how, Boarding::Begun);
    poke(&mut new);
    // Giving up the old one does not take the new one out.
    drop(old);
    assert_eq!(flights.len(), 1);
    let (joined, how) = flights.board("a", 2, 4, || question.ask());
    assert_eq!(how, Boarding::Joined);
    question.go.notify_one();
    assert_eq!(within(joined).await, 2);
    drop(new);
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn the_last_wait_for_an_old_flight_may_end_while_a_new_one_begins() {
    let flights = Arc::new(Numbers::default());
    for round in 0..200_u64 {
        let question = Question::default();
        let (old, _) = flights.board("a", 0, 2 * round + 1, || question.ask());
        let giving_up = std::thread::spawn(move || drop(old));
        let (new, _) = flights.board("a", 2 * round + 2, 2 * round + 2, async || 5);
        assert_eq!(within(new).await, 5);
        giving_up.join().unwrap();
        assert_eq!(flights.len(), 0);
    }
}
