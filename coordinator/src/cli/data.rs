//! `herd new` and `herd data`, as the user types them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::EXIT_CODES;
use crate::survey::Task;

const NEW_EXAMPLES: &str = "\
Examples:
  herd new iris.csv --label species           writes job.toml
  herd new houses.csv --label price --out houses.toml
  herd new images.gz --label labels.gz --out -   two IDX files; to standard output

The job trains as it stands: herd train job.toml. It says what each key is for.";

const CHECK_EXAMPLES: &str = "\
Examples:
  herd data check flowers.csv --label species
  herd data check images.gz --label labels.gz --json

FILE is a CSV file with a header, an IDX file of images (plain or .gz), or the name of an
embedded data set. Exit code 3 says that it cannot be used as it stands; each problem has a
remedy.";

pub(super) const DATA_EXAMPLES: &str = "\
Example:
  herd data check flowers.csv --label species";

/// `herd new`.
#[derive(Debug, Args)]
#[command(after_help = format!("{NEW_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct NewArgs {
    /// CSV file with a header, IDX file of images, or name of an embedded data set
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// Column to predict; of images the IDX file of their labels
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Job file to write; - is standard output
    #[arg(long, value_name = "FILE", default_value = "job.toml")]
    pub out: PathBuf,
    /// What a column of numbers means: classification or regression; default: by its values
    #[arg(long, value_enum, hide_possible_values = true)]
    pub task: Option<Task>,
}

/// `herd data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Say what a data file holds, and what is wrong with it
    Check(CheckArgs),
}

/// `herd data check`.
#[derive(Debug, Args)]
#[command(after_help = format!("{CHECK_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct CheckArgs {
    /// CSV file with a header, IDX file of images, or name of an embedded data set
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Column to predict; of images the IDX file of their labels
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
