//! Whole runs in virtual time: epochs complete in near-ideal time, and every sample counts once.

use engine::{Config, Frequency, Mode, Strategy};
use proptest::prelude::{any, prop};
use proptest::{prop_assert, proptest};
use protocol::Lease;

use crate::checker::config;
use crate::fleet::Fleet;

/// The digits: 8,000 rows in 7 shards, batches of 64.
pub(crate) fn digits() -> Config {
    let shards = vec![1200, 1200, 1200, 1200, 1200, 1200, 800];
    Config { shards, batch_size: 64, epochs: 20, ..config() }
}

fn nothing(values: &[f32], _: &Lease) -> Vec<f32> {
    vec![0.0; values.len()]
}

/// Samples per second of the fast ones.
const FAST: f64 = 1000.0;

/// Runs a fleet in which every second worker is ten times slower; returns the time that it took
/// over the time that it would take without any waiting.
fn ratio(config: &Config, workers: u32, slow: bool) -> f64 {
    let config = Config { workers_min: workers, ..config.clone() };
    let mut fleet = Fleet::new(config.clone(), vec![0.0], nothing);
    let mut sum = 0.0;
    for number in 0..workers {
        let speed = if slow && number % 2 == 1 { FAST / 10.0 } else { FAST };
        fleet.add_worker(u64::from(number) * 3_000, speed);
        sum += speed;
    }
    let seconds = fleet.run();
    fleet.checker.assert_exact();
    let totals = fleet.engine.status().totals;
    assert_eq!(fleet.checker.own_counted, 0, "staleness is the merges of others");
    assert_eq!(fleet.checker.late, 0, "a round starts from one version");
    assert_eq!(totals.expired, 0, "nobody was lost: {totals:?}");
    assert!(totals.dropped.is_empty() && totals.released == 0, "{totals:?}");
    let ratio = seconds * sum / config.total_samples() as f64;
    println!(
        "{} {} {workers} workers{}: {ratio:.3} of the ideal time, {} units, {} backup, {} duplicate",
        config.mode,
        config.frequency,
        if slow { ", half 10x slower" } else { "" },
        totals.units,
        totals.backup,
        totals.duplicate,
    );
    ratio
}

const ALL: [Frequency; 4] =
    [Frequency::Batch, Frequency::Steps(10), Frequency::Epoch, Frequency::Auto];

#[test]
fn auto_trains_a_part_of_an_epoch_at_a_time_with_many_workers_only() {
    for mode in [Mode::Asynchronous, Mode::Synchronous] {
        let longest = |frequency, workers| {
            let config = Config { mode, frequency, workers_min: workers, ..digits() };
            let mut fleet = Fleet::new(config, vec![0.0], nothing);
            // So slow that a lease need not be longer to be worth its round trip.
            for _ in 0..workers {
                fleet.add_worker(0, FAST / 10.0);
            }
            fleet.run();
            fleet.checker.assert_exact();
            fleet.checker.leases.values().map(|(_, lease)| lease.samples()).max()
        };
        assert_eq!(longest(Frequency::Auto, 2), longest(Frequency::Epoch, 2));
        let (part, whole) = (longest(Frequency::Auto, 8), longest(Frequency::Epoch, 8));
        assert!(part.is_some() && 2 * part.unwrap_or(0) < whole.unwrap_or(0), "{part:?} {whole:?}");
    }
}

#[test]
fn asynchronous_fleets_lose_little_time() {
    for frequency in ALL {
        for workers in [1, 2, 8, 32] {
            for slow in [false, true] {
                let ratio = ratio(&Config { frequency, ..digits() }, workers, slow && workers > 1);
                // 32 workers end 20 epochs in 5 s: the end of the run weighs a lot.
                let bound = if workers == 32 { 1.35 } else { 1.15 };
                assert!((0.99..bound).contains(&ratio), "{ratio}");
            }
        }
    }
}

#[test]
fn synchronous_rounds_of_an_epoch_share_by_speed() {
    for workers in [2, 8] {
        // Rounds of `auto` are shorter: the slowest have one batch in each, which takes them longer.
        for (frequency, bound) in [(Frequency::Epoch, 1.4), (Frequency::Auto, 2.0)] {
            let config = Config { mode: Mode::Synchronous, frequency, ..digits() };
            let ratio = ratio(&config, workers, true);
            assert!((0.99..bound).contains(&ratio), "{ratio}");
        }
    }
}

#[test]
fn synchronous_batches_run_at_the_pace_of_the_slowest() {
    for frequency in [Frequency::Batch, Frequency::Steps(10)] {
        let config = Config { mode: Mode::Synchronous, frequency, ..digits() };
        let ratio = ratio(&config, 8, false);
        assert!((0.99..1.4).contains(&ratio), "{ratio}");
    }
}

#[test]
fn the_next_epoch_starts_while_the_last_units_are_out() {
    let config = Config { epochs: 3, workers_min: 2, ..digits() };
    let mut fleet = Fleet::new(config, vec![0.0], nothing);
    fleet.add_worker(0, FAST);
    fleet.add_worker(0, FAST / 100.0);
    fleet.run();
    fleet.checker.assert_exact();
    let mut epochs: Vec<u32> =
        fleet.checker.leases.values().map(|(_, lease)| lease.epoch).collect();
    epochs.dedup();
    assert!(epochs.len() >= 3, "{epochs:?}");
}

#[test]
fn lost_workers_cost_time_and_no_sample() {
    for mode in [Mode::Asynchronous, Mode::Synchronous] {
        for frequency in ALL {
            let config = Config { mode, frequency, epochs: 4, workers_min: 4, ..digits() };
            let mut fleet = Fleet::new(config, vec![0.0], nothing);
            for number in 0..4 {
                fleet.add_worker(0, FAST / f64::from(number + 1));
            }
            fleet.vanish(1, 1_500_000, None);
            fleet.vanish(2, 2_000_000, Some(2_500_000));
            fleet.add_worker(4_000_000, FAST);
            let seconds = fleet.run();
            fleet.checker.assert_exact();
            let totals = fleet.engine.status().totals;
            println!("{mode} {frequency}: {seconds:.1} s, {totals:?}");
            assert!(totals.expired + totals.released > 0);
            assert!(seconds < 90.0, "{seconds}");
        }
    }
}

#[test]
fn a_single_worker_walks_through_the_epochs_in_their_order() {
    for mode in [Mode::Asynchronous, Mode::Synchronous] {
        for frequency in ALL {
            let config = Config { mode, frequency, epochs: 3, ..digits() };
            let mut fleet = Fleet::new(config, vec![0.0], nothing);
            fleet.add_worker(0, FAST);
            fleet.run();
            let checker = &fleet.checker;
            for epoch in 0..3 {
                let leases = checker.leases.values().filter(|(_, lease)| lease.epoch == epoch);
                let rows: Vec<_> = leases.flat_map(|(_, lease)| checker.rows(lease.id)).collect();
                assert_eq!(rows, checker.epoch_order(epoch), "{mode} {frequency} {epoch}");
            }
        }
    }
}

#[test]
fn one_worker_is_plain_training_under_every_strategy() {
    let train = |values: &[f32], lease: &Lease| -> Vec<f32> {
        values.iter().map(|value| (1.0 - value) * 0.001 * lease.steps() as f32).collect()
    };
    let asynchronous = [Strategy::Auto, Strategy::NESTEROV, Strategy::STALENESS, Strategy::Sum];
    let plain = Strategy::Staleness { exponent: 0.5, plain: true };
    let synchronous = [Strategy::Auto, Strategy::NESTEROV, Strategy::Mean, Strategy::Sum];
    let asynchronous = asynchronous.into_iter().chain([plain]);
    let asynchronous = asynchronous.map(|strategy| (Mode::Asynchronous, strategy));
    let synchronous = synchronous.into_iter().map(|strategy| (Mode::Synchronous, strategy));
    for (mode, strategy) in asynchronous.chain(synchronous) {
        for frequency in [Frequency::Batch, Frequency::Steps(10)] {
            let config = Config { mode, frequency, strategy, epochs: 2, ..digits() };
            let mut fleet = Fleet::new(config, vec![0.0, 0.5, -3.0], train);
            fleet.add_worker(0, FAST);
            fleet.run();
            // 8,000 rows make 125 batches; a short lease of 5 steps stands at each epoch's end.
            let steps = match frequency {
                Frequency::Steps(_) => [vec![10_u32; 12], vec![5]].concat(),
                _ => vec![1; 125],
            };
            for (value, first) in fleet.master.values().iter().zip([0.0_f64, 0.5, -3.0]) {
                let mut expected = first;
                for steps in steps.iter().chain(&steps) {
                    expected += (1.0 - expected) * 0.001 * f64::from(*steps);
                }
                let off = (f64::from(*value) - expected).abs();
                assert!(off < 1e-5, "{mode} {strategy} {frequency}: {value} {expected}");
            }
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 200,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn any_fleet_ends_with_every_sample_counted_once(
        speeds in prop::collection::vec(50.0_f64..5000.0, 1..12),
        joins in prop::collection::vec(0_u64..5_000_000, 12),
        synchronous in any::<bool>(),
        frequency in 0..ALL.len(),
        lost in prop::option::of((0_u64..12, 0_u64..4_000_000, any::<bool>())),
    ) {
        let mode = if synchronous { Mode::Synchronous } else { Mode::Asynchronous };
        let frequency = ALL[frequency];
        let config = Config { mode, frequency, epochs: 3, ..digits() };
        let mut fleet = Fleet::new(config, vec![0.0], nothing);
        // One that stays, whatever happens to the others.
        fleet.add_worker(0, FAST);
        for (speed, join) in speeds.iter().zip(joins) {
            fleet.add_worker(join, *speed);
        }
        if let Some((worker, time, noticed)) = lost
            && (1..=speeds.len() as u64).contains(&worker)
        {
            fleet.vanish(worker + 1, 5_000_000 + time, noticed.then_some(6_000_000 + time));
        }
        let seconds = fleet.run();
        fleet.checker.assert_exact();
        // Alone the first worker needs 24 s; a lost one costs at most its deadline.
        prop_assert!(seconds < 100.0, "{} s", seconds);
    }
}
