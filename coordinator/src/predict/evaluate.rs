//! `herd evaluate`: loss, accuracy and mean absolute error of a stored model.

use std::path::Path;

use model::{Batch, Metrics, Predictor};
use serde::Serialize;

use super::ROWS;
use super::rows::columns;
use crate::cli::{EvaluateArgs, Failure, answer};
use crate::config;
use crate::data::embedded::{self, Part};
use crate::data::{Columns, Dataset, LabelKind, Source, Splits, batches};
use crate::storage::{Found, ModelFile, find};

/// What a model reaches on rows whose answers are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows.
    pub count: u64,
    /// Mean loss of a row.
    pub loss: f64,
    /// Share of rows whose class is right; only for classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Mean absolute difference; only for values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
}

impl Evaluation {
    /// The means of sums; accuracy for a loss that compares classes, else the absolute error.
    #[must_use]
    pub fn of(metrics: &Metrics, loss: model::Loss) -> Self {
        let classes = loss.is_cross_entropy();
        Self {
            count: metrics.count,
            loss: metrics.loss(),
            accuracy: classes.then(|| metrics.accuracy()),
            mae: (!classes).then(|| metrics.mae()),
        }
    }
}

/// Runs `herd evaluate`.
///
/// # Errors
/// When model or data are missing, damaged or do not fit each other, or the output fails.
pub fn evaluate(args: &EvaluateArgs) -> anyhow::Result<()> {
    let found = find(&args.model)?;
    let model = ModelFile::read(&found.model)?;
    let dataset = match &args.data {
        Some(path) => given(path, &model)?,
        None => test_rows(&found)?,
    };
    dataset.check(&model.plan)?;
    let predictor = super::load(&model)?;
    let metrics = evaluation(&predictor, batches(&dataset, ROWS))?;
    let evaluation = Evaluation::of(&metrics, model.plan.spec().loss);
    let text = if args.json { serde_json::to_string(&evaluation)? } else { evaluation.to_string() };
    Ok(answer(&format!("{text}\n"))?)
}

/// The summed metrics of all batches.
///
/// # Errors
/// When a batch does not fit the model, or the device fails.
pub fn evaluation(
    predictor: &Predictor,
    batches: impl IntoIterator<Item = Batch>,
) -> Result<Metrics, model::Error> {
    let mut sums = Metrics::default();
    for batch in batches {
        sums.merge(&pollster::block_on(predictor.evaluate(&batch))?);
    }
    Ok(sums)
}

fn given(path: &Path, model: &ModelFile) -> anyhow::Result<Dataset> {
    let name = path.display().to_string();
    let source = if embedded::contains(&name) {
        Source::Embedded(name)
    } else {
        columns(&name, model)?;
        Source::Table(path.to_owned())
    };
    let kind = LabelKind::of(model.plan.spec().loss);
    let names = &model.names;
    let label = Columns::numbers(&names.label);
    Ok(crate::data::read(&source, Part::Test, label, kind, Some(names))?)
}

/// The test rows of the run's own job, divided as they were then.
fn test_rows(found: &Found) -> anyhow::Result<Dataset> {
    let Some(config) = &found.config else {
        let message = format!(
            "{}: there is no run beside this model to take test rows from; name DATA",
            found.model.display()
        );
        return Err(Failure::Usage(message).into());
    };
    let job = config::resolve(Some(config), &[], &[])?;
    let splits = Splits::load(job.division(), LabelKind::of(job.model.loss))?;
    splits.test.ok_or_else(|| {
        let message = format!("{}: this job has no test rows; name DATA", config.display());
        Failure::Usage(message).into()
    })
}

impl std::fmt::Display for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows: loss {:.4}", self.count, self.loss)?;
        if let Some(accuracy) = self.accuracy {
            write!(f, ", accuracy {accuracy:.4}")?;
        }
        if let Some(mae) = self.mae {
            write!(f, ", mean absolute error {mae:.4}")?;
        }
        Ok(())
    }
}
