//! Fleets of real worker sessions in virtual time.

use std::time::Duration;

use model::Plan;
use tests::digits;
use tests::fleet::Trained;

/// A step of a fast worker.
const STEP: Duration = Duration::from_millis(2);

/// `count` workers, every second one ten times slower.
fn half_slow(count: usize) -> Vec<Duration> {
    (0..count).map(|index| if index % 2 == 0 { STEP } else { 10 * STEP }).collect()
}

/// Twenty epochs of the default job on all training digits; the accuracy on the test digits.
fn default_job(workers: usize, settings: &[&str]) -> (Trained, f64) {
    let settings = [&["data.validation_split=0", "training.epochs=20"], settings].concat();
    let job = digits::job(&settings);
    let splits = digits::splits(&job);
    let mut fleet = digits::fleet(&job, &splits.train);
    fleet.step_times = half_slow(workers);
    let plan = fleet.plan.clone();
    let rows = splits.train.rows() as u64;
    let mut trained = fleet.train();
    assert_eq!(trained.epochs, vec![rows; 20], "each sample is counted once an epoch");
    assert!(trained.values.iter().all(|value| value.is_finite()));
    if plan.has_buffers() {
        trained.values = re_estimated(&plan, &trained.values, &splits.train);
    }
    let test = splits.test.expect("the digits have test rows");
    let accuracy = digits::evaluate(&plan, &trained.values, &test).accuracy();
    (trained, accuracy)
}

fn re_estimated(plan: &Plan, values: &[f32], train: &coordinator::data::Dataset) -> Vec<f32> {
    let rows: Vec<u32> = (0..2048).collect();
    let sample = train.select(&rows);
    let batches = coordinator::data::batches(&sample, 256);
    let inputs = batches.map(|batch| (batch.inputs, batch.count));
    let device = model::cpu();
    pollster::block_on(model::re_estimate(plan, &device, values, inputs)).expect("the statistics")
}

#[test]
fn eight_workers_half_of_them_ten_times_slower_learn_the_digits() {
    let (trained, accuracy) = default_job(8, &[]);
    assert!(accuracy >= 0.90, "accuracy {accuracy}");
    assert_eq!(trained.rejected, 0, "an honest run rejects nothing");
}

#[test]
fn thirty_two_workers_half_of_them_ten_times_slower_learn_the_digits() {
    let (trained, accuracy) = default_job(32, &[]);
    assert!(accuracy >= 0.84, "accuracy {accuracy}");
    assert_eq!(trained.rejected, 0, "an honest run rejects nothing");
}

#[test]
fn eight_uneven_workers_learn_with_batch_normalization() {
    let model = r#"model={ input = [28, 28], loss = "sparse_categorical_crossentropy",
        optimizer = { type = "sgd", learning_rate = 0.1 }, layers = [
        { type = "rescaling", scale = 0.00392156862745098 }, { type = "flatten" },
        { type = "dense", units = 64 }, { type = "batch_normalization" },
        { type = "activation", activation = "relu" },
        { type = "dense", units = 10, activation = "softmax" } ] }"#;
    let model = model.replace('\n', " ");
    let (_, accuracy) = default_job(8, &[&model, "data.source=digits", "data.test=digits"]);
    assert!(accuracy >= 0.90, "accuracy {accuracy}");
}

#[test]
fn partitions_smaller_than_a_batch_are_trained() {
    let job = digits::job(&["data.validation_split=0", "training.epochs=3"]);
    let rows: Vec<u32> = (0..37).collect();
    let train = digits::splits(&job).train.select(&rows);
    let mut fleet = digits::fleet(&job, &train);
    fleet.step_times = half_slow(4);
    let initial = fleet.initial.clone();
    let trained = fleet.train();
    assert_eq!(trained.epochs, [37; 3]);
    assert_ne!(trained.values, initial);
}

#[test]
fn a_vanished_workers_units_are_leased_again_and_the_count_is_exact() {
    for mode in ["training.mode=asynchronous", "training.mode=synchronous"] {
        let job = digits::job(&["data.validation_split=0", "training.epochs=4", mode]);
        let train = digits::splits(&job).train;
        let mut fleet = digits::fleet(&job, &train);
        fleet.step_times = half_slow(4);
        // In the middle of leases: one early, one late, a slow and a fast one.
        fleet.vanish = vec![(1, Duration::from_millis(30)), (2, Duration::from_millis(217))];
        let trained = fleet.train();
        assert_eq!(trained.epochs, vec![8000; 4], "{mode}");
        assert!(trained.status.totals.released > 0, "{mode}: a lease was lost with its worker");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let train = || {
        let job = digits::job(&["data.validation_split=0", "training.epochs=1"]);
        let rows: Vec<u32> = (0..1000).collect();
        let rows = digits::splits(&job).train.select(&rows);
        let mut fleet = digits::fleet(&job, &rows);
        fleet.step_times = half_slow(3);
        fleet.train()
    };
    let (first, second) = (train(), train());
    assert_eq!(first.elapsed, second.elapsed);
    assert_eq!(first.values, second.values);
}
