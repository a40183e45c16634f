//! The best model as a page gets it, against what the command predicts with it.

use std::fs;

use model::{Plan, Predictor, Spec};
use protocol::Digest;
use serde_json::{Value, json};
use tests::dashboard::Client;
use tests::process::herd;

use super::{COMMON, number};

/// A table with a column of words, of which a model can learn.
fn table() -> String {
    let mut text = String::from("size,colour,age,kind\n");
    for row in 0..400_u32 {
        let (size, colour) =
            (f64::from(row % 17) / 4.0, ["red", "blue", "green"][row as usize % 3]);
        let age = row % 29;
        let kind = if colour == "red" || size > 3.0 { "warm" } else { "cold" };
        text.push_str(&format!("{size},{colour},{age},{kind}\n"));
    }
    text
}

const TABLE_JOB: &str = r#"
[data]
source = "rows.csv"
label = "kind"
categorical = ["colour"]
scaling = "standard"

[model]
input = [5]
loss = "sparse_categorical_crossentropy"
optimizer = { type = "adam", learning_rate = 0.01 }
layers = [
    { type = "dense", units = 16, activation = "relu" },
    { type = "dense", units = 2, activation = "softmax" },
]
"#;

#[test]
fn a_browser_predicts_what_the_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("rows.csv"), table()).unwrap();
    fs::write(folder.join("job.toml"), TABLE_JOB).unwrap();
    let mut herd = herd(
        &[&["train", "job.toml"], &COMMON[1..], &["--workers", "1", "--epochs", "4"]].concat(),
    )
    .folder(folder)
    .start();
    let invitation = herd.invitation();
    let admin = Client::admin(&mut herd);
    let mut watching = admin.watch();
    let view = watching.until("ended", |view| view["state"] == "ended");
    let worker = Client::worker(&invitation);
    let description = worker.json("/v1/predictor");
    let parameters = worker.get("/v1/predictor/parameters");
    let model = admin.get("/v1/model");
    assert_eq!(
        (description["epoch"].clone(), parameters.status),
        (view["best"]["epoch"].clone(), 200)
    );
    assert_eq!(description["digest"], Digest::of(&parameters.body).to_string());
    let tag = format!("etag: \"{}\"", Digest::of(&parameters.body));
    assert!(parameters.head.contains(&tag), "{}", parameters.head);
    let lines = format!("if-none-match: \"{}\"\r\n", Digest::of(&parameters.body));
    let known = worker.get_with("/v1/predictor/parameters", &lines);
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(model.body, fs::read(folder.join("run/best.safetensors")).unwrap());
    assert!(model.head.contains("filename=\"run.safetensors\""), "{}", model.head);
    drop(watching);
    let _ = herd.finish();

    assert_eq!(description["target"], "kind");
    assert_eq!(description["classes"], json!(["cold", "warm"]));
    let input = &description["input"];
    assert_eq!(input["kind"], "row");
    assert_eq!(input["columns"][1], json!({ "name": "colour", "words": ["blue", "green", "red"] }));
    let size = &input["columns"][0];
    assert_eq!(
        (&size["name"], number(&size["low"]), number(&size["high"])),
        (&json!("size"), 0.0, 4.0)
    );
    assert!((1.5..2.5).contains(&number(&size["mean"])), "{input}");

    // As a page would: values from the description, the words' as ones and zeros.
    let plan = Plan::new(&Spec::from_json(&description["spec"].to_string()).unwrap()).unwrap();
    let mut predictor = Predictor::empty(&plan, &model::cpu());
    let words = parameters.body.as_chunks::<4>().0.iter();
    predictor.load(&words.map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<_>>()).unwrap();
    let rows = [(0.75, "red", 3.0), (3.5, "blue", 28.0), (0.0, "green", 11.0)];
    let mut csv = String::from("age,colour,size\n");
    let mut values = Vec::new();
    for (size, colour, age) in rows {
        csv.push_str(&format!("{age},{colour},{size}\n"));
        let known = input["columns"][1]["words"].as_array().unwrap();
        values.push(size);
        values.extend(known.iter().map(|word| if word == colour { 1.0 } else { 0.0 }));
        values.push(age);
    }
    fs::write(folder.join("new.csv"), csv).unwrap();
    let flags = ["predict", "run", "new.csv", "--format", "jsonl"];
    let said = tests::process::herd(&flags).folder(folder).succeed().output;
    let outputs = pollster::block_on(predictor.predict(&values, rows.len())).unwrap();
    for (line, output) in said.lines().zip(outputs.chunks_exact(2)) {
        let line: Value = serde_json::from_str(line).unwrap();
        for (index, probability) in output.iter().enumerate() {
            let told = number(&line["probabilities"][index]);
            assert!((told - f64::from(*probability)).abs() < 1e-6, "{line} {output:?}");
        }
    }
}
