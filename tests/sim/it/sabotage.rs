//! The power of the checks: each bug on purpose is found, and soon.

use std::fmt::Write;

use engine::sabotage::Bug;
use simulation::{Scenario, run};

/// Seeds in which a bug must show.
const SEEDS: u64 = 1000;

#[test]
fn every_bug_is_found() {
    let mut table = String::new();
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = (0..SEEDS).find_map(|seed| run(Scenario::of(seed), seed, Some(bug)).err());
        match found {
            None => missed.push(bug),
            Some(failure) => {
                let (seed, scenario) = (failure.seed, failure.scenario.name());
                let line = format!("{bug:?}: seed {seed} ({scenario}), by {}", failure.checker);
                writeln!(table, "{line}: {}", failure.message).unwrap();
            }
        }
    }
    println!("{table}");
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
}
