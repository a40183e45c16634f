//! What a model's input is, for who makes one up by hand: a picture, or a row with names and ranges.

use model::Plan;
use serde::Serialize;

use crate::data::{Dataset, Inputs};

/// The input of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Input {
    /// A picture; values row after row, as they were read.
    Image {
        /// Rows.
        height: u32,
        /// Values in a row.
        width: u32,
        /// Values of a pixel.
        channels: u32,
    },
    /// A row of a table.
    Row {
        /// In order.
        columns: Vec<Column>,
    },
}

/// One column of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// One value.
    Number {
        /// Its name.
        name: String,
        /// Least value in the training data.
        low: f32,
        /// Greatest value in the training data.
        high: f32,
        /// Mean of the training data.
        mean: f64,
    },
    /// As many values as there are words: 1 for the word, 0 for the others.
    Words {
        /// Its name.
        name: String,
        /// In the order of their values.
        words: Vec<String>,
    },
}

impl Input {
    /// What a model takes that is trained with these samples.
    #[must_use]
    pub fn of(train: &Dataset, plan: &Plan) -> Self {
        let is_table = !train.names.features.is_empty();
        let shapes = [plan.input_shape(), if is_table { &[] } else { &train.shape }];
        let shape = shapes.into_iter().find(|shape| (2..=3).contains(&shape.len()));
        match shape {
            Some(shape) if train.names.categories.is_empty() => Self::Image {
                height: shape[0],
                width: shape[1],
                channels: shape.get(2).copied().unwrap_or(1),
            },
            _ => Self::Row { columns: columns(train) },
        }
    }
}

fn columns(train: &Dataset) -> Vec<Column> {
    let ranges = ranges(train);
    let names = &train.names;
    if names.features.is_empty() {
        let name = |index: usize| format!("value {}", index + 1);
        let all = ranges.into_iter().enumerate();
        return all.map(|(index, range)| range.column(name(index))).collect();
    }
    let mut place = 0;
    let column = |name: &String| {
        let words = names.categories.get(name);
        let range = ranges.get(place).copied().unwrap_or_default();
        place += words.map_or(1, Vec::len);
        match words {
            Some(words) => Column::Words { name: name.clone(), words: words.clone() },
            None => range.column(name.clone()),
        }
    };
    names.features.iter().map(column).collect()
}

/// What values there are.
#[derive(Debug, Clone, Copy, Default)]
struct Range {
    low: f32,
    high: f32,
    mean: f64,
}

impl Range {
    fn column(self, name: String) -> Column {
        let Self { low, high, mean } = self;
        Column::Number { name, low, high, mean }
    }
}

/// Of each value of a sample.
fn ranges(train: &Dataset) -> Vec<Range> {
    match &train.inputs {
        Inputs::Bytes(values) => ranges_of(values, train.elements(), |value| f32::from(*value)),
        Inputs::Floats(values) => ranges_of(values, train.elements(), |value| *value),
    }
}

fn ranges_of<T>(values: &[T], width: usize, value: impl Fn(&T) -> f32) -> Vec<Range> {
    let none = Range { low: f32::INFINITY, high: f32::NEG_INFINITY, mean: 0.0 };
    let mut ranges = vec![none; width];
    let rows = (values.len() / width.max(1)).max(1) as f64;
    for row in values.chunks_exact(width.max(1)) {
        for (range, value) in ranges.iter_mut().zip(row.iter().map(&value)) {
            range.low = range.low.min(value);
            range.high = range.high.max(value);
            range.mean += f64::from(value) / rows;
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Spec, Targets};

    use super::*;
    use crate::data::Names;

    fn plan(input: &str) -> Plan {
        let text = format!(
            "input = {input}\nloss = \"mse\"\noptimizer = \"sgd\"\n\
             layers = [{{ type = \"flatten\" }}, {{ type = \"dense\", units = 1 }}]"
        );
        Plan::new(&Spec::from_toml(&text).unwrap()).unwrap()
    }

    fn samples(shape: &[u32], inputs: Inputs, names: Names) -> Dataset {
        let targets = Targets::Values { width: 1, values: vec![0.0; 2] };
        Dataset { inputs, shape: shape.to_vec(), targets, names, origin: "rows".into() }
    }

    #[test]
    fn a_table_is_described_as_it_was_read() {
        let names = Names {
            features: vec!["size".into(), "colour".into(), "age".into()],
            categories: BTreeMap::from([("colour".into(), vec!["blue".into(), "red".into()])]),
            ..Names::default()
        };
        let rows = Inputs::Floats(vec![1.5, 1.0, 0.0, 10.0, 2.5, 0.0, 1.0, 30.0]);
        let input = Input::of(&samples(&[4], rows, names), &plan("[4]"));
        let expected = serde_json::json!({ "kind": "row", "columns": [
            { "name": "size", "low": 1.5, "high": 2.5, "mean": 2.0 },
            { "name": "colour", "words": ["blue", "red"] },
            { "name": "age", "low": 10.0, "high": 30.0, "mean": 20.0 },
        ]});
        assert_eq!(serde_json::json!(input), expected);
    }

    #[test]
    fn pixels_are_a_picture_whatever_shape_the_model_wants() {
        let image = |channels| Input::Image { height: 2, width: 3, channels };
        let pixels = |shape: &[u32]| {
            let count: u32 = 2 * shape.iter().product::<u32>();
            samples(shape, Inputs::Bytes(vec![0; count as usize]), Names::default())
        };
        assert_eq!(Input::of(&pixels(&[2, 3]), &plan("[6]")), image(1));
        assert_eq!(Input::of(&pixels(&[2, 3]), &plan("[2, 3, 1]")), image(1));
        assert_eq!(Input::of(&pixels(&[2, 3, 3]), &plan("[2, 3, 3]")), image(3));
        let Input::Row { columns } = Input::of(&pixels(&[6]), &plan("[6]")) else { panic!() };
        assert_eq!(columns.len(), 6);
    }
}
