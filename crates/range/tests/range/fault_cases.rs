//! One fault, in every place, through every door, in every form.

use std::time::Duration;

use forebay_range::{RangeEngineConfig, RangeStats};
use forebay_testkit::{Content, FaultKind, Rule};
use forebay_types::ErrorKind;
use futures::future::join_all;

use crate::world::{DOORS, Door, FORMS, Form, KIB, MIB, Taken, WHOLE, World, small_parts, within};

/// What becomes of a read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// The right bytes.
    Right,
    /// The right bytes, and something was sent again for them.
    Retried,
    /// One of these errors.
    Fails(&'static [ErrorKind]),
    /// The right bytes or one of these errors, as the pieces happen to fall.
    RightOr(&'static [ErrorKind]),
}

/// Faults, and what is to become of a read that meets them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    faults: Vec<FaultKind>,
    doors: Vec<Door>,
    /// The first request of an object of many parts, of which the others go well.
    first: Option<Expect>,
    /// Another of its requests.
    later: Option<Expect>,
    /// All of them.
    always: Option<Expect>,
    /// The only request of a small object, once; and all attempts at it.
    alone: Option<Expect>,
    alone_always: Option<Expect>,
}

impl Case {
    pub(crate) fn new(fault: FaultKind) -> Self {
        Self {
            faults: vec![fault],
            doors: DOORS.to_vec(),
            first: None,
            later: None,
            always: None,
            alone: None,
            alone_always: None,
        }
    }

    pub(crate) fn and(mut self, fault: FaultKind) -> Self {
        self.faults.push(fault);
        self
    }

    pub(crate) fn only(self, door: Door) -> Self {
        Self {
            doors: vec![door],
            ..self
        }
    }

    /// Wherever it happens once.
    pub(crate) fn once(self, expect: Expect) -> Self {
        self.first(expect).later(expect).alone(expect)
    }

    pub(crate) fn first(self, expect: Expect) -> Self {
        Self {
            first: Some(expect),
            ..self
        }
    }

    pub(crate) fn later(self, expect: Expect) -> Self {
        Self {
            later: Some(expect),
            ..self
        }
    }

    pub(crate) fn alone(self, expect: Expect) -> Self {
        Self {
            alone: Some(expect),
            ..self
        }
    }

    /// When it happens every time.
    pub(crate) fn always(self, expect: Expect) -> Self {
        Self {
            always: Some(expect),
            alone_always: Some(expect),
            ..self
        }
    }

    pub(crate) fn alone_always(self, expect: Expect) -> Self {
        Self {
            alone_always: Some(expect),
            ..self
        }
    }

    pub(crate) async fn run(self) {
        const LARGE: u64 = MIB + 12_345;
        const SMALL: u64 = 64 * KIB;
        let settings = [
            ("the first request", LARGE, self.first, (0, Some(1))),
            ("the third request", LARGE, self.later, (2, Some(1))),
            ("every request", LARGE, self.always, (0, None)),
            ("the only request", SMALL, self.alone, (0, Some(1))),
            (
                "every attempt at the only request",
                SMALL,
                self.alone_always,
                (0, None),
            ),
        ];
        // Where nothing comes for good, a deadline that a test can wait for; elsewhere none that a busy machine meets.
        let is_silent = |fault: &FaultKind| match fault {
            FaultKind::Stall { resume, .. } => resume.is_none(),
            FaultKind::Latency(latency) => *latency > Duration::from_secs(1),
            _ => false,
        };
        let mut config = small_parts();
        if self.faults.iter().any(is_silent) {
            config.stall_timeout = Duration::from_millis(700);
        }
        let mut runs = Vec::new();
        for (place, size, expect, (skip, times)) in settings {
            let Some(expect) = expect else { continue };
            for door in &self.doors {
                for form in FORMS {
                    let rule = |kind: &FaultKind| {
                        let rule = Rule::new(kind.clone()).skip_first(skip);
                        if let Some(times) = times {
                            rule.times(times)
                        } else {
                            rule
                        }
                    };
                    let rules = self.faults.iter().map(rule).collect();
                    let what = format!("{:?} at {place}", self.faults);
                    runs.push(one(what, config.clone(), (*door, form), size, rules, expect));
                }
            }
        }
        within(async {
            // A few at a time: each lab has threads of its own.
            let mut runs = runs.into_iter();
            loop {
                let some: Vec<_> = runs.by_ref().take(6).collect();
                if some.is_empty() {
                    break;
                }
                join_all(some).await;
            }
        })
        .await;
    }
}

async fn one(
    what: String,
    config: RangeEngineConfig,
    (door, form): (Door, Form),
    size: u64,
    rules: Vec<Rule>,
    expect: Expect,
) {
    let what = format!("{what}, {door:?}, {form:?}");
    let world = World::new(config);
    // A fault may replace the object, each time by the next pattern.
    let versions: Vec<Content> = (0..40).map(|n| Content::pattern(7 + n, size)).collect();
    world.put("object", 7, size);
    for rule in rules {
        world.lab.faults().add(rule);
    }
    let taken = world.take(door, form, "object", WHOLE).await;
    taken.version_of(&versions);
    world.settled().await;
    assert!(
        !world.lab.faults().all_injected().is_empty(),
        "{what}: the fault never happened"
    );
    judge(&what, &world, &taken, expect);
}

fn judge(what: &str, world: &World, taken: &Taken, expect: Expect) {
    let resent = |stats: &RangeStats| stats.retries + world.opener.transport().meter().dead_reuses();
    let kind = taken.outcome.as_ref().map_err(|error| error.kind());
    match (expect, &taken.outcome) {
        (Expect::Right | Expect::RightOr(_), Ok(_)) => {}
        (Expect::Retried, Ok(stats)) => assert!(resent(stats) > 0, "{what}: {stats:?}"),
        (Expect::Fails(kinds) | Expect::RightOr(kinds), Err(error)) => {
            assert!(
                kinds.contains(&error.kind()),
                "{what}: {:?} {error}",
                error.kind()
            );
            assert!(
                error.to_string().contains("object"),
                "{what}: the message names no object: {error}"
            );
        }
        _ => panic!("{what}: expected {expect:?}, got {kind:?}: {:?}", taken.outcome),
    }
    if kind == Err(ErrorKind::Unavailable) || kind == Err(ErrorKind::TimedOut) {
        assert!(
            world.engine.stats().retries >= 2,
            "{what}: given up too soon: {:?}",
            taken.outcome
        );
    }
}
