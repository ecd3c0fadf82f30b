//! Runs a list of reads against a `ReadAhead`: bytes arrive some reads after they were asked for. Checks after each
//! read what must hold of every plan.

use std::collections::HashMap;
use std::fmt;

use forebay_readahead::{Pattern, Plan, Read, ReadAhead, ReadAheadConfig, Report};
use forebay_types::{BlockRange, ByteRange};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn at(start: u64, len: u64) -> ByteRange {
    ByteRange::at(start, len)
}

/// The defaults, with windows that double: steps are easy to follow.
pub(crate) fn doubling() -> ReadAheadConfig {
    ReadAheadConfig {
        multiplier: 2.0,
        ..ReadAheadConfig::default()
    }
}

/// Disjoint ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Vec<ByteRange>);

impl Spans {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.len()).sum()
    }

    pub(crate) fn common(&self, range: ByteRange) -> u64 {
        self.0.iter().map(|one| one.intersect(range).len()).sum()
    }

    pub(crate) fn add(&mut self, range: ByteRange) {
        self.remove(range);
        self.0.push(range);
    }

    /// How many bytes of `range` were there.
    pub(crate) fn remove(&mut self, range: ByteRange) -> u64 {
        let before = self.bytes();
        let parts = self.0.drain(..).flat_map(|one| {
            let common = one.intersect(range);
            [
                ByteRange::new(one.start(), common.start()),
                ByteRange::new(common.end(), one.end()),
            ]
        });
        self.0 = parts.filter(|part| !part.is_empty()).collect();
        before - self.bytes()
    }
}

pub(crate) struct Sim {
    pub(crate) ahead: ReadAhead,
    config: ReadAheadConfig,
    size: u64,
    /// Bytes arrive this many reads after the one that asked for them.
    pub(crate) delay: u64,
    /// Bytes of memory for read-ahead.
    pub(crate) memory: u64,
    reads: u64,
    /// Blocks that are here or on their way: the read at which they arrive.
    blocks: HashMap<u64, u64>,
    /// Asked for, not read, not given up.
    pub(crate) wanted: Spans,
    /// What the reader said that it reads in order.
    promised: Vec<ByteRange>,
    /// Lengths of all ahead ranges.
    pub(crate) asks: Vec<u64>,
    /// Largest sum of what was asked for and not read.
    pub(crate) peak: u64,
    /// Bytes said to be done.
    pub(crate) done: Spans,
    /// Reads by what they were taken for.
    pub(crate) patterns: Vec<Pattern>,
}

impl Sim {
    pub(crate) fn new(config: ReadAheadConfig, size: u64, delay: u64) -> Self {
        Self {
            ahead: ReadAhead::new(config.clone(), size),
            config,
            size,
            delay,
            memory: u64::MAX,
            reads: 0,
            blocks: HashMap::new(),
            wanted: Spans::default(),
            promised: Vec::new(),
            asks: Vec::new(),
            peak: 0,
            done: Spans::default(),
            patterns: Vec::new(),
        }
    }

    pub(crate) fn declare(&mut self, range: ByteRange) {
        self.promised.push(range);
        self.ahead.declare(range);
    }

    pub(crate) fn read(&mut self, range: ByteRange) -> Plan {
        self.reads += 1;
        let blocks = BlockRange::touching(range.clamp_to(self.size));
        let starved = blocks
            .iter()
            .any(|block| self.blocks.get(&block).is_none_or(|when| *when > self.reads));
        let spare = self.memory.saturating_sub(self.wanted.bytes());
        let plan = self.ahead.observe(Read {
            range,
            starved,
            spare,
        });
        // Who reads waits until the bytes are here.
        for block in blocks {
            self.blocks.insert(block, 0);
        }
        self.wanted.remove(range);
        self.check(&plan, spare);
        for range in &plan.ahead {
            self.asks.push(range.len());
            for block in BlockRange::touching(*range) {
                self.blocks.entry(block).or_insert(self.reads + self.delay);
            }
        }
        self.peak = self.peak.max(self.wanted.bytes());
        self.patterns.push(plan.pattern);
        plan
    }

    pub(crate) fn run(&mut self, reads: impl IntoIterator<Item = ByteRange>) -> Report {
        for range in reads {
            self.read(range);
        }
        self.report()
    }

    pub(crate) fn report(&self) -> Report {
        self.ahead.report()
    }

    /// Closes the handle and prints a line of a table.
    pub(crate) fn close(&mut self, name: &str) -> Report {
        let report = self.ahead.close();
        assert_eq!(report.asked_ahead, report.used_ahead + report.wasted);
        assert_eq!(self.ahead.outstanding(), 0);
        println!("{}", Line(name, &report, self));
        report
    }

    fn check(&mut self, plan: &Plan, spare: u64) {
        for range in &plan.cancel {
            assert!(!range.is_empty());
            assert_eq!(
                self.wanted.remove(*range),
                range.len(),
                "cancels what was not asked for"
            );
        }
        for range in &plan.done {
            assert!(range.end() <= self.size && !range.is_empty(), "{range}");
            self.wanted.remove(*range);
            self.done.add(*range);
        }
        let mut asked = 0;
        for range in &plan.ahead {
            assert!(!range.is_empty() && range.end() <= self.size, "outside: {range}");
            assert_eq!(self.wanted.common(*range), 0, "asked for twice: {range}");
            self.wanted.add(*range);
            asked += range.len();
        }
        assert!(asked <= spare || asked == 0);
        // What lies beyond is bounded by the window; how much memory there is for it, who carries the plan out looks.
        assert!(plan.beyond <= self.config.size.max(self.config.max));
        let promised = |range: &ByteRange| {
            self.promised
                .iter()
                .any(|promise| promise.intersect(*range) == *range)
        };
        assert!(self.config.enabled || plan.beyond == 0 && plan.ahead.iter().all(promised));
        assert_eq!(self.ahead.outstanding(), self.wanted.bytes());
        let cap = self.config.size.max(self.config.max);
        assert!(self.wanted.bytes() <= cap, "{} of {cap}", self.wanted.bytes());
        let report = self.report();
        assert_eq!(
            report.asked_ahead,
            report.used_ahead + report.wasted + self.wanted.bytes(),
            "the report does not add up"
        );
    }

    pub(crate) fn refuse(&mut self, range: ByteRange) {
        self.ahead.refused(range);
        self.wanted.remove(range);
        for block in BlockRange::touching(range) {
            if self.blocks.get(&block).is_some_and(|when| *when > self.reads) {
                self.blocks.remove(&block);
            }
        }
    }

    pub(crate) fn evict(&mut self, range: ByteRange) {
        self.ahead.evicted_unread(range);
        self.wanted.remove(range);
        for block in BlockRange::inside(range, self.size) {
            self.blocks.remove(&block);
        }
    }

    pub(crate) fn windows(&self) -> Vec<u64> {
        self.ahead.window().map(|window| window.size).collect()
    }
}

struct Line<'a>(&'a str, &'a Report, &'a Sim);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, report, sim) = self;
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        write!(
            f,
            "{name:40} reads {:6} asked {:8.2} used {:8.2} wasted {:7.2} MiB, starved {:5} unasked {:5} asks {:4} \
             peak {:6.1} MiB, grown {:2} halved {:2} runs {}",
            report.reads,
            mib(report.asked_ahead),
            mib(report.used_ahead),
            mib(report.wasted),
            report.starved,
            report.unasked,
            sim.asks.len(),
            mib(sim.peak),
            report.windows_grown,
            report.windows_halved,
            report.runs_seen,
        )
    }
}

/// Reads of `len` bytes from `start` to `end`, one after the other.
pub(crate) fn in_order(start: u64, end: u64, len: u64) -> impl Iterator<Item = ByteRange> + Clone {
    (0..(end - start).div_ceil(len)).map(move |n| at(start + n * len, len.min(end - start - n * len)))
}

/// The reads of several readers, one of each in turn.
pub(crate) fn in_turn(readers: &[Vec<ByteRange>]) -> Vec<ByteRange> {
    let longest = readers.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|n| readers.iter().filter_map(move |reads| reads.get(n).copied()))
        .collect()
}

/// Shuffles within groups of `len` reads, as a kernel does that sends them in parallel.
pub(crate) fn shuffled(
    reads: impl IntoIterator<Item = ByteRange>,
    len: usize,
    dice: &mut Dice,
) -> Vec<ByteRange> {
    let mut reads: Vec<ByteRange> = reads.into_iter().collect();
    for group in reads.chunks_mut(len) {
        for at in (1..group.len()).rev() {
            group.swap(at, dice.below(at as u64 + 1) as usize);
        }
    }
    reads
}

/// Numbers by chance, the same in every run (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(mixed) * u128::from(end)) >> 64) as u64
    }
}
