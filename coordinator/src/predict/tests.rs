//! Tests of prediction and evaluation, against the same maths written out.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Plan, Spec};

use super::*;
use crate::cli::{EvaluateArgs, Format};
use crate::data::{Columns, Names};
use crate::storage::write_model;

/// Two features, three classes; the outputs are the rows of a softmax over `x * kernel`.
const KERNEL: [f32; 6] = [1.0, 0.0, -1.0, 0.5, 2.0, 0.0];

fn model_file(folder: &Path, loss: &str, layers: &str, parameters: &[f32]) -> PathBuf {
    let text = format!("input = [2]\nloss = {loss}\noptimizer = \"sgd\"\nlayers = {layers}");
    let plan = Plan::new(&Spec::from_toml(&text).unwrap()).unwrap();
    let names = Names {
        features: vec!["a".into(), "b".into()],
        classes: vec!["no".into(), "yes".into(), "a,b".into()],
        label: "kind".into(),
        ..Names::default()
    };
    let path = folder.join("m.safetensors");
    write_model(&path, &plan, &names, parameters).unwrap();
    path
}

fn classifier(folder: &Path) -> PathBuf {
    let layers = "[{ type = \"dense\", units = 3, activation = \"softmax\", use_bias = false }]";
    model_file(folder, "\"sparse_categorical_crossentropy\"", layers, &KERNEL)
}

fn softmax_of(row: [f32; 2]) -> Vec<f32> {
    let powers: Vec<f32> =
        (0..3).map(|c| (row[0] * KERNEL[c] + row[1] * KERNEL[3 + c]).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn predicted(model: &Path, data: &Path, format: Format) -> anyhow::Result<String> {
    let output = data.with_file_name("out");
    let args = PredictArgs {
        model: model.into(),
        data: data.into(),
        format,
        output: Some(output.clone()),
    };
    predict(&args)?;
    Ok(fs::read_to_string(output)?)
}

#[test]
fn classes_and_probabilities_come_in_the_order_of_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let model = classifier(folder.path());
    let data = folder.path().join("rows.csv");
    let rows: Vec<[f32; 2]> =
        (0..3000).map(|row| [(row % 7) as f32 - 3.0, (row % 5) as f32]).collect();
    let lines: Vec<String> = rows.iter().map(|[a, b]| format!("{b},ignored,{a}")).collect();
    fs::write(&data, format!("b,kind,a\n{}\n", lines.join("\n"))).unwrap();

    let jsonl = predicted(&model, &data, Format::Jsonl).unwrap();
    assert_eq!(jsonl.lines().count(), rows.len());
    for (line, row) in jsonl.lines().zip(&rows) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let expected = softmax_of(*row);
        for (index, probability) in expected.iter().enumerate() {
            let got = line["probabilities"][index].as_f64().unwrap();
            assert!((got - f64::from(*probability)).abs() < 1e-6, "{line} {expected:?}");
        }
        let best = (0..3).max_by(|&x, &y| expected[x].total_cmp(&expected[y])).unwrap();
        assert!(
            line["index"] == best || expected.iter().filter(|p| **p == expected[best]).count() > 1
        );
        assert_eq!(line["class"], ["no", "yes", "a,b"][line["index"].as_u64().unwrap() as usize]);
    }

    let csv_text = predicted(&model, &data, Format::Csv).unwrap();
    let mut reader = csv::Reader::from_reader(csv_text.as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>(),
        ["class", "index", "probability_no", "probability_yes", "probability_a,b"]
    );
    for (record, line) in reader.records().zip(jsonl.lines()) {
        let (record, line) =
            (record.unwrap(), serde_json::from_str::<serde_json::Value>(line).unwrap());
        assert_eq!(line["class"], record[0]);
        assert_eq!(line["probabilities"][1].to_string(), record[3]);
    }
}

#[test]
fn logits_become_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let loss = "{ type = \"sparse_categorical_crossentropy\", from_logits = true }";
    let layers = "[{ type = \"dense\", units = 3, use_bias = false }]";
    let model = model_file(folder.path(), loss, layers, &KERNEL);
    let data = folder.path().join("rows.csv");
    fs::write(&data, "a,b\n1,2\n").unwrap();
    let line: serde_json::Value =
        serde_json::from_str(&predicted(&model, &data, Format::Jsonl).unwrap()).unwrap();
    for (index, probability) in softmax_of([1.0, 2.0]).into_iter().enumerate() {
        let got = line["probabilities"][index].as_f64().unwrap();
        assert!((got - f64::from(probability)).abs() < 1e-6, "{line}");
    }
}

#[test]
fn a_regression_gives_values_and_their_error() {
    let folder = tempfile::tempdir().unwrap();
    let layers = "[{ type = \"dense\", units = 1 }]";
    let model = model_file(folder.path(), "\"mse\"", layers, &[2.0, -1.0, 0.5]);
    let data = folder.path().join("rows.csv");
    fs::write(&data, "a,b,kind\n1,2,1.5\n3,4,2.5\n").unwrap();
    assert_eq!(predicted(&model, &data, Format::Csv).unwrap(), "kind\n0.5\n2.5\n");
    assert_eq!(
        predicted(&model, &data, Format::Jsonl).unwrap(),
        "{\"kind\":0.5}\n{\"kind\":2.5}\n"
    );
    let file = ModelFile::read(&model).unwrap();
    let source = crate::data::Source::Table(data);
    let kind = crate::data::LabelKind::Number;
    let part = crate::data::embedded::Part::Test;
    let dataset =
        crate::data::read(&source, part, Columns::numbers("kind"), kind, Some(&file.names))
            .unwrap();
    let predictor = load(&file).unwrap();
    let metrics = evaluation(&predictor, crate::data::batches(&dataset, 1)).unwrap();
    let found = Evaluation::of(&metrics, file.plan.spec().loss);
    assert_eq!(found, Evaluation { count: 2, loss: 0.5, accuracy: None, mae: Some(0.5) });
    assert_eq!(found.to_string(), "2 rows: loss 0.5000, mean absolute error 0.5000");
}

#[test]
fn data_that_does_not_fit_the_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = classifier(folder.path());
    let data = folder.path().join("rows.csv");
    let place = folder.path().display().to_string();
    let message = |data: &Path| {
        let error = predicted(&model, data, Format::Csv).unwrap_err();
        assert_eq!(crate::cli::exit_code(&error), 3);
        error.to_string().replace(&format!("{place}/"), "")
    };
    fs::write(&data, "a,c\n1,2\n").unwrap();
    assert_eq!(message(&data), "rows.csv, line 1: there is no column `b`; the header has: a, c");
    fs::write(&data, "a,b\n1,2\n1,x\n").unwrap();
    assert_eq!(message(&data), "rows.csv, line 3, column `b`: `x` is not a number");
    fs::write(&data, [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3]).unwrap();
    assert_eq!(
        message(&data),
        "rows.csv: its samples have shape [3] (3 values), but the model's input is [2] (2): set \
         `input` of the model to [3]"
    );
    assert_eq!(
        message(&folder.path().join("none.csv")),
        "none.csv: there is no such file; check the path (in a job file it is relative to that file)"
    );
    let args = EvaluateArgs { model: model.clone(), data: None, json: false };
    let error = evaluate(&args).unwrap_err();
    assert_eq!(crate::cli::exit_code(&error), 2);
    assert_eq!(
        error.to_string().replace(&format!("{place}/"), ""),
        "m.safetensors: there is no run beside this model to take test rows from; name DATA"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let model = ModelFile::read(&classifier(folder.path())).unwrap();
    let data = folder.path().join("rows.csv");
    fs::write(&data, "a,b\n1,2\n").unwrap();
    for format in [Format::Csv, Format::Jsonl] {
        let mut rows = Rows::open(&data, &model).unwrap();
        let writer = Writer::new(BufWriter::new(Closed), format, &model);
        let error = write_all(&model, &mut rows, writer).unwrap_err();
        assert!(is_broken_pipe(&error), "{error:?}");
    }
}
