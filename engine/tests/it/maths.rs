//! The merge rules against references in `f64`.

use engine::merge::norm_and_finite;
use engine::{Master, MergeOrder, RoundRule};
use proptest::prelude::{any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use protocol::{Role, TensorInfo, TensorTable, Version};

/// A table of trained parameters around buffers, so that ranges are neither first nor last only.
fn table(parameters: usize) -> TensorTable {
    let tensor = |name: &str, count: usize, role| TensorInfo {
        name: String::from(name),
        shape: vec![count as u32],
        role,
    };
    TensorTable {
        tensors: vec![
            tensor("a", parameters, Role::Parameter),
            tensor("b", 3, Role::Parameter),
            tensor("mean", 2, Role::Buffer),
            tensor("variance", 2, Role::BufferNonNegative),
            tensor("c", parameters, Role::Parameter),
        ],
    }
}

fn version(number: u64) -> Version {
    Version { incarnation: 1, number }
}

fn master(parameters: usize, values: &[f32]) -> Master {
    let length = 2 * parameters + 7;
    let values: Vec<f32> = values.iter().copied().cycle().take(length).map(f32::abs).collect();
    Master::new(&table(parameters), values, version(0)).unwrap()
}

/// Numbers like those of a delta, stretched over the whole vector.
fn delta(parameters: usize, values: &[f32], turn: usize) -> Vec<f32> {
    values.iter().copied().cycle().skip(turn).take(2 * parameters + 7).collect()
}

fn is_buffer(parameters: usize, index: usize) -> bool {
    (parameters + 3..parameters + 7).contains(&index)
}

fn close(got: f32, expected: f64) -> bool {
    (f64::from(got) - expected).abs() <= 2e-6 * expected.abs().max(1.0)
}

fn order(order: &MergeOrder, number: u64) -> MergeOrder {
    let mut order = *order;
    match &mut order {
        MergeOrder::Add { version, .. }
        | MergeOrder::Spread { version, .. }
        | MergeOrder::Round { version, .. } => version.number = number,
        MergeOrder::Accumulate { .. } => {}
    }
    order
}

/// The rule of the measured defaults, as written there.
fn spread(theta: &mut f64, m: &mut f64, delta: f64, n: f64, staleness: f64, clip: f64) {
    let rate = 0.5 + 0.5 / n;
    let beta = 1.0 - rate / n.min(5.0);
    let u = clip / n.max(1.0 + staleness);
    let next = beta.powf(1.0 / n) * *m + u * delta;
    *theta += rate * (next / n + (beta + beta * beta) * (next - *m));
    *m = next;
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn spread_nesterov_follows_the_formula(
        parameters in 1_usize..40,
        values in prop::collection::vec(-1.0_f32..1.0, 1..30),
        steps in prop::collection::vec((1.0_f64..40.0, 0_u64..60, 0.3_f64..1.0), 1..12),
    ) {
        let mut master = master(parameters, &values);
        let mut theta: Vec<f64> = master.values().iter().map(|value| f64::from(*value)).collect();
        let mut m = vec![0.0; theta.len()];
        for (turn, (in_flight, staleness, clip)) in steps.iter().copied().enumerate() {
            let delta = delta(parameters, &values, turn);
            let version = version(turn as u64 + 1);
            let order =
                MergeOrder::Spread { version, in_flight, staleness, clip, buffer_weight: 0.0 };
            master.apply(&order, &delta);
            for (index, change) in delta.iter().enumerate() {
                if !is_buffer(parameters, index) {
                    let change = f64::from(*change);
                    let (theta, m) = (&mut theta[index], &mut m[index]);
                    spread(theta, m, change, in_flight, staleness as f64, clip);
                }
            }
            prop_assert_eq!(master.version(), version);
        }
        for (got, expected) in master.values().iter().zip(&theta) {
            prop_assert!(close(*got, *expected), "{} {}", got, expected);
        }
    }

    #[test]
    fn alone_every_rule_is_plain_addition(
        values in prop::collection::vec(-1.0_f32..1.0, 1..30),
        samples in 1_u64..10_000,
    ) {
        let parameters = 20;
        let delta = delta(parameters, &values, 3);
        let weight = samples as f64;
        let mean = RoundRule::Mean;
        let single = [
            MergeOrder::Add { version: version(1), weight: 1.0, buffer_weight: 1.0 },
            MergeOrder::Spread {
                version: version(1),
                in_flight: 1.0,
                staleness: 0,
                clip: 1.0,
                buffer_weight: 1.0,
            },
        ];
        for order_of in single {
            let mut master = master(parameters, &values);
            // Twice, so that a momentum would show.
            for number in 1..3 {
                let before = master.values().to_vec();
                master.apply(&order(&order_of, number), &delta);
                for (index, (got, change)) in master.values().iter().zip(&delta).enumerate() {
                    let floor = if index >= parameters + 5 { 0.0 } else { f32::MIN };
                    let buffer = is_buffer(parameters, index);
                    let expected = if buffer { change.max(floor) } else { before[index] + change };
                    prop_assert_eq!(*got, expected);
                }
            }
        }
        let mut master = master(parameters, &values);
        let before = master.values().to_vec();
        master.apply(&MergeOrder::Accumulate { weight, samples }, &delta);
        prop_assert_eq!(master.values(), &before[..], "a round changes nothing before its end");
        let round = MergeOrder::Round { version: version(1), divisor: weight, samples, rule: mean };
        master.apply(&round, &[]);
        for (index, change) in delta.iter().enumerate().filter(|(i, _)| !is_buffer(parameters, *i)) {
            let expected = f64::from(before[index]) + f64::from(*change);
            prop_assert!(close(master.values()[index], expected));
        }
        prop_assert!(master.momentum().is_empty(), "not needed, not allocated");
    }

    #[test]
    fn rounds_are_weighted_means_in_any_order(
        values in prop::collection::vec(-1.0_f32..1.0, 5..30),
        samples in prop::collection::vec(1_u64..500, 1..9),
        missing in 0_u64..300,
        nesterov in any::<bool>(),
        turns in 1_usize..9,
    ) {
        let parameters = 30;
        let arrived: u64 = samples.iter().sum();
        let divisor = (arrived + missing) as f64;
        let rule = if nesterov {
            RoundRule::Nesterov { rate: 0.7, momentum: 0.9 }
        } else {
            RoundRule::Mean
        };
        let run = |turns: usize| {
            let mut master = master(parameters, &values);
            for number in 1..4 {
                let mut leases: Vec<usize> = (0..samples.len()).collect();
                leases.rotate_left(turns % samples.len());
                for lease in leases {
                    let (weight, samples) = (samples[lease] as f64, samples[lease]);
                    let delta = delta(parameters, &values, lease * number);
                    master.apply(&MergeOrder::Accumulate { weight, samples }, &delta);
                }
                let version = version(number as u64);
                let order = MergeOrder::Round { version, divisor, samples: arrived, rule };
                master.apply(&order, &[]);
            }
            master
        };
        let (master, turned) = (run(0), run(turns));
        for (got, other) in master.values().iter().zip(turned.values()) {
            prop_assert!(close(*got, f64::from(*other)));
        }
        for index in (0..2 * parameters + 7).filter(|index| !is_buffer(parameters, *index)) {
            let start = self::master(parameters, &values).values()[index];
            let (mut theta, mut m) = (f64::from(start), 0.0);
            for number in 1..4 {
                let sum: f64 = (0..samples.len())
                    .map(|lease| {
                        let change = delta(parameters, &values, lease * number)[index];
                        f64::from(change) * samples[lease] as f64
                    })
                    .sum();
                let mean = sum / divisor;
                m = 0.9 * m + mean;
                theta += if nesterov { 0.7 * (mean + 0.9 * m) } else { mean };
            }
            prop_assert!(close(master.values()[index], theta), "{}", index);
        }
    }

    #[test]
    fn buffers_are_averages_and_variances_stay_above_zero(
        values in prop::collection::vec(-2.0_f32..2.0, 5..30),
        weight in 0.0_f64..1.0,
        samples in prop::collection::vec(1_u64..500, 1..6),
    ) {
        let parameters = 5;
        let buffers = parameters + 3..parameters + 7;
        let start = master(parameters, &values);
        let target = delta(parameters, &values, 2);
        let mut added = start.clone();
        let order =
            MergeOrder::Add { version: version(1), weight: 0.5, buffer_weight: weight };
        added.apply(&order, &target);
        let mut round = start.clone();
        for samples in &samples {
            let order = MergeOrder::Accumulate { weight: 0.1, samples: *samples };
            round.apply(&order, &delta(parameters, &values, *samples as usize));
        }
        let arrived: u64 = samples.iter().sum();
        let rule = RoundRule::Nesterov { rate: 0.7, momentum: 0.9 };
        let order = MergeOrder::Round { version: version(1), divisor: 1e9, samples: arrived, rule };
        round.apply(&order, &[]);
        for index in buffers {
            let floor = if index >= parameters + 5 { 0.0 } else { f64::MIN };
            let moved = f64::from(start.values()[index]) * (1.0 - weight)
                + f64::from(target[index]) * weight;
            prop_assert!(close(added.values()[index], moved.max(floor)));
            let sum: f64 = samples
                .iter()
                .map(|count| {
                    let value = delta(parameters, &values, *count as usize)[index];
                    f64::from(value) * *count as f64
                })
                .sum();
            prop_assert!(close(round.values()[index], (sum / arrived as f64).max(floor)));
            prop_assert_eq!(round.momentum()[index], 0.0, "never through momentum");
        }
    }

    #[test]
    fn the_norm_is_that_of_the_trained_parameters(
        parameters in 1_usize..3000,
        values in prop::collection::vec(-1.0_f32..1.0, 1..50),
        place in any::<prop::sample::Index>(),
    ) {
        let table = table(parameters);
        let mut delta = delta(parameters, &values, 1);
        let (mean, variance) = (parameters + 3, parameters + 5);
        delta[variance..variance + 2].fill(0.5);
        let trained = delta.iter().enumerate().filter(|(index, _)| !is_buffer(parameters, *index));
        let expected = trained.map(|(_, v)| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let (norm, finite) = norm_and_finite(&delta, &table);
        prop_assert!(finite && (norm - expected).abs() <= 1e-6 * expected.max(1e-6));

        let mut large = delta.clone();
        large[0] = 1e30;
        let (norm, finite) = norm_and_finite(&large, &table);
        prop_assert!(finite && (norm - 1e30).abs() < 1e24, "squares beyond f32 are fine: {}", norm);

        let mut negative = delta.clone();
        negative[variance] = -1e-3;
        prop_assert!(!norm_and_finite(&negative, &table).1);
        negative[variance] = 0.0;
        negative[mean] = -1e-3;
        prop_assert!(norm_and_finite(&negative, &table).1, "a mean may be negative");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut broken = delta.clone();
            let index = place.index(broken.len());
            broken[index] = bad;
            prop_assert!(!norm_and_finite(&broken, &table).1, "{} at {}", bad, index);
        }
    }
}

#[test]
fn small_deltas_do_not_vanish() {
    let table = TensorTable {
        tensors: vec![TensorInfo { name: "a".into(), shape: vec![100], role: Role::Parameter }],
    };
    let (norm, finite) = norm_and_finite(&[1e-9; 100], &table);
    assert!(finite && (norm - 1e-8).abs() < 1e-14, "{norm}");
}

#[test]
fn a_mean_after_nesterov_forgets_the_momentum() {
    let mut master = master(1, &[0.0]);
    let rule = RoundRule::Nesterov { rate: 0.7, momentum: 0.9 };
    let mut end = |number, rule| {
        master.apply(&MergeOrder::Accumulate { weight: 1.0, samples: 1 }, &[1.0; 9]);
        let version = version(number);
        master.apply(&MergeOrder::Round { version, divisor: 1.0, samples: 1, rule }, &[]);
        master.values()[0]
    };
    let first = end(1, rule);
    assert!((first - 0.7 * 1.9).abs() < 1e-6);
    assert!((end(2, RoundRule::Mean) - first - 1.0).abs() < 1e-6);
    assert!((end(3, rule) - first - 1.0 - first).abs() < 1e-6, "as at the very first");
}

#[test]
#[should_panic(expected = "screened")]
fn a_wrong_length_never_reaches_the_master() {
    let order = MergeOrder::Add { version: version(1), weight: 1.0, buffer_weight: 0.0 };
    master(1, &[0.0]).apply(&order, &[0.0; 3]);
}

#[test]
fn a_master_has_the_length_of_its_table() {
    let error = Master::new(&table(1), vec![0.0; 3], version(0)).unwrap_err();
    assert!(error.to_string().contains("3 values"), "{error}");
}
