//! `herd model show`: what a model is made of, and what it costs.

mod source;

use model::Plan;
use serde_json::json;

use crate::cli::{ModelShowArgs, aligned, answer};
use crate::train::{bytes, grouped};
use source::Source;

/// Runs `herd model show`.
///
/// # Errors
/// When there is no such model, or it is damaged or wrong.
pub fn show(args: &ModelShowArgs) -> anyhow::Result<()> {
    let Source { origin, plan } = Source::read(&args.spec)?;
    let text = if args.json { format!("{}\n", json(&origin, &plan)) } else { text(&origin, &plan) };
    Ok(answer(&text)?)
}

/// Values that are not trained, but are part of the model.
fn statistics(plan: &Plan) -> u64 {
    (plan.tensors().elements() as u64).saturating_sub(plan.parameters())
}

fn multiply_adds(plan: &Plan) -> u64 {
    plan.rows().iter().fold(0, |sum, row| sum.saturating_add(row.multiply_adds))
}

/// `28 x 28 x 1`.
fn shape(sides: &[u32]) -> String {
    sides.iter().map(u32::to_string).collect::<Vec<_>>().join(" x ")
}

fn text(origin: &str, plan: &Plan) -> String {
    let heads = ["layer", "type", "output", "parameters", "multiply-adds"];
    let mut table = vec![heads.map(str::to_owned).to_vec()];
    table.push(vec!["input".into(), "-".into(), shape(plan.input_shape()), "0".into(), "0".into()]);
    for row in plan.rows() {
        table.push(vec![
            row.name,
            row.kind.to_owned(),
            // Never only a number: such columns stand at the right.
            shape(&row.output),
            grouped(row.parameters),
            grouped(row.multiply_adds),
        ]);
    }
    let (parameters, work) = (grouped(plan.parameters()), grouped(multiply_adds(plan)));
    table.push(vec!["total".into(), String::new(), String::new(), parameters, work]);
    let mut text = format!("{origin}\n\n{}\n", aligned(&table));
    let statistics = statistics(plan);
    if statistics > 0 {
        text.push_str(&format!(
            "statistics  {} values that are not trained\n",
            grouped(statistics)
        ));
    }
    let spec = plan.spec();
    let optimizer = optimizer(plan);
    let rate = plan.learning_rate();
    text.push_str(&format!("training    {} by {optimizer} at {rate}\n", spec.loss.name()));
    let [f32, f16] = sizes(plan);
    text.push_str(&format!(
        "size        {} as f32, {} on the wire as f16\n",
        bytes(f32),
        bytes(f16)
    ));
    text
}

/// The name of the inner optimizer, as in a spec.
fn optimizer(plan: &Plan) -> String {
    let told = serde_json::to_value(&plan.spec().optimizer).unwrap_or_default();
    told["type"].as_str().unwrap_or("-").to_owned()
}

/// Bytes of all tensors by codec.
fn sizes(plan: &Plan) -> [u64; 2] {
    [protocol::Codec::F32, protocol::Codec::F16].map(|codec| codec.bytes(plan.tensors()) as u64)
}

fn json(origin: &str, plan: &Plan) -> serde_json::Value {
    let layers: Vec<_> = plan
        .rows()
        .into_iter()
        .map(|row| {
            json!({
                "name": row.name,
                "type": row.kind,
                "output": row.output,
                "parameters": row.parameters,
                "multiply_adds": row.multiply_adds,
            })
        })
        .collect();
    let [f32, f16] = sizes(plan);
    json!({
        "model": origin,
        "input": plan.input_shape(),
        "output": plan.output_shape(),
        "layers": layers,
        "parameters": plan.parameters(),
        "statistics": statistics(plan),
        "multiply_adds": multiply_adds(plan),
        "bytes_f32": f32,
        "bytes_f16": f16,
        "loss": plan.spec().loss.name(),
        "optimizer": optimizer(plan),
        "learning_rate": plan.learning_rate(),
    })
}
