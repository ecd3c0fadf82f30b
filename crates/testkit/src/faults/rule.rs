//! When something goes wrong: pure, given a request's [`Facts`].

use std::time::Duration;

use forebay_types::RangeSpec;

use super::FaultKind;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// GET of an object.
    Get,
    /// HEAD of an object or bucket.
    Head,
    /// PUT of an object, of a part, or a copy.
    Put,
    /// Listing of keys.
    List,
    /// DELETE of an object.
    Delete,
    /// Anything else.
    Other,
}

impl Op {
    pub(crate) const COUNT: usize = 6;
}

/// What of a request a rule can look at.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) op: Op,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) range: Option<RangeSpec>,
}

/// Which requests go wrong, how, and how often.
///
/// ```
/// # use forebay_testkit::{FaultKind, Op, Point, Rule};
/// // The second and third GET of log/… lose their connection after 1,000 bytes.
/// let rule = Rule::new(FaultKind::Reset(Point::AfterBody(1000))).op(Op::Get).key_prefix("log/").skip_first(1).times(2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// How.
    pub kind: FaultKind,
    /// Only requests of this kind.
    pub op: Option<Op>,
    /// Only requests to this bucket.
    pub bucket: Option<String>,
    /// Only keys that begin so.
    pub key_prefix: String,
    /// Only requests with a Range that begins at this byte.
    pub range_start: Option<u64>,
    /// Leave the first so many matching requests alone.
    pub skip_first: u32,
    /// After those, only one in so many; 0 counts as 1.
    pub every: u32,
    /// Of those, only this share, drawn with a seed: (probability, seed).
    pub probability: Option<(f64, u64)>,
    /// At most so often in all.
    pub times: Option<u32>,
}

impl Rule {
    /// Every GET, every time.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            op: Some(Op::Get),
            bucket: None,
            key_prefix: String::new(),
            range_start: None,
            skip_first: 0,
            every: 1,
            probability: None,
            times: None,
        }
    }

    /// A slow tail: this share of GETs (0.01 is one in a hundred) has that much more latency.
    pub fn slow_tail(share: f64, extra: Duration, seed: u64) -> Self {
        Self::new(FaultKind::Latency(extra)).probability(share, seed)
    }

    /// Requests of this kind instead of GETs.
    pub fn op(self, op: Op) -> Self {
        Self { op: Some(op), ..self }
    }

    /// Requests of all kinds.
    pub fn any_op(self) -> Self {
        Self { op: None, ..self }
    }

    /// Only this bucket.
    pub fn bucket(self, bucket: impl Into<String>) -> Self {
        Self {
            bucket: Some(bucket.into()),
            ..self
        }
    }

    /// Only keys that begin so.
    pub fn key_prefix(self, prefix: impl Into<String>) -> Self {
        Self {
            key_prefix: prefix.into(),
            ..self
        }
    }

    /// Only ranges that begin at this byte.
    pub fn range_start(self, start: u64) -> Self {
        Self {
            range_start: Some(start),
            ..self
        }
    }

    /// Leave the first matching requests alone.
    pub fn skip_first(self, requests: u32) -> Self {
        Self {
            skip_first: requests,
            ..self
        }
    }

    /// Only one in so many.
    pub fn every(self, requests: u32) -> Self {
        Self {
            every: requests,
            ..self
        }
    }

    /// Only this share.
    pub fn probability(self, share: f64, seed: u64) -> Self {
        Self {
            probability: Some((share, seed)),
            ..self
        }
    }

    /// At most so often.
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    fn matches(&self, facts: &Facts<'_>) -> bool {
        let start = match facts.range {
            Some(RangeSpec::Bounded(range)) => Some(range.start()),
            Some(RangeSpec::From(start)) => Some(start),
            Some(RangeSpec::Last(_)) | None => None,
        };
        self.op.is_none_or(|op| op == facts.op)
            && self.bucket.as_ref().is_none_or(|bucket| bucket == facts.bucket)
            && facts.key.starts_with(&self.key_prefix)
            && self.range_start.is_none_or(|wanted| start == Some(wanted))
    }
}

/// A rule and how often it was asked.
#[derive(Debug)]
pub(super) struct ActiveRule {
    rule: Rule,
    matched: u32,
    hits: u32,
    dice: fastrand::Rng,
}

impl ActiveRule {
    pub(super) fn new(rule: Rule) -> Self {
        let seed = rule.probability.map_or(0, |(_, seed)| seed);
        Self {
            rule,
            matched: 0,
            hits: 0,
            dice: fastrand::Rng::with_seed(seed),
        }
    }

    /// The fault, if it is this request's turn.
    pub(super) fn ask(&mut self, facts: &Facts<'_>) -> Option<&FaultKind> {
        if !self.rule.matches(facts) {
            return None;
        }
        self.matched = self.matched.saturating_add(1);
        let counted = self.matched.checked_sub(self.rule.skip_first.saturating_add(1))?;
        let turn = counted.is_multiple_of(self.rule.every.max(1))
            && self.rule.times.is_none_or(|times| self.hits < times)
            && self
                .rule
                .probability
                .is_none_or(|(share, _)| self.dice.f64() < share);
        if !turn {
            return None;
        }
        self.hits += 1;
        Some(&self.rule.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(rule: Rule, requests: usize) -> Vec<bool> {
        let mut active = ActiveRule::new(rule);
        let facts = Facts {
            op: Op::Get,
            bucket: "b",
            key: "log/1",
            range: None,
        };
        (0..requests).map(|_| active.ask(&facts).is_some()).collect()
    }

    #[test]
    fn a_rule_counts_only_its_own_requests() {
        let rule = Rule::new(FaultKind::MissingETag);
        assert_eq!(turns(rule.clone().times(2), 4), [true, true, false, false]);
        assert_eq!(
            turns(rule.clone().skip_first(1).times(1), 4),
            [false, true, false, false]
        );
        assert_eq!(turns(rule.clone().every(2), 4), [true, false, true, false]);
        assert_eq!(
            turns(rule.clone().skip_first(1).every(3), 5),
            [false, true, false, false, true]
        );
        assert_eq!(turns(rule.clone().op(Op::Put), 2), [false, false]);
        assert_eq!(turns(rule.clone().key_prefix("log/"), 1), [true]);
        assert_eq!(turns(rule.clone().key_prefix("data/"), 1), [false]);
        assert_eq!(turns(rule.range_start(0), 1), [false]);
    }

    #[test]
    fn a_seed_repeats_its_draws() {
        let rule = Rule::slow_tail(0.01, Duration::from_millis(1), 7);
        let first = turns(rule.clone(), 10_000);
        assert_eq!(first, turns(rule, 10_000));
        let hits = first.iter().filter(|hit| **hit).count();
        assert!((50..200).contains(&hits), "{hits} of 10,000 at 1 %");
    }
}
