//! Many small jobs on all cores.

use std::pin::pin;

use forebay_types::ErrorKind;
use futures::{Stream, StreamExt};
use tokio::task::{JoinError, JoinSet};

use crate::exit::{CliError, Result};

/// Runs each job as a task of its own, `at_a_time` of them; `done` is told of each result. One task for all of them would
/// keep one core busy and leave the others idle: 10,000 objects of 64 KiB took twice as long that way.
///
/// # Errors
/// The first error, of a job or of the stream of jobs, ends all others.
pub(crate) async fn for_each<T, F>(
    jobs: impl Stream<Item = Result<F>>,
    at_a_time: usize,
    mut done: impl FnMut(T),
) -> Result<()>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut jobs = pin!(jobs.fuse());
    // Dropping the set, as an early return does, aborts what is in it.
    let mut tasks: JoinSet<Result<T>> = JoinSet::new();
    loop {
        tokio::select! {
            Some(finished) = tasks.join_next(), if !tasks.is_empty() => done(joined(finished)?),
            Some(job) = jobs.next(), if tasks.len() < at_a_time.max(1) => {
                tasks.spawn(job?);
            }
            else => return Ok(()),
        }
    }
}

fn joined<T>(finished: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    finished.unwrap_or_else(|e| Err(CliError::new(ErrorKind::Internal, format!("a task failed: {e}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn all_jobs_run_and_never_too_many_at_a_time() {
        let running = Arc::new(AtomicUsize::new(0));
        let jobs = stream::iter(0..100).map(|i| {
            let running = running.clone();
            Ok(async move {
                assert!(running.fetch_add(1, Ordering::SeqCst) < 7);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(i)
            })
        });
        let mut sum = 0;
        for_each(jobs, 7, |i| sum += i).await.unwrap();
        assert_eq!(sum, 4950);
    }

    #[tokio::test]
    async fn the_first_error_ends_it() {
        let jobs = stream::iter(0..100).map(|i| {
            Ok(async move {
                if i == 50 {
                    Err(CliError::usage("fifty"))
                } else {
                    Ok(())
                }
            })
        });
        let error = for_each(jobs, 4, |()| ()).await.unwrap_err();
        assert!(error.to_string().contains("fifty"));
    }
}
