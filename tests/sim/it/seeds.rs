//! What every run of the tests tries; `SIM_SEED` tries one seed in all scenarios.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use simulation::{Scenario, record, run};

/// Runs seeds on all cores, and fails with the first that fails.
fn run_all(seeds: &[(Scenario, u64)]) {
    let next = AtomicU64::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while let Some((scenario, seed)) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize)
        {
            if let Err(failure) = run(*scenario, *seed, None) {
                return Some(failure.to_string());
            }
        }
        None
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn two_thousand_seeds_break_no_promise() {
    let seeds: Vec<_> = (0..2000).map(|seed| (Scenario::of(seed), seed)).collect();
    run_all(&seeds);
}

#[test]
fn every_scenario_breaks_no_promise() {
    let seed = std::env::var("SIM_SEED").ok();
    let seed = seed.map_or(4711, |seed| seed.parse().expect("SIM_SEED is a number"));
    run_all(&Scenario::ALL.map(|scenario| (scenario, seed)));
}

#[test]
fn seeds_that_once_failed_do_so_no_more() {
    let lines = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let seed = |line: &str| {
        let mut words = line.split(' ');
        let scenario = words.next().and_then(Scenario::from_name).expect("a scenario");
        (scenario, words.next().and_then(|seed| seed.parse().ok()).expect("a seed"))
    };
    let seeds: Vec<(Scenario, u64)> = lines.map(seed).collect();
    assert!(!seeds.is_empty());
    run_all(&seeds);
}

#[test]
fn the_same_seed_gives_the_same_events() {
    for scenario in Scenario::ALL.into_iter().filter(|scenario| *scenario != Scenario::Herd) {
        let (once, twice) = (record(scenario, 5), record(scenario, 5));
        assert!(once.len() > 50, "{}: {} events", scenario.name(), once.len());
        let other = once.iter().zip(&twice).find(|(a, b)| a != b);
        assert!(other.is_none() && once.len() == twice.len(), "{}: {other:?}", scenario.name());
        assert_ne!(once, record(scenario, 6), "another seed is another run");
    }
}

#[test]
fn all_that_can_happen_does() {
    let wanted = [
        "late: true",
        "dropped: true",
        "reason: Duplicate",
        "reason: NotFinite",
        "reason: Length",
        "reason: Norm",
        "reason: Ended",
        "end: Released",
        "outcome: Rejected(UnknownLease)",
        "outcome: Rejected(Fenced)",
        "in_epoch: false",
        "leases: [LeaseId",
        "clip: 0.",
        "order: Add",
        "order: Spread",
        "order: Accumulate",
        "rule: Mean",
        "rule: Nesterov",
        "is rotten",
        "LeaseReleased",
        "Stop",
        "Pause",
        "Resume",
        "LearningRate",
        "start 5",
    ];
    let mut missing: Vec<&str> = wanted.to_vec();
    for seed in 0..1500 {
        let scenario = Scenario::of(seed);
        if missing.is_empty() {
            return;
        }
        if scenario != Scenario::Herd {
            let events = record(scenario, seed);
            missing.retain(|word| !events.iter().any(|event| event.contains(word)));
        }
    }
    panic!("these never happen: {missing:?}");
}
