//! A tiny seeded problem with the trouble of the real one: raw sums diverge, the default does not.

use engine::{Config, Frequency, Mode, Strategy};
use protocol::{Lease, order};
use rand_core::Rng;

use crate::fleet::Fleet;
use crate::fleet_runs::digits;

/// Curvatures; the steepest is safe for one worker and not for many at once.
const CURVATURE: [f32; 6] = [1.5, 1.0, 0.5, 0.2, 0.1, 0.05];

/// Local steps of gradient descent on a noisy quadratic whose minimum is at 1.
fn train(values: &[f32], lease: &Lease) -> Vec<f32> {
    let mut noise = order::generator(lease.seed, 99, 0);
    let mut local = values.to_vec();
    for _ in 0..lease.steps() {
        for (value, curvature) in local.iter_mut().zip(CURVATURE) {
            let noise = (noise.next_u64() >> 40) as f32 / (1 << 24) as f32 - 0.5;
            *value -= lease.learning_rate as f32 * (curvature * (*value - 1.0) + 0.2 * noise);
        }
    }
    local.iter().zip(values).map(|(after, before)| after - before).collect()
}

/// The loss after 20 epochs.
fn loss(mode: Mode, strategy: Strategy, frequency: Frequency, workers: u32, slow: bool) -> f64 {
    let config = Config { mode, strategy, frequency, workers_min: workers, epochs: 20, ..digits() };
    let mut fleet = Fleet::new(config, vec![-4.0; CURVATURE.len()], train);
    for number in 0..workers {
        let spread = 1.0 + 0.01 * f64::from(number);
        fleet.add_worker(0, if slow && number % 2 == 1 { 100.0 } else { 1000.0 } * spread);
    }
    fleet.run();
    let rejected: u64 =
        fleet.engine.status().workers.iter().map(|w| w.rejected.values().sum::<u64>()).sum();
    let duplicates = fleet.engine.status().totals.duplicate;
    if strategy != Strategy::Sum {
        fleet.checker.assert_exact();
        assert!(rejected <= duplicates, "an honest run rejects nothing");
    }
    let terms = fleet.master.values().iter().zip(CURVATURE);
    terms.map(|(value, curvature)| f64::from(curvature * (value - 1.0).powi(2) / 2.0)).sum()
}

#[test]
fn sum_diverges_with_many_workers_and_the_default_does_not() {
    let start: f64 = CURVATURE.iter().map(|curvature| f64::from(curvature * 12.5)).sum();
    for frequency in [Frequency::Batch, Frequency::Steps(10), Frequency::Epoch] {
        for slow in [false, true] {
            let mut row = format!("{frequency}, slow {slow}:");
            for workers in [1, 2, 8, 32] {
                let auto = loss(Mode::Asynchronous, Strategy::Auto, frequency, workers, slow);
                let rounds = loss(Mode::Synchronous, Strategy::Auto, frequency, workers, slow);
                assert!(auto < start * 0.1, "{frequency} {workers} {slow}: {auto}");
                assert!(rounds < start * 0.1, "{frequency} {workers} {slow}: {rounds} in rounds");
                row += &format!(" {workers}: {auto:.4} / {rounds:.4} in rounds;");
            }
            let sum = loss(Mode::Asynchronous, Strategy::Sum, frequency, 32, false);
            println!("{row} sum at 32: {sum:.1e}");
            if frequency != Frequency::Batch {
                assert!(sum > start || !sum.is_finite(), "sum at {frequency}: {sum}");
            }
        }
    }
}
