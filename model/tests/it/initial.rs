//! First values: the same on every machine, with the distribution that Keras has.

use crate::support::plan;

#[test]
fn first_values_never_change() {
    let dense = plan("[2]", "mse", "{ type = \"dense\", units = 2 }");
    let golden = [0.37974337, 0.7690642, 1.1258487, 0.4748397, 0.0, 0.0];
    assert_eq!(dense.initial(1), golden);
    let normal = plan(
        "[2]",
        "mse",
        "{ type = \"dense\", units = 2, use_bias = false, kernel_initializer = \"he_normal\" }",
    );
    let golden = [0.7049798, 0.977477, -0.319514, -2.0824256];
    assert_eq!(normal.initial(1), golden);
    assert_ne!(dense.initial(1), dense.initial(2));
}

#[test]
fn distributions_are_those_of_keras() {
    // Fan in 40, fan out 60; a truncated normal has the variance that its name says.
    for (name, variance, greatest) in [
        ("glorot_uniform", 6.0 / 100.0 / 3.0, (6.0_f64 / 100.0).sqrt()),
        ("he_uniform", 6.0 / 40.0 / 3.0, (6.0_f64 / 40.0).sqrt()),
        ("glorot_normal", 2.0 / 100.0, 2.0 * (2.0_f64 / 100.0).sqrt() / 0.8796),
        ("he_normal", 2.0 / 40.0, 2.0 * (2.0_f64 / 40.0).sqrt() / 0.8796),
        ("zeros", 0.0, 0.0),
    ] {
        let layer = format!("{{ type = \"dense\", units = 60, kernel_initializer = \"{name}\" }}");
        let values = plan("[40]", "mse", &layer).initial(5);
        let kernel = &values[..2400];
        let mean = kernel.iter().map(|v| f64::from(*v)).sum::<f64>() / 2400.0;
        let square = kernel.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 2400.0;
        let peak = kernel.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
        assert!(mean.abs() < 0.02, "{name}: mean {mean}");
        assert!((square - variance).abs() <= 0.06 * variance, "{name}: {square} for {variance}");
        assert!(peak <= greatest && peak >= 0.97 * greatest, "{name}: {peak} for {greatest}");
        assert!(values[2400..].iter().all(|bias| *bias == 0.0));
    }
    let conv = "{ type = \"conv2d\", filters = 8, kernel_size = [3, 5] }";
    let values = plan("[9, 9, 4]", "mse", conv).initial(5);
    let limit = (6.0_f32 / (15.0 * 12.0)).sqrt();
    let peak = values.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
    assert!(peak <= limit && peak > 0.97 * limit);
}
