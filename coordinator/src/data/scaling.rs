//! Inputs of a like size: each column minus its mean, by its standard deviation.
//!
//! Means and deviations are those of the training rows. They become a `rescaling` layer before the
//! model's first one, so that whoever has the model has them too: workers, and `herd predict`.

use model::layer::{Factors, Rescaling};
use model::{Layer, Node, Spec};
use protocol::limits::SPEC_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Inputs};

/// Name of the layer, unless a node of the model has it.
const NODE: &str = "scaling";

/// By what a node calls the model's input.
const INPUT: &str = "input";

/// How inputs are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// Not at all.
    #[default]
    None,
    /// To mean 0 and standard deviation 1.
    Standard,
}

/// `value * scale + offset` gives each column mean 0 and deviation 1.
#[derive(Debug, PartialEq)]
struct Moments {
    scale: Vec<f64>,
    offset: Vec<f64>,
}

/// The spec with a layer before all others that scales samples like these.
///
/// # Errors
/// When there are too many columns to tell workers the numbers of.
pub fn scaled(spec: &Spec, rows: &Dataset) -> Result<Spec, DataError> {
    let Moments { scale, offset } = moments(rows);
    let mut name = NODE.to_owned();
    while spec.layers.iter().any(|node| node.name.as_ref() == Some(&name)) {
        name.push('_');
    }
    let mut scaled = spec.clone();
    for node in &mut scaled.layers {
        if node.input.as_deref() == Some(INPUT) {
            node.input = Some(name.clone());
        }
    }
    let layer = Layer::Rescaling(Rescaling { scale: Factors(scale), offset: Factors(offset) });
    scaled.layers.insert(0, Node { name: Some(name), input: None, layer });
    let bytes = scaled.to_json().len();
    if bytes > SPEC_BYTES_MAX {
        let problem = format!(
            "has too many columns for data.scaling = \"standard\": with the numbers of each the model \
             takes {bytes} bytes, of at most {SPEC_BYTES_MAX}; scale the file itself and leave \
             data.scaling out"
        );
        return Err(DataError::content(rows.origin.as_str(), problem));
    }
    Ok(scaled)
}

/// Of each column of a table; of all values together where they have no columns, such as pixels.
fn moments(rows: &Dataset) -> Moments {
    let columns = if rows.names.features.is_empty() { 1 } else { rows.elements() };
    let value = |index: usize| match &rows.inputs {
        Inputs::Bytes(values) => f64::from(values[index]),
        Inputs::Floats(values) => f64::from(values[index]),
    };
    let count = match &rows.inputs {
        Inputs::Bytes(values) => values.len(),
        Inputs::Floats(values) => values.len(),
    };
    let samples = (count / columns).max(1) as f64;
    let mut means = vec![0.0; columns];
    (0..count).for_each(|index| means[index % columns] += value(index));
    means.iter_mut().for_each(|mean| *mean /= samples);
    // A second pass: the difference of two large sums would lose small deviations.
    let mut squares = vec![0.0; columns];
    (0..count).for_each(|index| {
        squares[index % columns] += (value(index) - means[index % columns]).powi(2);
    });
    let scale = |(square, mean): (&f64, &f64)| {
        let deviation = (square / samples).sqrt();
        // A column that never changes, but for rounding, stays as it is around its mean.
        if deviation > 1e-9 * mean.abs().max(f64::MIN_POSITIVE) {
            short(1.0 / deviation)
        } else {
            1.0
        }
    };
    let scale: Vec<f64> = squares.iter().zip(&means).map(scale).collect();
    let offset = scale.iter().zip(&means).map(|(scale, mean)| short(-mean * scale)).collect();
    Moments { scale, offset }
}

/// A number with seven digits, as many as the inputs have: more would only be longer.
fn short(number: f64) -> f64 {
    format!("{number:.6e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Plan, Targets};

    use super::super::Names;
    use super::*;

    fn table(columns: &[&str], values: Vec<f32>) -> Dataset {
        let features: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let rows = values.len() / columns.len();
        Dataset {
            inputs: Inputs::Floats(values),
            shape: vec![columns.len() as u32],
            targets: Targets::Classes(vec![0; rows]),
            names: Names { features, categories: BTreeMap::new(), ..Names::default() },
            origin: "rows".into(),
        }
    }

    #[test]
    fn each_column_gets_mean_0_and_deviation_1() {
        let rows = table(&["a", "b", "c"], vec![1.0, 1000.0, 7.0, 3.0, 3000.0, 7.0]);
        let Moments { scale, offset } = moments(&rows);
        assert_eq!(scale, [1.0, 0.001, 1.0]);
        assert_eq!(offset, [-2.0, -2.0, -7.0], "a constant column becomes 0");
    }

    #[test]
    fn pixels_are_scaled_together() {
        let rows = Dataset {
            inputs: Inputs::Bytes(vec![0, 255, 255, 0]),
            shape: vec![2],
            names: Names::default(),
            ..table(&["a", "b"], vec![0.0; 4])
        };
        let moments = moments(&rows);
        assert_eq!((moments.scale.len(), moments.offset), (1, vec![-1.0]));
    }

    #[test]
    fn the_layer_stands_before_all_others_and_tensors_keep_their_names() {
        let text = "input = [2]\nloss = \"mse\"\noptimizer = \"sgd\"\n\
                    layers = [{ type = \"rescaling\", scale = 2.0, name = \"scaling\", input = \"input\" }, \
                    { type = \"dense\", units = 1 }]";
        let spec = Spec::from_toml(text).unwrap();
        let rows = table(&["a", "b"], vec![1.0, 5.0, 3.0, 9.0]);
        let scaled = scaled(&spec, &rows).unwrap();
        let names: Vec<_> = scaled.layers.iter().map(|node| node.name.as_deref()).collect();
        assert_eq!(names, [Some("scaling_"), Some("scaling"), None]);
        assert_eq!(scaled.layers[1].input.as_deref(), Some("scaling_"));
        let tensors = |spec: &Spec| Plan::new(spec).unwrap().tensors().clone();
        assert_eq!(tensors(&scaled), tensors(&spec));
    }

    #[test]
    fn too_many_columns_are_refused() {
        let names: Vec<String> = (0..20_000).map(|column| format!("c{column}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let values = (0..40_000).map(|value| value as f32).collect();
        let text = "input = [20000]\nloss = \"mse\"\noptimizer = \"sgd\"\n\
                    layers = [{ type = \"dense\", units = 1 }]";
        let message = scaled(&Spec::from_toml(text).unwrap(), &table(&names, values)).unwrap_err();
        assert!(message.to_string().contains("leave data.scaling out"), "{message}");
    }
}
