//! `herd runs list`: the runs of a folder, newest first.

use std::path::{Path, PathBuf};

use super::entry::{Entry, missing};
use crate::cli::{Failure, ListArgs, aligned, answer};
use crate::storage::RUNS;
use crate::train::{grouped, percent};

/// Runs `herd runs list`.
///
/// # Errors
/// When the folder is named and not there, or cannot be read.
pub fn list(args: &ListArgs) -> anyhow::Result<()> {
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(RUNS));
    let runs = match (folder.is_dir(), &args.folder) {
        (true, _) => Entry::all(&folder)?,
        // The default folder is made by the first run: without it there are no runs yet.
        (false, None) => Vec::new(),
        (false, Some(folder)) => {
            let folder = folder.display();
            let message = format!("{folder}: there is no such folder; give one that holds runs");
            return Err(Failure::Data(message).into());
        }
    };
    let text = if args.json {
        format!("{}\n", serde_json::json!({ "runs": runs }))
    } else {
        text(&folder, &runs)
    };
    Ok(answer(&text)?)
}

fn text(folder: &Path, runs: &[Entry]) -> String {
    if runs.is_empty() {
        return format!("no runs in {} yet; `herd train` makes one\n", folder.display());
    }
    let heads = ["run", "started (UTC)", "state", "epochs", "samples"];
    let quality = if runs.iter().any(|run| run.best_mae.is_some()) {
        &["accuracy", "mae", "loss"][..]
    } else {
        &["accuracy", "loss"]
    };
    let heads = heads.iter().chain(quality).chain(&["parameters"]);
    let mut table = vec![heads.map(|head| (*head).to_owned()).collect::<Vec<_>>()];
    for run in runs {
        let decimals = |value: Option<f64>| value.map_or_else(missing, |it| format!("{it:.4}"));
        let mut cells = vec![
            run.run.clone(),
            run.started_text(),
            run.state.to_string(),
            run.epochs_text(),
            grouped(run.samples),
            run.best_accuracy.map_or_else(missing, percent),
        ];
        if quality.len() > 2 {
            cells.push(decimals(run.best_mae));
        }
        cells.push(decimals(run.best_loss));
        cells.push(run.parameters.map_or_else(missing, grouped));
        table.push(cells);
    }
    let mut text = aligned(&table);
    for problem in runs.iter().filter_map(|run| run.problem.as_ref()) {
        text.push_str(&format!("{problem}\n"));
    }
    text
}
