//! A stored model means the same to other tools: its file is read with the `safetensors` crate,
//! its network is computed here in plain arithmetic, and `herd predict` says the same.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use coordinator::data::embedded::{self, Part};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tests::process::herd;

/// Test rows that are recomputed.
const ROWS: usize = 200;

/// Pixels of a digit.
const PIXELS: usize = 784;

/// Largest difference of a probability: both sides compute in f32, in another order.
const TOLERANCE: f32 = 1e-4;

/// The values of a tensor of this name and shape.
fn tensor(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Vec<f32> {
    let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((view.dtype(), view.shape()), (Dtype::F32, shape), "{name}");
    view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// `x * kernel + bias`, the kernel as Keras keeps it: one row for each input.
fn dense(x: &[f32], kernel: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut y = bias.to_vec();
    for (value, weights) in x.iter().zip(kernel.chunks_exact(bias.len())) {
        for (sum, weight) in y.iter_mut().zip(weights) {
            *sum += value * weight;
        }
    }
    y
}

fn relu(mut x: Vec<f32>) -> Vec<f32> {
    x.iter_mut().for_each(|value| *value = value.max(0.0));
    x
}

fn softmax(x: &[f32]) -> Vec<f32> {
    let greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = x.iter().map(|value| (value - greatest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn greatest(x: &[f32]) -> usize {
    (0..x.len()).fold(0, |best, index| if x[index] > x[best] { index } else { best })
}

/// The first test digits, and what they are.
fn digits() -> (Vec<Vec<f32>>, Vec<i32>) {
    let rows = embedded::read("digits", Part::Test, None).unwrap();
    let pixels = rows.inputs.range(0, ROWS * PIXELS);
    let model::Targets::Classes(classes) = rows.targets else { panic!("digits have classes") };
    (pixels.chunks_exact(PIXELS).map(<[f32]>::to_vec).collect(), classes[..ROWS].to_vec())
}

/// Trains, and gives the content of the final model's file.
fn train(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let common = ["train", "--run-dir", "run", "--validation-split", "0", "--device", "cpu"];
    let _ = herd(&[&common, arguments].concat()).folder(folder).succeed();
    fs::read(folder.join("run/final.safetensors")).unwrap()
}

/// Checks both formats of `herd predict` against probabilities computed here.
fn assert_predicted(folder: &Path, expected: &[Vec<f32>]) {
    let predict = |format: &str| {
        let flags = ["predict", "run/final.safetensors", "digits", "--format", format];
        herd(&flags).folder(folder).succeed().output
    };
    let csv = predict("csv");
    let mut lines = csv.lines();
    let names: Vec<String> = (0..10).map(|digit| format!("probability_{digit}")).collect();
    assert_eq!(lines.next(), Some(format!("class,index,{}", names.join(",")).as_str()));
    let jsonl = predict("jsonl");
    assert_eq!((csv.lines().count(), jsonl.lines().count()), (2001, 2000));

    for (row, ((csv, json), expected)) in lines.zip(jsonl.lines()).zip(expected).enumerate() {
        let class = greatest(expected);
        let cells: Vec<&str> = csv.split(',').collect();
        let probabilities = cells[2..].iter().map(|cell| cell.parse().unwrap());
        assert_close(row, &probabilities.collect::<Vec<f32>>(), expected);
        let line: Value = serde_json::from_str(json).unwrap();
        let probabilities = line["probabilities"].as_array().unwrap().iter();
        let probabilities = probabilities.map(|value| value.as_f64().unwrap() as f32);
        assert_close(row, &probabilities.collect::<Vec<f32>>(), expected);
        // Where two classes are as good as equal, either may be named.
        let clear =
            expected.iter().filter(|value| expected[class] - **value < TOLERANCE).count() == 1;
        if clear {
            assert_eq!(cells[..2], [class.to_string(), class.to_string()], "row {row}");
            assert_eq!(line["class"], class.to_string(), "row {row}");
            assert_eq!(line["index"], class, "row {row}");
        }
    }
}

#[track_caller]
fn assert_close(row: usize, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "row {row}");
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE, "row {row} differs by {worst}: {got:?}, not {expected:?}");
}

/// Checks that the recomputed model has learnt: equal nonsense would prove little.
fn assert_learnt(expected: &[Vec<f32>], classes: &[i32]) {
    let right = expected.iter().zip(classes).filter(|(row, class)| greatest(row) as i32 == **class);
    let right = right.count();
    assert!(right >= ROWS * 8 / 10, "{right} of {ROWS} are right");
}

#[test]
fn the_default_models_file_holds_all_that_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let content = train(folder.path(), &["--epochs", "4"]);
    let file = SafeTensors::deserialize(&content).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let layers = ["dense", "dense_1", "dense_2"];
    let all = layers.iter().flat_map(|name| [format!("{name}.bias"), format!("{name}.kernel")]);
    assert_eq!(names, all.collect::<Vec<_>>());

    let sizes = [(PIXELS, 128), (128, 128), (128, 10)];
    let weights: Vec<(Vec<f32>, Vec<f32>)> = layers
        .iter()
        .zip(sizes)
        .map(|(name, (inputs, outputs))| {
            let kernel = tensor(&file, &format!("{name}.kernel"), &[inputs, outputs]);
            (kernel, tensor(&file, &format!("{name}.bias"), &[outputs]))
        })
        .collect();
    let (digits, classes) = digits();
    let predict = |digit: &Vec<f32>| {
        let scaled: Vec<f32> = digit.iter().map(|pixel| pixel * (1.0 / 255.0)).collect();
        let first = relu(dense(&scaled, &weights[0].0, &weights[0].1));
        let second = relu(dense(&first, &weights[1].0, &weights[1].1));
        softmax(&dense(&second, &weights[2].0, &weights[2].1))
    };
    let expected: Vec<Vec<f32>> = digits.iter().map(predict).collect();
    assert_learnt(&expected, &classes);
    assert_predicted(folder.path(), &expected);
}

/// Batch normalization after a layer without bias, and a loss that takes logits.
const NORMALIZED: &str = r#"
[data]
source = "digits"
test = "digits"

[model]
input = [28, 28]
loss = { type = "sparse_categorical_crossentropy", from_logits = true }
optimizer = { type = "adam", learning_rate = 0.002 }
layers = [
    { type = "rescaling", scale = 0.01, offset = -0.5 },
    { type = "flatten" },
    { type = "dense", units = 24, use_bias = false, name = "hidden" },
    { type = "batch_normalization", epsilon = 0.01, name = "norm" },
    { type = "activation", activation = "relu" },
    { type = "dense", units = 10, name = "scores" },
]
"#;

#[test]
fn a_file_with_batch_normalization_holds_its_statistics() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("job.toml"), NORMALIZED).unwrap();
    let content = train(folder.path(), &["job.toml", "--epochs", "4"]);
    let file = SafeTensors::deserialize(&content).unwrap();
    let hidden = tensor(&file, "hidden.kernel", &[PIXELS, 24]);
    let norm = |name: &str| tensor(&file, &format!("norm.{name}"), &[24]);
    let (gamma, beta) = (norm("gamma"), norm("beta"));
    let (mean, variance) = (norm("moving_mean"), norm("moving_variance"));
    let (kernel, bias) =
        (tensor(&file, "scores.kernel", &[24, 10]), tensor(&file, "scores.bias", &[10]));
    assert_eq!(file.names().len(), 7);
    assert!(variance.iter().all(|value| *value > 0.0), "{variance:?}");

    let (digits, classes) = digits();
    let predict = |digit: &Vec<f32>| {
        let scaled: Vec<f32> = digit.iter().map(|pixel| pixel * 0.01 - 0.5).collect();
        let mut hidden = dense(&scaled, &hidden, &[0.0; 24]);
        for (index, value) in hidden.iter_mut().enumerate() {
            let deviation = (variance[index] + 0.01).sqrt();
            *value = (*value - mean[index]) / deviation * gamma[index] + beta[index];
        }
        softmax(&dense(&relu(hidden), &kernel, &bias))
    };
    let expected: Vec<Vec<f32>> = digits.iter().map(predict).collect();
    assert_learnt(&expected, &classes);
    assert_predicted(folder.path(), &expected);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &["--epochs", "1"]);
    let mut command = herd(&["predict", "run", "digits"]).folder(folder.path()).command();
    let mut herd = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // 2,000 lines are more than a pipe holds: the rest meets a closed one.
    BufReader::new(herd.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("class,index,"), "{line}");
    let finished = herd.wait_with_output().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert_eq!(finished.stderr, b"", "{finished:?}");
}
