//! The programme of faults: [`Rule`]s are added from any thread at any time, and each request takes from those whose
//! turn it is a [`Plan`]: what to do before the head, to the head, and to the body.

mod kind;
mod rule;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use kind::{FaultClass, FaultKind, Point, RetryAfter, WrongRange};
pub(crate) use rule::Facts;
pub use rule::{Op, Rule};

use crate::Content;
use rule::ActiveRule;

/// Faults to be injected, and those that were. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether there is any rule, so that a lab without faults takes no lock.
    any: AtomicBool,
    rules: Mutex<Vec<ActiveRule>>,
    injected: Mutex<BTreeMap<FaultClass, u64>>,
}

impl Faults {
    /// Adds a rule. Rules do not exclude each other: a request suffers from all whose turn it is; of several error
    /// statuses, and of several ends of the body, the rule added first wins.
    pub fn add(&self, rule: Rule) {
        self.rules().push(ActiveRule::new(rule));
        self.shared.any.store(true, Ordering::Release);
    }

    /// Removes all rules; what was injected stays counted.
    pub fn clear(&self) {
        self.shared.any.store(false, Ordering::Release);
        self.rules().clear();
    }

    /// How often faults of a class were injected: counted when they happen, not when they are due.
    pub fn injected(&self, class: FaultClass) -> u64 {
        self.counts().get(&class).copied().unwrap_or(0)
    }

    /// The same for all classes that occurred.
    pub fn all_injected(&self) -> BTreeMap<FaultClass, u64> {
        self.counts().clone()
    }

    /// Counts from zero again.
    pub fn reset_injected(&self) {
        self.counts().clear();
    }

    pub(crate) fn count(&self, class: FaultClass) {
        *self.counts().entry(class).or_default() += 1;
    }

    /// What happens to this request.
    pub(crate) fn plan(&self, facts: &Facts<'_>) -> Plan {
        let mut plan = Plan::default();
        if self.shared.any.load(Ordering::Acquire) {
            for rule in self.rules().iter_mut() {
                if let Some(kind) = rule.ask(facts) {
                    plan.add(kind);
                }
            }
        }
        plan
    }

    fn rules(&self) -> MutexGuard<'_, Vec<ActiveRule>> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<FaultClass, u64>> {
        self.shared
            .injected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that goes wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) replace: Option<Option<Content>>,
    pub(crate) before: Before,
    pub(crate) latency: Duration,
    pub(crate) overrides: Overrides,
    pub(crate) head: Vec<HeadEdit>,
    pub(crate) bandwidth: Option<u64>,
    pub(crate) corrupt: Option<u64>,
    pub(crate) extra: Option<u64>,
    pub(crate) cut: Option<Cut>,
}

/// What comes instead of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Before {
    #[default]
    Nothing,
    Reset,
    Stall(Option<Duration>),
    Status(u16, Option<RetryAfter>),
}

/// What the face is to overlook; it travels to it in the request's extensions, because a signature covers the headers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) ignore_range: bool,
    pub(crate) ignore_conditions: bool,
}

/// What is done to the head of an answer.
#[derive(Clone, Debug)]
pub(crate) enum HeadEdit {
    ContentRange(WrongRange),
    WrongETag(String),
    MissingETag,
    MissingLastModified,
    MissingContentLength,
}

/// Where and how a body breaks off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) after: u64,
    pub(crate) by: CutBy,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum CutBy {
    Reset,
    Close,
    Stall(Option<Duration>),
}

impl CutBy {
    pub(crate) fn class(self) -> FaultClass {
        match self {
            Self::Reset => FaultClass::Reset,
            Self::Close => FaultClass::Truncate,
            Self::Stall(_) => FaultClass::Stall,
        }
    }
}

impl Plan {
    fn add(&mut self, kind: &FaultKind) {
        match kind {
            FaultKind::Latency(extra) => self.latency += *extra,
            FaultKind::Bandwidth(rate) => {
                self.bandwidth = Some(self.bandwidth.map_or(*rate, |other| other.min(*rate)));
            }
            FaultKind::Reset(Point::BeforeHeaders) => self.before_head(Before::Reset),
            FaultKind::Reset(Point::AfterBody(after)) => self.cut_body(*after, CutBy::Reset),
            FaultKind::Stall {
                at: Point::BeforeHeaders,
                resume,
            } => self.before_head(Before::Stall(*resume)),
            FaultKind::Stall {
                at: Point::AfterBody(after),
                resume,
            } => {
                self.cut_body(*after, CutBy::Stall(*resume));
            }
            FaultKind::Truncate { after } => self.cut_body(*after, CutBy::Close),
            FaultKind::Status { code, retry_after } => self.before_head(Before::Status(*code, *retry_after)),
            FaultKind::ExtraBody { bytes } => self.extra = Some(self.extra.unwrap_or(0) + bytes),
            FaultKind::Corrupt { at } => self.corrupt = Some(*at),
            FaultKind::ContentRange(wrong) => self.head.push(HeadEdit::ContentRange(*wrong)),
            FaultKind::WholeBody => self.overrides.ignore_range = true,
            FaultKind::Replace { with } => self.replace = Some(with.clone()),
            FaultKind::WrongETag(etag) => self.head.push(HeadEdit::WrongETag(etag.clone())),
            FaultKind::MissingETag => self.head.push(HeadEdit::MissingETag),
            FaultKind::MissingLastModified => self.head.push(HeadEdit::MissingLastModified),
            FaultKind::MissingContentLength => self.head.push(HeadEdit::MissingContentLength),
            FaultKind::IgnoreConditions => self.overrides.ignore_conditions = true,
        }
    }

    fn before_head(&mut self, before: Before) {
        if matches!(self.before, Before::Nothing) {
            self.before = before;
        }
    }

    fn cut_body(&mut self, after: u64, by: CutBy) {
        if self.cut.is_none() {
            self.cut = Some(Cut { after, by });
        }
    }
}
