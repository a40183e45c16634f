//! What `herd runs` is asked, but for `herd runs show`.

use std::path::PathBuf;

use clap::Args;

use super::EXIT_CODES;

const LIST_EXAMPLES: &str = "\
Examples:
  herd runs list                              all runs in the folder runs
  herd runs list /data/runs --json            those of another folder, for programs

States: running, done, resumable (`herd train --resume RUN` goes on with it), stopped (it does not).
Samples are those up to the newest checkpoint or epoch, accuracy and loss those of validation in the
best epoch.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  herd runs compare latest runs/x             what differs in their jobs, and what came of it
  herd runs compare a b c --json";

const REMOVE_EXAMPLES: &str = "\
Examples:
  herd runs rm 2026-11-25T15-11-43_mnist-cnn  delete a run of the folder runs
  herd runs rm runs/x runs/y                  delete several, or none if one of them cannot be

Nothing is asked. What Herd did not write stays. A run that is going on is not deleted: stop it first.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  herd runs export latest --to digits         a folder to give away
  herd runs export latest --to digits.safetensors
  herd runs export latest --to epochs.csv     only the metrics, as a table

The folder holds model.safetensors, metrics.csv, metrics.json and job.toml; as RUN|MODEL of `herd
predict` and `herd evaluate` it stands for its model. The model is the best one, else the last.
Data are not copied, job.toml names them. A file that ends in .safetensors, .csv, .json or .toml
takes that one part.";

/// `herd runs list`.
#[derive(Debug, Args)]
#[command(after_help = format!("{LIST_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct ListArgs {
    /// Folder of runs; default: runs
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `herd runs compare`.
#[derive(Debug, Args)]
#[command(after_help = format!("{COMPARE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct CompareArgs {
    /// Run folders or names, or `latest`; two or more
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    pub runs: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `herd runs rm`.
#[derive(Debug, Args)]
#[command(after_help = format!("{REMOVE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct RemoveArgs {
    /// Run folders or names, or `latest`
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
}

/// `herd runs export`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXPORT_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct ExportArgs {
    /// Run folder or name, or `latest`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Folder to write to, made if it is not there; or one file
    #[arg(long, value_name = "FOLDER|FILE")]
    pub to: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    pub force: bool,
}
