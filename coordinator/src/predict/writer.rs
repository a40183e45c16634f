//! Predictions as CSV or JSON lines: class, index and probabilities, or values.

use std::io::{self, Write};

use model::Loss;
use serde::Serialize;

use crate::cli::Format;
use crate::storage::ModelFile;

/// Writes one prediction a line.
pub(super) struct Writer<W: Write> {
    output: Output<W>,
    meaning: Meaning,
}

enum Output<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(W),
}

/// What the model's outputs are.
enum Meaning {
    /// One output a class; `logits` need a softmax to be probabilities.
    Classes { names: Vec<String>, logits: bool },
    /// Numbers, called by these names.
    Values { names: Vec<String> },
}

#[derive(Serialize)]
struct ClassLine<'a> {
    class: &'a str,
    index: usize,
    probabilities: &'a [f32],
}

impl<W: Write> Writer<W> {
    pub(super) fn new(output: W, format: Format, model: &ModelFile) -> Self {
        let width = model.plan.output_shape().iter().product::<u32>() as usize;
        let loss = model.plan.spec().loss;
        let meaning = match loss {
            Loss::SparseCategoricalCrossentropy { from_logits }
            | Loss::CategoricalCrossentropy { from_logits } => {
                let known = &model.names.classes;
                let name =
                    |index: usize| known.get(index).cloned().unwrap_or_else(|| index.to_string());
                Meaning::Classes { names: (0..width).map(name).collect(), logits: from_logits }
            }
            Loss::MeanSquaredError {} | Loss::MeanAbsoluteError {} => {
                let label = Some(model.names.label.as_str()).filter(|label| !label.is_empty());
                let label = label.unwrap_or("value");
                let name = |index: usize| {
                    if width == 1 { label.to_owned() } else { format!("{label}_{index}") }
                };
                Meaning::Values { names: (0..width).map(name).collect() }
            }
        };
        let output = match format {
            Format::Csv => Output::Csv(Box::new(csv::Writer::from_writer(output))),
            Format::Jsonl => Output::Jsonl(output),
        };
        Self { output, meaning }
    }

    /// The line that names the columns of a CSV file.
    pub(super) fn header(&mut self) -> io::Result<()> {
        let Output::Csv(csv) = &mut self.output else { return Ok(()) };
        let cells: Vec<String> = match &self.meaning {
            Meaning::Classes { names, .. } => {
                let probabilities = names.iter().map(|name| format!("probability_{name}"));
                ["class".to_owned(), "index".to_owned()].into_iter().chain(probabilities).collect()
            }
            Meaning::Values { names } => names.clone(),
        };
        csv_line(csv, &cells)
    }

    /// The prediction for one row, from the model's outputs for it.
    pub(super) fn row(&mut self, outputs: &[f32]) -> io::Result<()> {
        match &self.meaning {
            Meaning::Classes { names, logits } => {
                let probabilities = if *logits { softmax(outputs) } else { outputs.to_vec() };
                let index = greatest(&probabilities);
                let class = names[index].as_str();
                match &mut self.output {
                    Output::Jsonl(output) => {
                        let line = ClassLine { class, index, probabilities: &probabilities };
                        json_line(output, &line)
                    }
                    Output::Csv(csv) => {
                        let numbers = probabilities.iter().map(f32::to_string);
                        let first = [class.to_owned(), index.to_string()];
                        csv_line(csv, &first.into_iter().chain(numbers).collect::<Vec<_>>())
                    }
                }
            }
            Meaning::Values { names } => match &mut self.output {
                Output::Jsonl(output) => {
                    let values = outputs.iter().map(|&value| value.into());
                    let line: serde_json::Map<String, serde_json::Value> =
                        names.iter().cloned().zip(values).collect();
                    json_line(output, &line)
                }
                Output::Csv(csv) => {
                    csv_line(csv, &outputs.iter().map(f32::to_string).collect::<Vec<_>>())
                }
            },
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.output {
            Output::Csv(csv) => csv.flush(),
            Output::Jsonl(output) => output.flush(),
        }
    }
}

fn csv_line(output: &mut csv::Writer<impl Write>, cells: &[String]) -> io::Result<()> {
    // The kind of an IO error must survive: a broken pipe is no failure.
    output.write_record(cells).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}

fn json_line(output: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")
}

/// The first place of the greatest value.
fn greatest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
