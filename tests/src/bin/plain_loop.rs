//! The digits as a plain Burn loop, without Herd: the floor that Herd's speed is measured against.
//!
//! `plain-loop MODEL EPOCHS [--no-dropout]` trains a preset's network, written by hand with Burn's own layers and
//! optimizer, on one thread, and prints one JSON line. Samples per second count training alone:
//! reading the data, initialisation and the final test are left out, as they are for Herd.
#![allow(clippy::print_stdout, reason = "the result is the program's output")]

use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Initializer, Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use coordinator::data::Inputs;
use coordinator::data::embedded::{self, Part};
use model::Targets;
use protocol::order::{generator, shuffled};
use serde_json::json;

const PIXELS: usize = 28 * 28;
const CLASSES: usize = 10;
const BATCH_SIZE: usize = 64;
const LEARNING_RATE: f64 = 0.1;
const SEED: u64 = 1;

/// Images as bytes, one after the other, and their classes.
struct Digits {
    images: Vec<u8>,
    labels: Vec<i32>,
}

/// A network from flat pixels to the logits of the classes.
trait Network: Module {
    fn logits(&self, pixels: Tensor<2>) -> Tensor<2>;
}

/// The preset `mnist-mlp`.
#[derive(Module, Debug)]
struct Mlp {
    hidden_1: Linear,
    hidden_2: Linear,
    output: Linear,
    dropout: Dropout,
}

/// The preset `mnist-cnn`.
#[derive(Module, Debug)]
struct Cnn {
    convolution_1: Conv2d,
    convolution_2: Conv2d,
    pool: MaxPool2d,
    dropout: Dropout,
    hidden: Linear,
    output: Linear,
}

/// Keras's first weights, as in the presets.
const GLOROT: Initializer = Initializer::XavierUniform { gain: 1.0 };

fn dense(inputs: usize, outputs: usize, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs).with_initializer(GLOROT).init(device)
}

fn convolution(channels: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new(channels, [3, 3]).with_initializer(GLOROT).init(device)
}

impl Mlp {
    fn new(dropout: f64, device: &Device) -> Self {
        Self {
            hidden_1: dense(PIXELS, 128, device),
            hidden_2: dense(128, 128, device),
            output: dense(128, CLASSES, device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }
}

impl Network for Mlp {
    fn logits(&self, pixels: Tensor<2>) -> Tensor<2> {
        let hidden = self.dropout.forward(relu(self.hidden_1.forward(pixels)));
        let hidden = self.dropout.forward(relu(self.hidden_2.forward(hidden)));
        self.output.forward(hidden)
    }
}

impl Cnn {
    fn new(dropout: f64, device: &Device) -> Self {
        Self {
            convolution_1: convolution([1, 8], device),
            convolution_2: convolution([8, 16], device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dropout: DropoutConfig::new(dropout).init(),
            hidden: dense(5 * 5 * 16, 64, device),
            output: dense(64, CLASSES, device),
        }
    }
}

impl Network for Cnn {
    fn logits(&self, pixels: Tensor<2>) -> Tensor<2> {
        let [rows, _] = pixels.dims();
        let image = pixels.reshape([rows, 1, 28, 28]);
        let features = self.pool.forward(relu(self.convolution_1.forward(image)));
        let features = self.pool.forward(relu(self.convolution_2.forward(features)));
        let flat = self.dropout.forward(features.flatten::<2>(1, 3));
        self.output.forward(relu(self.hidden.forward(flat)))
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, epochs, dropout) = match arguments.as_slice() {
        [model, epochs] => (model, epochs, 0.2),
        [model, epochs, flag] if flag == "--no-dropout" => (model, epochs, 0.0),
        _ => bail!("usage: plain-loop MODEL EPOCHS [--no-dropout]"),
    };
    let epochs: u32 = epochs.parse().with_context(|| format!("{epochs:?} is no number"))?;
    let (train, test) = (digits(Part::Train)?, digits(Part::Test)?);
    // One thread, as each worker of the comparison has.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (seconds, accuracy) = pool.install(|| {
        let device = Device::flex().autodiff();
        device.seed(SEED);
        match model.as_str() {
            "mnist-mlp" => fit(Mlp::new(dropout, &device), &device, &train, &test, epochs),
            "mnist-cnn" => fit(Cnn::new(dropout, &device), &device, &train, &test, epochs),
            _ => bail!("no model {model:?}: use mnist-mlp or mnist-cnn"),
        }
    })?;
    let samples = train.labels.len() as f64 * f64::from(epochs);
    let result = json!({
        "model": model,
        "samples_per_second": samples / seconds,
        "seconds": seconds,
        "test_accuracy": accuracy,
    });
    println!("{result}");
    Ok(())
}

fn digits(part: Part) -> Result<Digits> {
    let digits = embedded::read("digits", part, None)?;
    match (digits.inputs, digits.targets) {
        (Inputs::Bytes(images), Targets::Classes(labels)) => Ok(Digits { images, labels }),
        _ => bail!("the digits are not bytes with classes"),
    }
}

/// Trains, and returns the seconds that took and the accuracy on `test`.
fn fit<N: Network>(
    mut network: N,
    device: &Device,
    train: &Digits,
    test: &Digits,
    epochs: u32,
) -> Result<(f64, f64)> {
    let rows = u32::try_from(train.labels.len()).context("too many digits")?;
    let loss = CrossEntropyLossConfig::new().init(device);
    let mut optimizer = SgdConfig::new().init();
    let start = Instant::now();
    for epoch in 0..epochs {
        let order = shuffled(rows, &mut generator(SEED, 0, u64::from(epoch)));
        for batch in order.chunks(BATCH_SIZE) {
            let (pixels, labels) = tensors(train, batch, device);
            let gradients = loss.forward(network.logits(pixels), labels).backward();
            let gradients = GradientsParams::from_grads(gradients, &network);
            network = optimizer.step(LEARNING_RATE, network, gradients);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, accuracy(&network.valid(), device, test)?))
}

/// The rows of `batch` as tensors, pixels from 0 to 1.
fn tensors(digits: &Digits, batch: &[u32], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let mut pixels = Vec::with_capacity(batch.len() * PIXELS);
    let mut labels = Vec::with_capacity(batch.len());
    for &row in batch {
        let row = row as usize;
        let image = &digits.images[row * PIXELS..(row + 1) * PIXELS];
        pixels.extend(image.iter().map(|&pixel| f32::from(pixel) / 255.0));
        labels.push(digits.labels[row]);
    }
    let pixels = TensorData::new(pixels, [batch.len(), PIXELS]);
    let labels = TensorData::new(labels, [batch.len()]);
    (Tensor::from_data(pixels, device), Tensor::from_data(labels, device))
}

fn accuracy<N: Network>(network: &N, device: &Device, test: &Digits) -> Result<f64> {
    let device = device.clone().inner();
    let rows: Vec<u32> = (0..u32::try_from(test.labels.len())?).collect();
    let mut correct = 0;
    for batch in rows.chunks(500) {
        let (pixels, labels) = tensors(test, batch, &device);
        let classes = network.logits(pixels).argmax(1).flatten::<1>(0, 1);
        correct += classes.equal(labels).int().sum().into_scalar::<i64>();
    }
    Ok(correct as f64 / rows.len() as f64)
}
