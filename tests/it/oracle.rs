//! One worker with plain SGD, whatever the mode and frequency, is a plain training loop: engine,
//! merge rules, sessions and codecs together must not change what is learnt.

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use model::{Batch, Targets};
use protocol::shard::Shard;
use std::sync::Arc;
use std::time::Duration;
use tests::digits;
use tests::fleet::Trained;
use worker_core::samples::Rows;

/// Batches of 64: 100 steps.
const ROWS: u32 = 6400;

const MODEL: &str = r#"{ input = [28, 28], loss = "sparse_categorical_crossentropy",
    optimizer = { type = "sgd", learning_rate = 0.1 }, layers = [
    { type = "rescaling", scale = 0.00392156862745098 }, { type = "flatten" },
    { type = "dense", units = 32, activation = "relu" },
    { type = "dense", units = 10, activation = "softmax" } ] }"#;

#[test]
fn one_worker_equals_a_plain_loop_in_every_mode() {
    for mode in ["synchronous", "asynchronous"] {
        for frequency in ["batch", "steps=10", "epoch"] {
            compare(mode, frequency);
        }
    }
}

fn compare(mode: &str, frequency: &str) {
    let model = format!("model={}", MODEL.replace('\n', " "));
    let mode_key = format!("training.mode={mode}");
    let frequency_key = format!("training.frequency={frequency}");
    let job = digits::job(&[
        &model,
        "data.source=digits",
        "data.validation_split=0",
        "training.epochs=1",
        "training.batch_size=64",
        "training.codec=f32",
        &mode_key,
        &frequency_key,
    ]);
    let rows: Vec<u32> = (0..ROWS).collect();
    let train = digits::splits(&job).train.select(&rows);
    let mut fleet = digits::fleet(&job, &train);
    let initial = fleet.initial.clone();
    let shards: Vec<Arc<Shard>> = fleet
        .shards
        .iter()
        .map(|cut| Arc::new(Shard::decode(&cut.bytes).expect("a shard")))
        .collect();
    fleet.step_times = vec![Duration::from_millis(1)];
    let trained = fleet.train();
    assert_eq!(trained.epochs, [u64::from(ROWS)]);

    let batches = batches(&trained, job.seed, &shards);
    assert_eq!(batches.len(), 100);
    let expected = plain_loop(&initial, batches);
    let worst = expected
        .iter()
        .zip(&trained.values)
        .map(|(expected, got)| (expected - got).abs())
        .fold(0.0_f32, f32::max);
    let moved = expected
        .iter()
        .zip(&initial)
        .map(|(expected, initial)| (expected - initial).abs())
        .fold(0.0_f32, f32::max);
    assert!(moved > 0.1, "the loop learns: {moved}");
    assert!(worst <= 1e-5, "{mode}, {frequency}: differs by {worst}");
}

/// The batches in the order in which the worker trained them.
fn batches(trained: &Trained, seed: u64, shards: &[Arc<Shard>]) -> Vec<Batch> {
    let mut leases = trained.merged.clone();
    leases.sort_by_key(|lease| lease.id);
    leases
        .iter()
        .flat_map(|lease| {
            let segments = lease.segments.iter();
            let shards = segments.map(|segment| shards[segment.shard as usize].clone()).collect();
            let rows = Rows::new(lease, seed, shards).expect("the lease's rows");
            (0..rows.batches()).map(move |index| rows.batch(index)).collect::<Vec<_>>()
        })
        .collect()
}

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

fn plain_loop(initial: &[f32], batches: Vec<Batch>) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let mut rest = initial;
    let mut linear = |inputs: usize, outputs: usize| {
        let mut take = |count: usize| {
            let (values, after) = rest.split_at(count);
            rest = after;
            values.to_vec()
        };
        let kernel = TensorData::new(take(inputs * outputs), [inputs, outputs]);
        let bias = TensorData::new(take(outputs), [outputs]);
        let mut linear = LinearConfig::new(inputs, outputs).init(&device);
        linear.weight = Param::from_tensor(Tensor::from_data(kernel, &device));
        linear.bias = Some(Param::from_tensor(Tensor::from_data(bias, &device)));
        linear
    };
    let mut network = Network { hidden: linear(784, 32), output: linear(32, 10) };
    let mut optimizer = SgdConfig::new().init();
    for batch in batches {
        let pixels = TensorData::new(batch.inputs, [batch.count, 784]);
        let pixels = Tensor::<2>::from_data(pixels, &device) * 0.00392156862745098;
        let Targets::Classes(classes) = batch.targets else { panic!("digits have classes") };
        let classes = TensorData::new(classes, [batch.count]);
        let classes = Tensor::<1, Int>::from_data(classes, &device);
        let hidden = relu(network.hidden.forward(pixels));
        let logits = network.output.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&device).forward(logits, classes);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(0.1, network, gradients);
    }
    let values = |linear: &Linear| {
        let bias = linear.bias.as_ref().expect("a bias").val();
        let mut values = linear.weight.val().into_data().try_into_vec_as::<f32>().expect("floats");
        values.extend(bias.into_data().try_into_vec_as::<f32>().expect("floats"));
        values
    };
    [values(&network.hidden), values(&network.output)].concat()
}
