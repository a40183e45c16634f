//! Keras's layout outside, whatever stands inside: round trips, and outputs against plain loops.

use model::{Plan, Predictor, Trainer};

use crate::support::{assert_close, numbers, plan};

fn predict(plan: &Plan, flat: &[f32], inputs: &[f32], count: usize) -> Vec<f32> {
    let mut predictor = Predictor::new(plan, &model::cpu()).unwrap();
    predictor.load(flat).unwrap();
    pollster::block_on(predictor.predict(inputs, count)).unwrap()
}

#[test]
fn flat_returns_what_load_took() {
    let plan = plan(
        "[5, 4, 2]",
        "mse",
        "{ type = \"conv2d\", filters = 3, kernel_size = [3, 2] }, { type = \"batch_normalization\" }, \
         { type = \"flatten\" }, { type = \"dense\", units = 4 }",
    );
    let flat = numbers(1, plan.tensors().elements());
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    trainer.load(&flat).unwrap();
    assert_eq!(pollster::block_on(trainer.flat()).unwrap(), flat);
}

#[test]
fn dense_is_input_times_kernel() {
    let plan = plan("[3]", "mse", "{ type = \"dense\", units = 2 }");
    // Kernel [[1, 2], [3, 4], [5, 6]], bias [10, 20].
    let flat = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 20.0];
    let outputs = predict(&plan, &flat, &[1.0, 0.0, 2.0, 0.0, -1.0, 0.5], 2);
    assert_eq!(outputs, [21.0, 34.0, 9.5, 19.0]);
}

/// Size and stride of a window, and rows or columns of padding before the image.
struct Axis {
    length: usize,
    output: usize,
    size: usize,
    stride: usize,
    before: usize,
}

impl Axis {
    fn same(length: usize, size: usize, stride: usize) -> Self {
        let output = length.div_ceil(stride);
        let total = ((output - 1) * stride + size).saturating_sub(length);
        Self { length, output, size, stride, before: total / 2 }
    }

    /// Places inside the image under a window, with their place in the window.
    fn under(&self, output: usize) -> Vec<(usize, usize)> {
        (0..self.size)
            .filter_map(|place| {
                let input = (output * self.stride + place).checked_sub(self.before)?;
                (input < self.length).then_some((input, place))
            })
            .collect()
    }
}

#[test]
fn a_convolution_is_the_plain_sum() {
    for (size, strides) in [((3, 2), (1, 1)), ((3, 3), (2, 2)), ((2, 4), (2, 1)), ((1, 1), (3, 2))]
    {
        let (rows, columns) = (Axis::same(7, size.0, strides.0), Axis::same(6, size.1, strides.1));
        let (channels, filters) = (2, 3);
        let layer = format!(
            "{{ type = \"conv2d\", filters = 3, kernel_size = [{}, {}], strides = [{}, {}], padding = \"same\" }}",
            size.0, size.1, strides.0, strides.1
        );
        let plan = plan("[7, 6, 2]", "mse", &layer);
        let flat = numbers(2, plan.tensors().elements());
        let image = numbers(3, 2 * 7 * 6 * 2);
        let bias = &flat[flat.len() - filters..];
        let mut expected = Vec::new();
        for sample in 0..2 {
            for row in 0..rows.output {
                for column in 0..columns.output {
                    for (filter, bias) in bias.iter().enumerate() {
                        let mut sum = *bias;
                        for (y, ky) in rows.under(row) {
                            for (x, kx) in columns.under(column) {
                                for channel in 0..channels {
                                    let place = ((sample * 7 + y) * 6 + x) * channels + channel;
                                    let weight = ((ky * size.1 + kx) * channels + channel)
                                        * filters
                                        + filter;
                                    sum += image[place] * flat[weight];
                                }
                            }
                        }
                        expected.push(sum);
                    }
                }
            }
        }
        assert_close(&predict(&plan, &flat, &image, 2), &expected, 1e-5);
    }
}

#[test]
fn pooling_leaves_padding_out() {
    for (pool, size, stride) in [
        ("max_pool2d", 3, 2),
        ("average_pool2d", 3, 2),
        ("average_pool2d", 2, 2),
        ("average_pool2d", 3, 1),
        ("max_pool2d", 2, 3),
    ] {
        let (rows, columns) = (Axis::same(5, size, stride), Axis::same(4, size, stride));
        // A 1x1 convolution that copies its input, so that there is something to train.
        let layers = format!(
            "{{ type = \"conv2d\", filters = 2, kernel_size = 1 }}, \
             {{ type = \"{pool}\", pool_size = {size}, strides = {stride}, padding = \"same\" }}"
        );
        let plan = plan("[5, 4, 2]", "mse", &layers);
        let image: Vec<f32> = numbers(4, 5 * 4 * 2).iter().map(|value| value - 2.0).collect();
        let mut expected = Vec::new();
        for row in 0..rows.output {
            for column in 0..columns.output {
                for channel in 0..2 {
                    let mut values = Vec::new();
                    for (y, _) in rows.under(row) {
                        for (x, _) in columns.under(column) {
                            values.push(image[(y * 4 + x) * 2 + channel]);
                        }
                    }
                    expected.push(if pool == "max_pool2d" {
                        values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
                    } else {
                        values.iter().sum::<f32>() / values.len() as f32
                    });
                }
            }
        }
        let outputs = predict(&plan, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &image, 1);
        assert_close(&outputs, &expected, 1e-6);
    }
}

#[test]
fn axes_keep_their_order() {
    // Copies, with the channels swapped: what comes out of each node is channels-last.
    let swap = "{ type = \"dense\", units = 2, use_bias = false }";
    let flat = [0.0, 1.0, 1.0, 0.0];
    let image: Vec<f32> = (0..12).map(|value| value as f32).collect();
    let swapped: Vec<f32> = image.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    for layers in [
        swap.to_owned(),
        format!("{{ type = \"rescaling\", scale = [1, 1] }}, {swap}, {{ type = \"flatten\" }}"),
        format!("{{ type = \"reshape\", target_shape = [6, 2] }}, {swap}"),
        format!("{swap}, {{ type = \"reshape\", target_shape = [2, 6] }}"),
    ] {
        assert_eq!(
            predict(&plan("[3, 2, 2]", "mse", &layers), &flat, &image, 1),
            swapped,
            "{layers}"
        );
    }
    let scaled = format!("{swap}, {{ type = \"rescaling\", scale = [1, 10], offset = [0, 0.5] }}");
    let expected: Vec<f32> =
        swapped.chunks(2).flat_map(|pair| [pair[0], pair[1] * 10.0 + 0.5]).collect();
    assert_eq!(predict(&plan("[3, 2, 2]", "mse", &scaled), &flat, &image, 1), expected);
    let mean = format!("{swap}, {{ type = \"global_average_pool2d\" }}");
    assert_eq!(predict(&plan("[3, 2, 2]", "mse", &mean), &flat, &image, 1), [6.0, 5.0]);
}

#[test]
fn many_rows_are_predicted_in_their_order() {
    let plan = plan("[3]", "mse", "{ type = \"dense\", units = 2, activation = \"tanh\" }");
    let flat = plan.initial(1);
    let inputs = numbers(5, 700 * 3);
    let whole = predict(&plan, &flat, &inputs, 700);
    let single: Vec<f32> = inputs.chunks(3).flat_map(|row| predict(&plan, &flat, row, 1)).collect();
    assert_close(&whole, &single, 1e-6);
}
