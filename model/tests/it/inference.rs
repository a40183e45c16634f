//! Prediction and evaluation: batch normalization, metrics that add up, losses that agree.

use model::{Batch, Metrics, Predictor, Targets, Trainer, re_estimate};

use crate::support::{assert_close, batch, numbers, plan};

const NORMALIZED: &str = "{ type = \"batch_normalization\", momentum = 0.75 }, \
                          { type = \"dense\", units = 1 }";

/// Mean and variance of each of two columns.
fn statistics(inputs: &[f32]) -> [f32; 4] {
    let count = inputs.len() as f32 / 2.0;
    let column = |column: usize| inputs.iter().skip(column).step_by(2);
    let mean = [0, 1].map(|c| column(c).sum::<f32>() / count);
    let variance = [0, 1].map(|c| column(c).map(|v| (v - mean[c]).powi(2)).sum::<f32>() / count);
    [mean[0], mean[1], variance[0], variance[1]]
}

#[test]
fn batch_normalization_moves_its_statistics_in_training_and_uses_them_in_prediction() {
    let plan = plan("[2]", "mse", NORMALIZED);
    // gamma, beta, moving mean, moving variance, kernel, bias
    let flat = [1.0, 1.0, 0.0, 0.0, 0.5, -0.5, 2.0, 0.25, 1.0, 0.0, 0.0];
    let batch = batch(&plan, 1, 16);
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    trainer.load(&flat).unwrap();
    pollster::block_on(trainer.step(batch.clone(), 0.0)).unwrap();
    let after = pollster::block_on(trainer.flat()).unwrap();
    let expected: Vec<f32> = flat[4..8]
        .iter()
        .zip(statistics(&batch.inputs))
        .map(|(old, new)| 0.75 * old + 0.25 * new)
        .collect();
    assert_close(&after[4..8], &expected, 1e-5);
    assert_eq!(after[..4], flat[..4]);

    let mut predictor = Predictor::new(&plan, &model::cpu()).unwrap();
    predictor.load(&flat).unwrap();
    let outputs = pollster::block_on(predictor.predict(&[1.0, 0.0, -1.0, 0.0], 2)).unwrap();
    let expected = [1.0_f32, -1.0].map(|value| (value - 0.5) / (2.0_f32 + 1e-3).sqrt());
    assert_close(&outputs, &expected, 1e-5);

    // In training the batch's own statistics count: one batch of two samples, columns -1 and 1.
    let targets = Targets::Values { width: 1, values: vec![0.0, 0.0] };
    let two = Batch { inputs: vec![3.0, 0.0, 5.0, 0.0], targets, weights: Vec::new(), count: 2 };
    trainer.load(&flat).unwrap();
    pollster::block_on(trainer.take_loss()).unwrap();
    pollster::block_on(trainer.step(two, 0.0)).unwrap();
    let loss = pollster::block_on(trainer.take_loss()).unwrap();
    assert!((loss - 2.0 / 1.001).abs() < 1e-5, "{loss}");
}

#[test]
fn statistics_are_pooled_over_batches() {
    let plan = plan("[2]", "mse", NORMALIZED);
    let flat = plan.initial(1);
    let inputs = numbers(3, 2 * 50);
    let parts = [(inputs[..60].to_vec(), 30), (inputs[60..].to_vec(), 20)];
    let device = model::cpu();
    let pooled = pollster::block_on(re_estimate(&plan, &device, &flat, parts)).unwrap();
    assert_close(&pooled[4..8], &statistics(&inputs), 1e-5);
    assert_eq!(pooled[..4], flat[..4]);
    assert_eq!(pooled[8..], flat[8..]);
    let none = pollster::block_on(re_estimate(&plan, &device, &flat, [])).unwrap();
    assert_eq!(none, flat);
}

#[test]
fn metrics_of_parts_add_up_to_those_of_the_whole() {
    let softmax = "{ type = \"dense\", units = 4, activation = \"softmax\" }";
    let linear = "{ type = \"dense\", units = 2 }";
    for (loss, layers) in [
        ("sparse_categorical_crossentropy", softmax),
        ("categorical_crossentropy", softmax),
        ("mse", linear),
        ("mae", linear),
    ] {
        let plan = plan("[3]", loss, layers);
        let predictor = Predictor::new(&plan, &model::cpu()).unwrap();
        let whole = batch(&plan, 4, 23);
        let mut merged = Metrics::default();
        for range in [0..7, 7..8, 8..23] {
            let targets = match &whole.targets {
                Targets::Classes(classes) => Targets::Classes(classes[range.clone()].to_vec()),
                Targets::Values { width, values } => {
                    let side = *width as usize;
                    let values = values[range.start * side..range.end * side].to_vec();
                    Targets::Values { width: *width, values }
                }
            };
            let inputs = whole.inputs[range.start * 3..range.end * 3].to_vec();
            let part = Batch { inputs, targets, weights: Vec::new(), count: range.len() };
            merged.merge(&pollster::block_on(predictor.evaluate(&part)).unwrap());
        }
        let all = pollster::block_on(predictor.evaluate(&whole)).unwrap();
        assert_eq!((all.count, all.correct, all.values), (23, merged.correct, merged.values));
        assert!((all.loss() - merged.loss()).abs() < 1e-6, "{loss}: {all:?} {merged:?}");
        assert!((all.absolute_error_sum - merged.absolute_error_sum).abs() < 1e-5);
    }
}

#[test]
fn metrics_are_what_their_names_say() {
    let plan = plan("[2]", "mse", "{ type = \"dense\", units = 2, use_bias = false }");
    let mut predictor = Predictor::new(&plan, &model::cpu()).unwrap();
    predictor.load(&[1.0, 0.0, 0.0, 1.0]).unwrap();
    let targets = Targets::Values { width: 2, values: vec![1.0, 1.0, 0.0, 4.0] };
    let batch = Batch { inputs: vec![1.0, 3.0, 0.0, 0.0], targets, weights: Vec::new(), count: 2 };
    let metrics = pollster::block_on(predictor.evaluate(&batch)).unwrap();
    assert_eq!((metrics.loss(), metrics.mae()), (5.0, 1.5));

    let classes = crate::support::plan(
        "[2]",
        "sparse_categorical_crossentropy",
        "{ type = \"dense\", units = 2, use_bias = false, activation = \"softmax\" }",
    );
    let mut predictor = Predictor::new(&classes, &model::cpu()).unwrap();
    predictor.load(&[1.0, 0.0, 0.0, 1.0]).unwrap();
    let batch = Batch {
        inputs: vec![1.0, 3.0, 2.0, 0.0, 0.0, 1.0],
        targets: Targets::Classes(vec![1, 1, 1]),
        weights: Vec::new(),
        count: 3,
    };
    let metrics = pollster::block_on(predictor.evaluate(&batch)).unwrap();
    assert_eq!((metrics.correct, metrics.count), (2, 3));
    let expected: f64 =
        [2.0_f64, -2.0, 1.0].iter().map(|margin| (1.0 + (-margin).exp()).ln()).sum();
    assert!((metrics.loss_sum - expected).abs() < 1e-6);
}

#[test]
fn training_and_evaluation_agree_on_the_loss() {
    for (loss, activation) in [
        ("mse", "linear"),
        ("mae", "tanh"),
        ("categorical_crossentropy", "softmax"),
        ("categorical_crossentropy", "sigmoid"),
        ("sparse_categorical_crossentropy", "softmax"),
        ("sparse_categorical_crossentropy", "sigmoid"),
    ] {
        let layers = format!("{{ type = \"dense\", units = 5, activation = \"{activation}\" }}");
        let plan = plan("[4]", loss, &layers);
        let flat = plan.initial(2);
        let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
        let mut predictor = Predictor::new(&plan, &model::cpu()).unwrap();
        trainer.load(&flat).unwrap();
        predictor.load(&flat).unwrap();
        // More steps than lie between two reads of the loss.
        let mut metrics = Metrics::default();
        for seed in 0..19 {
            let batch = batch(&plan, seed, 6);
            pollster::block_on(trainer.step(batch.clone(), 0.0)).unwrap();
            metrics.merge(&pollster::block_on(predictor.evaluate(&batch)).unwrap());
        }
        let sum = pollster::block_on(trainer.take_loss()).unwrap();
        assert!((sum - metrics.loss_sum).abs() < 1e-4 * sum, "{loss}: {sum} {metrics:?}");
        assert_eq!(pollster::block_on(trainer.take_loss()).unwrap(), 0.0);
    }
}

#[test]
fn softmax_with_cross_entropy_equals_logits() {
    for loss in ["categorical_crossentropy", "sparse_categorical_crossentropy"] {
        let text = |loss: &str, activation: &str| {
            format!(
                "input = [4]\nloss = {loss}\noptimizer = \"adam\"\nlayers = [\
                 {{ type = \"dense\", units = 6, activation = \"relu\" }}, \
                 {{ type = \"dense\", units = 3, activation = \"{activation}\" }}]"
            )
        };
        let run = |text: String| {
            let plan = model::Plan::new(&model::Spec::from_toml(&text).unwrap()).unwrap();
            let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
            for seed in 0..5 {
                pollster::block_on(trainer.step(batch(&plan, seed, 8), 0.01)).unwrap();
            }
            let loss = pollster::block_on(trainer.take_loss()).unwrap();
            let flat = pollster::block_on(trainer.flat()).unwrap();
            let mut predictor = Predictor::new(&plan, &model::cpu()).unwrap();
            predictor.load(&flat).unwrap();
            let outputs = pollster::block_on(predictor.predict(&numbers(9, 4), 1)).unwrap();
            (loss, flat, outputs)
        };
        let softmax = run(text(&format!("\"{loss}\""), "softmax"));
        let logits = run(text(&format!("{{ type = \"{loss}\", from_logits = true }}"), "linear"));
        assert_eq!((softmax.0, softmax.1), (logits.0, logits.1));
        let total: f32 = softmax.2.iter().sum();
        assert!((total - 1.0).abs() < 1e-6, "probabilities: {:?}", softmax.2);
        assert!((logits.2.iter().sum::<f32>() - 1.0).abs() > 1e-3, "logits: {:?}", logits.2);
    }
}

#[test]
fn great_logits_stay_finite() {
    let layers = "{ type = \"dense\", units = 3, activation = \"softmax\" }";
    let plan = plan("[1]", "sparse_categorical_crossentropy", layers);
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    trainer.load(&[1000.0, -1000.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
    let batch = Batch {
        inputs: vec![1.0],
        targets: Targets::Classes(vec![1]),
        weights: Vec::new(),
        count: 1,
    };
    pollster::block_on(trainer.step(batch, 0.1)).unwrap();
    let loss = pollster::block_on(trainer.take_loss()).unwrap();
    assert!((loss - 2000.0).abs() < 1e-3, "{loss}");
    let flat = pollster::block_on(trainer.flat()).unwrap();
    assert_close(&flat, &[999.9, -999.9, 0.0, -0.1, 0.1, 0.0], 1e-4);
}
