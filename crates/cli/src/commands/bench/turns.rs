//! Ours and what it is compared with take turns, A B A B: what else the machine does meets both.

use indicatif::ProgressBar;

use super::sample::{Sample, Who};
use crate::exit::Result;

/// How many turns each side has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    pub(super) runs: usize,
    /// One more comes first, which warms the side up and does not count.
    pub(super) warms_up: bool,
}

impl Turns {
    /// Those of a bench in which each side is warmed up.
    pub(super) fn warmed(runs: usize) -> Self {
        Self { runs, warms_up: true }
    }

    /// Steps of a bar for both sides.
    pub(super) fn steps(self) -> u64 {
        (self.runs + usize::from(self.warms_up)) as u64 * 2
    }

    /// Takes them: the samples of ours, and those of the other, which has none if `turn` returns none.
    pub(super) async fn take(
        self,
        bar: &ProgressBar,
        mut turn: impl AsyncFnMut(Who) -> Result<Option<Sample>>,
    ) -> Result<(Vec<Sample>, Vec<Sample>)> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let first = usize::from(!self.warms_up);
        for run in first..=self.runs {
            for (who, samples) in [(Who::Ours, &mut ours), (Who::Baseline, &mut theirs)] {
                bar.inc(1);
                let sample = turn(who).await?;
                if run > 0 {
                    samples.extend(sample);
                }
            }
        }
        Ok((ours, theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn taken(turns: Turns) -> (Vec<Who>, Vec<u64>, usize) {
        let mut order = Vec::new();
        let turn = async |who: Who| {
            order.push(who);
            let sample = Sample {
                served: order.len() as u64,
                ..Sample::default()
            };
            Ok((who == Who::Ours).then_some(sample))
        };
        let (ours, theirs) = turns.take(&ProgressBar::hidden(), turn).await.unwrap();
        let ours = ours.iter().map(|sample| sample.served).collect();
        (order, ours, theirs.len())
    }

    #[tokio::test]
    async fn they_alternate_and_the_first_may_not_count() {
        use Who::{Baseline, Ours};
        let (order, ours, theirs) = taken(Turns::warmed(2)).await;
        assert_eq!(order, [Ours, Baseline, Ours, Baseline, Ours, Baseline]);
        assert_eq!((ours, theirs), (vec![3, 5], 0));
        let (order, ours, _) = taken(Turns {
            runs: 2,
            warms_up: false,
        })
        .await;
        assert_eq!(order.len(), 4);
        assert_eq!(ours, [1, 3]);
    }
}
