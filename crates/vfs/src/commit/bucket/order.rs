//! In which order objects are written, so that none is lost that another one still needs. Pure.
//!
//! A step that writes an object waits for all that read what is there now. Where steps wait for each other, as in a swap of
//! two names, the content that one of them reads is brought into the overlay first, and it reads nothing any more.

use std::collections::HashMap;

/// An object that is written or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Which.
    pub(super) to: Box<str>,
    /// An object that has to be as it is until this is done.
    pub(super) reads: Option<Box<str>>,
    /// Bytes of that.
    pub(super) size: u64,
    /// What it has to wait for besides.
    pub(super) after: Vec<usize>,
}

/// What is done when.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Steps whose content is brought before anything is written.
    pub(super) bring: Vec<usize>,
    /// Steps that do not depend on each other, one lot after the other.
    pub(super) waves: Vec<Vec<usize>>,
    /// Of each step: those that must not be done if it was not.
    pub(super) next: Vec<Vec<usize>>,
}

/// Orders steps, of which no two write the same object.
pub(super) fn order(steps: &[Step]) -> Order {
    let writers: HashMap<&str, usize> = steps.iter().zip(0..).map(|(step, at)| (&*step.to, at)).collect();
    // Who writes what a step reads, unless it is itself.
    let overwriter = |at: usize| {
        let reads = steps[at].reads.as_deref()?;
        writers.get(reads).copied().filter(|writer| *writer != at)
    };
    let mut next = vec![Vec::new(); steps.len()];
    let mut waits = vec![0_usize; steps.len()];
    for (at, step) in steps.iter().enumerate() {
        if let Some(later) = overwriter(at) {
            next[at].push(later);
            waits[later] += 1;
        }
        for earlier in &step.after {
            next[*earlier].push(at);
            waits[at] += 1;
        }
    }
    let mut order = Order::default();
    let mut left: Vec<bool> = vec![true; steps.len()];
    let mut brought = vec![false; steps.len()];
    let mut ready: Vec<usize> = (0..steps.len()).filter(|at| waits[*at] == 0).collect();
    loop {
        while !ready.is_empty() {
            let mut freed = Vec::new();
            for at in &ready {
                left[*at] = false;
                for later in &next[*at] {
                    if brought[*at] && overwriter(*at) == Some(*later) {
                        continue;
                    }
                    waits[*later] -= 1;
                    if waits[*later] == 0 {
                        freed.push(*later);
                    }
                }
            }
            order.waves.push(std::mem::replace(&mut ready, freed));
        }
        // All that are left wait for one another.
        let stuck = (0..steps.len()).filter(|at| left[*at] && !brought[*at]);
        let cheapest = stuck
            .filter(|at| overwriter(*at).is_some_and(|later| left[later]))
            .min_by_key(|at| steps[*at].size);
        let Some(at) = cheapest else {
            break;
        };
        brought[at] = true;
        order.bring.push(at);
        if let Some(later) = overwriter(at) {
            waits[later] -= 1;
            if waits[later] == 0 {
                ready.push(later);
            }
        }
    }
    order.next = next;
    order
}

#[cfg(test)]
mod tests;
