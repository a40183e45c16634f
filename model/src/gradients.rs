//! Tests: the gradient of every layer, activation and loss against central finite differences.
//!
//! The network computes in f64 here (each tensor is made with an explicit type, so f32 and f64 live
//! in one process). Parameters are multiples of 2^-10 and differences 2^-12, so that the flat f32
//! vector holds both exactly.

use burn::tensor::{DType, FloatDType, Tensor};
use protocol::order::generator;
use rand_core::Rng;

use crate::batch::{Batch, Targets};
use crate::plan::Plan;
use crate::spec::Spec;
use crate::tensors::download;
use crate::trainer::Trainer;

const DIFFERENCE: f32 = 1.0 / 4096.0;
const SAMPLES: usize = 3;

fn number(stream: &mut impl Rng) -> f32 {
    ((stream.next_u64() % 2048) as f32 - 1024.0) / 1024.0
}

fn plan(input: &str, loss: &str, layers: &str) -> Plan {
    let text = format!("input = {input}\nloss = {loss}\noptimizer = \"sgd\"\nlayers = [{layers}]");
    Plan::new(&Spec::from_toml(&text).unwrap()).unwrap()
}

fn batch(plan: &Plan, sparse: bool, stream: &mut impl Rng) -> Batch {
    let width = plan.output_elements();
    let targets = if sparse {
        Targets::Classes((0..SAMPLES).map(|_| (stream.next_u64() % width as u64) as i32).collect())
    } else {
        // Positive and adding up to 1, so that they serve cross-entropy too.
        let mut values: Vec<f32> =
            (0..SAMPLES * width).map(|_| number(stream).abs() + 0.1).collect();
        for row in values.chunks_mut(width) {
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= total);
        }
        Targets::Values { width: width as u32, values }
    };
    let inputs = (0..SAMPLES * plan.input_elements()).map(|_| number(stream)).collect();
    Batch { inputs, targets, weights: vec![0.5, 2.0, 1.0], count: SAMPLES }
}

/// The mean loss of the batch, and the gradient as a flat vector in Keras's layout.
fn evaluate(trainer: &mut Trainer, plan: &Plan, flat: &[f32], batch: &Batch) -> (f64, Vec<f32>) {
    trainer.load(flat).unwrap();
    trainer.seed(1);
    let (sum, gradients, _) = trainer.gradients(batch.clone());
    let device = crate::cpu();
    let all: Vec<Tensor<1>> = plan
        .tensors()
        .tensors
        .iter()
        .zip(gradients)
        .map(|(info, gradient)| match gradient {
            Some(gradient) => {
                assert_eq!(gradient.dtype(), DType::F64);
                gradient.cast(FloatDType::F32)
            }
            None => Tensor::zeros([info.elements()], (&device, DType::F32)),
        })
        .collect();
    let gradient = pollster::block_on(download(plan.tensors(), &all)).unwrap();
    (sum.into_scalar::<f64>() / batch.count as f64, gradient)
}

fn check(name: &str, plan: &Plan, sparse: bool) {
    let mut stream = generator(7, 99, name.bytes().map(u64::from).sum());
    let mut trainer = Trainer::with_dtype(plan, &crate::cpu(), DType::F64).unwrap();
    let batch = batch(plan, sparse, &mut stream);
    let mut flat = Vec::new();
    for tensor in &plan.tensors().tensors {
        flat.extend((0..tensor.elements()).map(|_| number(&mut stream)));
    }
    let (_, gradient) = evaluate(&mut trainer, plan, &flat, &batch);
    let mut greatest: f64 = 0.0;
    for (info, range) in plan.tensors().ranges().filter(|(info, _)| !info.is_buffer()) {
        let stride = range.len().div_ceil(12);
        for place in range.step_by(stride) {
            let mut side = |difference: f32| {
                let mut moved = flat.clone();
                moved[place] += difference;
                evaluate(&mut trainer, plan, &moved, &batch).0
            };
            let numeric = (side(DIFFERENCE) - side(-DIFFERENCE)) / f64::from(2.0 * DIFFERENCE);
            let analytic = f64::from(gradient[place]);
            greatest = greatest.max(analytic.abs());
            let error = (numeric - analytic).abs();
            assert!(
                error <= 2e-6 + 2e-5 * numeric.abs(),
                "{name}, {}, place {place}: gradient {analytic}, differences {numeric}",
                info.name
            );
        }
    }
    assert!(greatest > 1e-4, "{name}: the gradient vanishes, so nothing was checked");
}

#[test]
fn layers_agree_with_finite_differences() {
    let image = "{ type = \"conv2d\", filters = 2, kernel_size = 2 }";
    let end = "{ type = \"flatten\" }, { type = \"dense\", units = 2 }";
    let cases = [
        ("dense", "[3]", "{ type = \"dense\", units = 4 }".to_owned()),
        ("dense without bias", "[3]", "{ type = \"dense\", units = 4, use_bias = false }".into()),
        ("dense over steps", "[4, 3]", "{ type = \"dense\", units = 5 }".into()),
        ("dense over images", "[3, 2, 2]", "{ type = \"dense\", units = 3 }".into()),
        ("conv2d", "[5, 4, 2]", image.into()),
        (
            "conv2d same",
            "[5, 4, 2]",
            "{ type = \"conv2d\", filters = 3, kernel_size = [3, 2], strides = 2, padding = \"same\" }"
                .into(),
        ),
        (
            "conv2d without bias",
            "[5, 4, 1]",
            "{ type = \"conv2d\", filters = 3, kernel_size = [1, 3], use_bias = false }".into(),
        ),
        ("max_pool2d", "[6, 6, 1]", format!("{image}, {{ type = \"max_pool2d\" }}")),
        (
            "max_pool2d same",
            "[6, 6, 1]",
            format!("{image}, {{ type = \"max_pool2d\", pool_size = 2, padding = \"same\" }}"),
        ),
        ("average_pool2d", "[6, 6, 1]", format!("{image}, {{ type = \"average_pool2d\" }}")),
        (
            "average_pool2d same",
            "[6, 6, 1]",
            format!("{image}, {{ type = \"average_pool2d\", pool_size = 3, strides = 2, padding = \"same\" }}"),
        ),
        (
            "global_average_pool2d",
            "[4, 4, 2]",
            format!("{image}, {{ type = \"global_average_pool2d\" }}"),
        ),
        ("reshape", "[4]", "{ type = \"dense\", units = 12 }, { type = \"reshape\", target_shape = [2, 3, 2] }, { type = \"conv2d\", filters = 2, kernel_size = 2 }".into()),
        ("rescaling", "[3]", "{ type = \"dense\", units = 2 }, { type = \"rescaling\", scale = [2.0, -0.5], offset = 0.25 }".into()),
        ("rescaling of images", "[3, 3, 1]", format!("{image}, {{ type = \"rescaling\", scale = 0.5, offset = [1.0, 2.0] }}")),
        ("dropout", "[3]", "{ type = \"dense\", units = 8 }, { type = \"dropout\", rate = 0.4 }".into()),
        ("dropout of images", "[5, 5, 1]", format!("{image}, {{ type = \"dropout\", rate = 0.3 }}")),
        ("batch_normalization", "[3]", "{ type = \"dense\", units = 4 }, { type = \"batch_normalization\" }".into()),
        ("batch_normalization of steps", "[3, 2]", "{ type = \"dense\", units = 2 }, { type = \"batch_normalization\", scale = false }".into()),
        ("batch_normalization of images", "[4, 4, 1]", format!("{image}, {{ type = \"batch_normalization\", center = false }}")),
    ];
    for (name, input, layers) in cases {
        let plan = plan(input, "\"mse\"", &format!("{layers}, {end}"));
        check(name, &plan, false);
    }
}

#[test]
fn activations_agree_with_finite_differences() {
    let names = [
        "linear",
        "relu",
        "relu6",
        "leaky_relu",
        "thresholded_relu",
        "elu",
        "celu",
        "selu",
        "gelu",
        "gelu_approximate",
        "sigmoid",
        "log_sigmoid",
        "hard_sigmoid",
        "silu",
        "hard_silu",
        "mish",
        "tanh",
        "tanh_shrink",
        "hard_tanh",
        "softplus",
        "softsign",
        "soft_shrink",
        "hard_shrink",
        "exponential",
        "softmax",
        "log_softmax",
    ];
    for name in names {
        let layers = format!(
            "{{ type = \"dense\", units = 8, activation = \"{name}\" }}, {{ type = \"dense\", units = 2 }}"
        );
        check(name, &plan("[3]", "\"mse\"", &layers), false);
    }
    let images = "{ type = \"conv2d\", filters = 3, kernel_size = 2, activation = \"softmax\" }, \
                  { type = \"global_average_pool2d\" }, { type = \"dense\", units = 2 }";
    check("softmax of images", &plan("[3, 3, 1]", "\"mse\"", images), false);
}

#[test]
fn losses_agree_with_finite_differences() {
    let dense = |activation: &str| {
        format!("{{ type = \"dense\", units = 4, activation = \"{activation}\" }}")
    };
    for (loss, activation, sparse) in [
        ("\"mean_squared_error\"", "linear", false),
        ("\"mean_absolute_error\"", "linear", false),
        ("\"categorical_crossentropy\"", "softmax", false),
        ("\"categorical_crossentropy\"", "sigmoid", false),
        ("{ type = \"categorical_crossentropy\", from_logits = true }", "linear", false),
        ("\"sparse_categorical_crossentropy\"", "softmax", true),
        ("\"sparse_categorical_crossentropy\"", "sigmoid", true),
        ("{ type = \"sparse_categorical_crossentropy\", from_logits = true }", "tanh", true),
    ] {
        let plan = plan("[3]", loss, &dense(activation));
        check(&format!("{loss} after {activation}"), &plan, sparse);
    }
}
