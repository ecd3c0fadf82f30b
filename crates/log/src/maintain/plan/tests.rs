#![expect(
    clippy::single_range_in_vec_init,
    reason = "lists of ranges are what is decided"
)]

use super::*;
use proptest::prelude::*;

#[test]
fn what_is_worth_being_rewritten() {
    assert_eq!(worthwhile(&[1; 31], 32), []);
    assert_eq!(worthwhile(&[1; 32], 32), [0..32]);
    assert_eq!(worthwhile(&[1; 40], 32), [0..40], "all that are there");
    // The first one is the result of an earlier round: it stays until there is eight times as much.
    let with = |first: u64, ones: usize| {
        let mut lengths = vec![first];
        lengths.extend(vec![1; ones]);
        worthwhile(&lengths, 32)
    };
    assert_eq!(with(32, 31), []);
    assert_eq!(with(32, 32), [1..33]);
    assert_eq!(with(4, 40), [0..41]);
    // In the middle it parts those on its two sides.
    let mut lengths = vec![1; 32];
    lengths.push(1000);
    lengths.extend([1; 33]);
    assert_eq!(worthwhile(&lengths, 32), [0..32, 33..66]);
    // Where two are enough, the result is half as long again at least.
    assert_eq!(worthwhile(&[1, 1], 2), [0..2]);
    assert_eq!(worthwhile(&[3, 1], 2), []);
    assert_eq!(worthwhile(&[5, 1, 1], 2), [1..3], "those are as good");
    assert_eq!(worthwhile(&[3, 2], 2), [0..2]);
}

proptest! {
    /// A trickle of small segments: how often a byte is written, and how many segments are left.
    #[test]
    fn a_trickle_is_rewritten_a_few_times(seed in any::<u64>(), least in 4..40_usize, at_once in 1..50_usize) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut lengths, mut written, mut came) = (Vec::new(), 0, 0);
        for _ in 0..20_000 / at_once {
            for _ in 0..at_once {
                let length = dice.u64(1..4);
                came += length;
                lengths.push(length);
            }
            let worth = worthwhile(&lengths, least);
            for range in worth.into_iter().rev() {
                let bytes = lengths[range.clone()].iter().sum();
                written += bytes;
                lengths.splice(range, [bytes]);
            }
        }
        let times = written as f64 / came as f64;
        // The greatest power of the growth that is in the bytes.
        let grows = grows(least) as f64 / 2.0;
        prop_assert!(times <= (came as f64).log(grows) + 1.0, "{times}");
        prop_assert!(lengths.len() <= 8 * (least + at_once), "{}", lengths.len());
    }
}
