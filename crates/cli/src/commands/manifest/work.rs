//! Files on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes that are read at a time, into a buffer of each thread.
const PIECE: usize = 1 << 20;

/// Does `work` on each of `jobs`, each with a buffer to read into, on as many threads as there are cores, this one among them.
/// The results are in the order of the jobs; `None` for those that were not begun because `is_end` held for the result of
/// another.
pub(super) fn each<T: Sync, R: Send>(
    jobs: &[T],
    is_end: impl Fn(&R) -> bool + Sync,
    work: impl Fn(&T, &mut [u8]) -> R + Sync,
) -> Vec<Option<R>> {
    let (next, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        let mut buffer = vec![0; PIECE];
        let mut results = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number) else { break };
            let result = work(job, &mut buffer);
            if is_end(&result) {
                ended.store(true, Ordering::Relaxed);
            }
            results.push((number, result));
        }
        results
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(jobs.len());
    let mut all: Vec<Option<R>> = jobs.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        // A thread that the system does not give is one less: this one does the work in any case.
        let others: Vec<_> = (1..threads)
            .map_while(|_| {
                std::thread::Builder::new()
                    .name("hash".to_owned())
                    .spawn_scoped(scope, run)
                    .ok()
            })
            .collect();
        let mut done = run();
        for other in others {
            done.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        for (number, result) in done {
            all[number] = Some(result);
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_an_end_leaves_the_rest() {
        let jobs: Vec<usize> = (0..1000).collect();
        let doubled = each(
            &jobs,
            |_| false,
            |job, buffer| {
                assert_eq!(buffer.len(), PIECE);
                job * 2
            },
        );
        assert!((0..).zip(&doubled).all(|(n, double)| *double == Some(n * 2)));
        let ended = each(&jobs, |n| *n == 10, |job, _| *job);
        assert_eq!(ended[10], Some(10));
        assert_eq!(ended[999], None);
        assert!(each(&[], |()| false, |_: &(), _| ()).is_empty());
    }
}
