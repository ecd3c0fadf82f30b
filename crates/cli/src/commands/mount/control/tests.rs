use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::socket::Socket;
use super::*;

/// What is said to who orders something, of a mount that says this to everybody.
async fn answered<F>(say: impl Fn(UnixStream) -> F + Send + 'static) -> CliError
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let home = tempfile::tempdir().unwrap();
    let places = [home.path().join("run")];
    let dir = Path::new("/mnt/x");
    let socket = Socket::listen(&places, dir, Purpose::Control).unwrap();
    let serving = tokio::spawn(async move { socket.serve(say).await });
    let commit = Commit {
        output: None,
        replace: false,
        diff: false,
        format: None,
        chunk_size: None,
    };
    let answer = order(&places, dir, &Order::Commit(commit), |_| {}).await;
    serving.abort();
    answer.unwrap_err()
}

#[tokio::test]
async fn no_more_is_taken_in_than_anything_said_is_long() {
    let said = Arc::new(AtomicU64::new(0));
    let counted = said.clone();
    let error = answered(move |mut peer| {
        let said = counted.clone();
        async move {
            let noise = vec![b'x'; 1 << 16];
            loop {
                peer.write_all(&noise).await?;
                said.fetch_add(noise.len() as u64, Relaxed);
            }
        }
    });
    let error = tokio::time::timeout(Duration::from_secs(60), error)
        .await
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::LocalIo, "{error:?}");
    let said = said.load(Relaxed);
    assert!((MAX_SAID..MAX_SAID + (1 << 20)).contains(&said), "{said}");
}

#[tokio::test]
async fn a_failure_is_told_as_it_was() {
    for &kind in ErrorKind::ALL {
        let error = answered(move |mut peer| async move {
            let error = CliError::new(kind, "what").hint("why");
            say(&mut peer, &failed(&error)).await
        });
        let error = error.await;
        assert_eq!(
            (error.kind(), error.message(), error.own_hint()),
            (kind, "what", Some("why"))
        );
    }
    // Who hangs up in the middle of a word has said nothing.
    let error = answered(|mut peer| async move { peer.write_all(b"{\"progress\"").await });
    assert_eq!(error.await.kind(), ErrorKind::LocalIo);
}

#[tokio::test(start_paused = true)]
async fn work_does_not_wait_for_who_does_not_listen() {
    // What is said does not fit: nobody reads it before the work is done.
    let (mut ours, theirs) = tokio::io::duplex(16);
    let (done, is_done) = oneshot::channel();
    let work = async move {
        tokio::time::sleep(PACE * 100).await;
        let _ = done.send(());
        Err(CliError::new(ErrorKind::Conflict, "what came of it"))
    };
    let telling = tokio::spawn(async move { report(&mut ours, work, Stats::default).await });
    is_done.await.unwrap();
    assert!(!telling.is_finished());
    let mut lines = BufReader::new(theirs).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said.push(serde_json::from_str::<Said>(&line).unwrap());
    }
    telling.await.unwrap().unwrap();
    // What was being said was said to its end, then the answer.
    assert!(
        matches!(
            &said[..],
            [Said::Progress(_), Said::Failed { message, .. }] if message == "what came of it"
        ),
        "{said:?}"
    );
}
