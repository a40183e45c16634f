//! What the verbs are asked that look at models, at this machine and at the command line itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::EXIT_CODES;

pub(super) const MODEL_EXAMPLES: &str = "\
Example:
  herd model show mnist-cnn                   the layers of a preset";

const MODEL_SHOW_EXAMPLES: &str = "\
Examples:
  herd model show job.toml                    the model of a job
  herd model show runs/x/best.safetensors     the one in a model file
  herd model show latest --json               the one of a run

Multiply-adds are those of one sample on its way from the input to the output; training takes about
three times as many. A dense or conv2d node has as many as products, rescaling and
batch_normalization one for each value; additions, functions and pooling are not counted.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  herd doctor                                 one line for each thing, with the remedy
  herd doctor --json

Exit code 1 says that something keeps Herd from training here; warnings do not.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  herd completions bash > ~/.local/share/bash-completion/completions/herd
  herd completions fish > ~/.config/fish/completions/herd.fish
  herd completions zsh > ~/.zfunc/_herd       with ~/.zfunc in $fpath";

const MAN_EXAMPLES: &str = "\
Examples:
  herd man | man -l -                         read the main page
  herd man --dir ~/.local/share/man/man1      one page for each verb, for `man herd-train`";

/// `herd model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show a model's layers, their output shapes, parameters and multiply-adds
    Show(ModelShowArgs),
}

/// `herd model show`.
#[derive(Debug, Args)]
#[command(after_help = format!("{MODEL_SHOW_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct ModelShowArgs {
    /// Job file, preset, model file (.safetensors, or a spec in .toml or .json), or run
    #[arg(value_name = "SPEC")]
    pub spec: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `herd doctor`.
#[derive(Debug, Args)]
#[command(after_help = format!("{DOCTOR_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print the GPU adapters as JSON: asked in a process of its own, as a driver may end it
    #[arg(long, hide = true)]
    pub adapters: bool,
}

/// `herd completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArgs {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    pub shell: Shell,
}

/// `herd man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Write all pages into this folder, made if it is not there, over those of before
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}
