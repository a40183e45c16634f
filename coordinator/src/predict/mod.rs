//! `herd predict` and `herd evaluate`: a stored model on data, computed here on the CPU.

mod evaluate;
mod input;
mod rows;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use model::Predictor;

use crate::cli::{Failure, PredictArgs};
use crate::storage::{ModelFile, find};

pub use evaluate::{Evaluation, evaluate, evaluation};
pub use input::{Column, Input};
use rows::Rows;
use writer::Writer;

/// Rows computed at a time: a few of the model's own blocks, so that output flows early.
const ROWS: usize = 1024;

/// Runs `herd predict`.
///
/// # Errors
/// When model or data are missing, damaged or do not fit each other, or the output fails.
pub fn predict(args: &PredictArgs) -> anyhow::Result<()> {
    let model = ModelFile::read(&find(&args.model)?.model)?;
    let mut rows = Rows::open(&args.data, &model)?;
    let output: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(create(path)?),
        None => Box::new(io::stdout().lock()),
    };
    let writer = Writer::new(BufWriter::new(output), args.format, &model);
    match write_all(&model, &mut rows, writer) {
        // Whoever read our output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| {
        Failure::Data(format!(
            "{}: cannot be written: {error}; choose another --output",
            path.display()
        ))
    })
}

fn write_all(
    model: &ModelFile,
    rows: &mut Rows,
    mut writer: Writer<impl Write>,
) -> anyhow::Result<()> {
    let predictor = load(model)?;
    writer.header()?;
    loop {
        let inputs = rows.next(ROWS)?;
        if inputs.is_empty() {
            break;
        }
        let count = inputs.len() / rows.elements();
        let outputs = pollster::block_on(predictor.predict(&inputs, count))?;
        for row in outputs.chunks_exact(outputs.len() / count) {
            writer.row(row)?;
        }
        writer.flush()?;
    }
    Ok(writer.flush()?)
}

fn load(model: &ModelFile) -> anyhow::Result<Predictor> {
    let mut predictor = Predictor::empty(&model.plan, &model::cpu());
    predictor.load(&model.parameters).context("the model cannot be loaded")?;
    Ok(predictor)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().map(io::Error::kind)
    };
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}
