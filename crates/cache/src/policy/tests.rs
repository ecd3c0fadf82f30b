use super::*;
use proptest::prelude::*;

/// Keeps at most `room` bytes, one byte for each key.
struct Cache {
    policy: Policy<u32>,
    room: usize,
}

impl Cache {
    /// Reads a key as a cache would; tells whether it was there.
    fn read(&mut self, key: u32) -> bool {
        if self.policy.bytes_of(key).is_some() {
            self.policy.used(key);
            return true;
        }
        while self.policy.len() >= self.room {
            let victim = self.policy.victim().unwrap();
            self.policy.remove(victim, true);
        }
        self.policy.set(key, 1);
        false
    }
}

fn cache(room: usize) -> Cache {
    Cache {
        policy: Policy::new(),
        room,
    }
}

fn order(policy: &mut Policy<&'static str>) -> Vec<&'static str> {
    std::iter::from_fn(|| {
        let victim = policy.victim()?;
        policy.remove(victim, false);
        Some(victim)
    })
    .collect()
}

#[test]
fn what_was_used_again_stays_longer() {
    let table: [(&str, &[&str], &[&str]); 5] = [
        ("first in, first out", &[], &["a", "b", "c"]),
        ("one use is another queue", &["a"], &["b", "c", "a"]),
        (
            "uses in the small queue count once",
            &["a", "a", "a", "b"],
            &["c", "a", "b"],
        ),
        (
            "all used: first in, first out again",
            &["c", "b", "a"],
            &["a", "b", "c"],
        ),
        ("an unknown key changes nothing", &["x"], &["a", "b", "c"]),
    ];
    for (claim, uses, expected) in table {
        let mut policy = Policy::new();
        for key in ["a", "b", "c"] {
            policy.set(key, 1);
        }
        for key in uses {
            policy.used(key);
        }
        assert_eq!(order(&mut policy), expected, "{claim}");
    }
}

#[test]
fn each_use_in_the_main_queue_buys_a_round() {
    let mut policy = Policy::new();
    for key in ["a", "b", "c"] {
        policy.restore(key, 1);
    }
    for _ in 0..9 {
        policy.used("a");
    }
    policy.used("b");
    assert_eq!(policy.victim(), Some("c"));
    policy.remove("c", true);
    assert_eq!(order(&mut policy), ["b", "a"]);
}

#[test]
fn a_scan_does_not_push_out_what_is_used() {
    let mut cache = cache(100);
    for _ in 0..3 {
        for key in 0..50 {
            cache.read(key);
        }
    }
    for key in 1000..11_000 {
        cache.read(key);
    }
    let kept = (0..50)
        .filter(|key| cache.policy.bytes_of(*key).is_some())
        .count();
    assert_eq!(kept, 50);
}

#[test]
fn who_comes_again_soon_is_no_newcomer() {
    let mut policy = Policy::new();
    policy.restore("old", 90);
    policy.set("a", 20);
    assert_eq!(policy.victim(), Some("a"));
    policy.remove("a", true);
    policy.set("a", 20);
    assert_eq!(
        policy.victim(),
        Some("old"),
        "a is in the main queue now, behind the old one"
    );
    policy.remove("old", true);
    assert_eq!(order(&mut policy), ["a"]);
}

#[test]
fn victims_that_cannot_leave_stand_back_until_the_others_had_their_turn() {
    let mut policy = Policy::new();
    policy.restore("old", 1);
    for key in ["a", "b"] {
        policy.set(key, 10);
    }
    for expected in ["a", "b", "old"] {
        assert_eq!(policy.victim(), Some(expected));
        policy.park(expected);
    }
    assert_eq!(policy.victim(), None);
    assert_eq!(policy.bytes(), 21);
    policy.remove("a", false);
    policy.set("a", 5);
    policy.resume();
    assert_eq!(policy.bytes(), 16);
    assert_eq!(order(&mut policy), ["a", "b", "old"]);
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u64),
    Restore(u8, u64),
    Use(u8),
    Remove(u8, bool),
    Evict,
    Park,
    Resume,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<u8>(), 0u64..1000).prop_map(|(key, bytes)| Step::Set(key, bytes)),
        (any::<u8>(), 0u64..1000).prop_map(|(key, bytes)| Step::Restore(key, bytes)),
        any::<u8>().prop_map(Step::Use),
        (any::<u8>(), any::<bool>()).prop_map(|(key, evicted)| Step::Remove(key, evicted)),
        Just(Step::Evict),
        Just(Step::Park),
        Just(Step::Resume),
    ]
}

proptest! {
    #[test]
    fn bytes_and_keys_are_those_of_a_plain_map(steps in prop::collection::vec(any_step(), 0..300)) {
        let mut policy = Policy::new();
        let mut model: HashMap<u8, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Set(key, bytes) => {
                    policy.set(key, bytes);
                    model.insert(key, bytes);
                }
                Step::Restore(key, bytes) => {
                    policy.restore(key, bytes);
                    model.insert(key, bytes);
                }
                Step::Use(key) => policy.used(key),
                Step::Remove(key, evicted) => {
                    policy.remove(key, evicted);
                    model.remove(&key);
                }
                Step::Evict => {
                    let victim = policy.victim();
                    prop_assert_eq!(victim.is_some(), policy.entries.values().any(|entry| !entry.parked));
                    if let Some(victim) = victim {
                        prop_assert!(model.remove(&victim).is_some());
                        policy.remove(victim, true);
                    }
                }
                Step::Park => {
                    if let Some(victim) = policy.victim() {
                        policy.park(victim);
                    }
                }
                Step::Resume => policy.resume(),
            }
            prop_assert_eq!(policy.bytes(), model.values().sum::<u64>());
            prop_assert_eq!(policy.len(), model.len());
            prop_assert!(policy.ghosts.len() <= model.len().max(16));
            prop_assert!(policy.small.order.len() + policy.main.order.len() <= 4 * model.len().max(256) + 64);
        }
        for (key, bytes) in &model {
            prop_assert_eq!(policy.bytes_of(*key), Some(*bytes));
        }
    }

    #[test]
    fn hits_are_never_fewer_than_those_of_plain_first_in_first_out_under_a_scan(hot in 1u32..40, scan in 100u32..1000) {
        let mut cache = cache(50);
        let mut plain: VecDeque<u32> = VecDeque::new();
        let (mut hits, mut plain_hits) = (0, 0);
        for round in 0..scan {
            for key in [round % hot, 10_000 + round] {
                hits += u32::from(cache.read(key));
                if plain.contains(&key) {
                    plain_hits += 1;
                } else {
                    plain.push_back(key);
                    if plain.len() > 50 {
                        plain.pop_front();
                    }
                }
            }
        }
        prop_assert!(hits >= plain_hits, "{} hits, {} by plain FIFO", hits, plain_hits);
    }
}
