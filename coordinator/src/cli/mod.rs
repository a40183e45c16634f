//! The command line as the user types it; `config` makes a job of it.

mod answer;
mod data;
mod failure;
mod pages;
mod parse;
mod runs;
mod table;
mod tokens;
mod tools;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Setting, preset};

pub use answer::answer;
pub use data::{CheckArgs, DataCommand, NewArgs};
pub use failure::{EXIT_BUG, Failure, exit_code};
pub use pages::{completions, man};
pub use parse::parse;
pub use runs::{CompareArgs, ExportArgs, ListArgs, RemoveArgs};
pub use tokens::{TokenCommand, TokenListArgs, TokenMakeArgs, TokenRevokeArgs};
pub use tools::{CompletionsArgs, DoctorArgs, ManArgs, ModelCommand, ModelShowArgs};

pub(crate) use table::{aligned, aligned_as};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 target not met, 2 usage or configuration, 3 data or files,
4 network, 70 a bug in herd, 130 stopped by Ctrl-C, 143 by SIGTERM.";

const EXAMPLES: &str = "\
Examples:
  herd train                                  train the default job on this machine
  herd runs list                              what has been trained here
  herd predict latest flowers.csv             what the newest model makes of data
  herd doctor                                 whether this machine is ready";

const WORKER_EXAMPLES: &str = "\
Examples:
  herd worker ws://192.168.1.20:7700 --token TOKEN
  herd worker wss://192.168.1.20:7700 --token TOKEN --fingerprint SHA256

Exit codes: 0 the run ended (with --once) or the parent is gone, 2 wrong usage or refused by the
coordinator, 4 the coordinator was lost (with --once), 70 a bug.";

const TRAIN_EXAMPLES: &str = "\
Examples:
  herd train                                  the default job with two local workers
  herd train iris.toml --epochs 50            a job file; the flag beats the file
  herd train --set training.codec=f32         any key of a job
  herd train --workers 0 --listen 0.0.0.0:8080 --tls self-signed   wait for workers from elsewhere
  herd train --resume                         go on with the newest run where it was

Precedence: default < preset < job file < environment (HERD_EPOCHS=5) < flag.";

const PREDICT_EXAMPLES: &str = "\
Examples:
  herd predict latest flowers.csv             the run that was last
  herd predict runs/x/best.safetensors digits --format jsonl
  cat flowers.csv | herd predict latest -     DATA from standard input

DATA is a CSV file with the model's feature columns (others are ignored), an IDX file of images
(plain or .gz), the name of an embedded data set (its test rows), or - for CSV on standard input.
The order of the rows is kept.";

const EVALUATE_EXAMPLES: &str = "\
Examples:
  herd evaluate latest                        on the test rows of the run's job
  herd evaluate latest flowers.csv --json

DATA is a CSV file with the label column, or the name of an embedded data set (its test rows).";

const RUNS_EXAMPLES: &str = "\
Examples:
  herd runs list                              all runs in the folder runs
  herd runs show latest                       the numbers of the newest one

RUN is a run folder, the name of one in the folder runs, or `latest`.";

const SHOW_EXAMPLES: &str = "\
Examples:
  herd runs show latest                       the run that was last, going on or not
  herd runs show runs/x --json

The numbers are those of the newest checkpoint. Exit code 1 says that ledger, checkpoint and metrics
differ, or that a sample of a complete epoch is not counted exactly once.";

/// Trains one neural network on whatever computers turn up.
#[derive(Debug, Parser)]
#[command(name = "herd", version, max_term_width = 100)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a job file for data
    New(NewArgs),
    /// Look at data
    #[command(subcommand, after_help = data::DATA_EXAMPLES)]
    Data(DataCommand),
    /// Train a model, with local workers and those that connect
    Train(Box<TrainArgs>),
    /// Say what a model makes of data
    Predict(PredictArgs),
    /// Measure a model on data whose answers are known
    Evaluate(EvaluateArgs),
    /// Look at runs, compare, export and delete them
    #[command(subcommand, after_help = RUNS_EXAMPLES)]
    Runs(RunsCommand),
    /// Make, list and revoke tokens: who may join, watch and control a run
    #[command(subcommand, after_help = tokens::TOKEN_EXAMPLES)]
    Token(TokenCommand),
    /// Look at models
    #[command(subcommand, after_help = tools::MODEL_EXAMPLES)]
    Model(ModelCommand),
    /// Train for a coordinator with this machine's processor, as `herd-worker` does
    #[command(after_help = WORKER_EXAMPLES)]
    Worker(worker_native::Arguments),
    /// Look whether this machine has what Herd needs
    Doctor(DoctorArgs),
    /// Print the script that completes commands in a shell
    Completions(CompletionsArgs),
    /// Print the manual, or write it as pages for `man`
    Man(ManArgs),
}

/// `herd runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List(ListArgs),
    /// Show a run's numbers, computed anew from its ledger, and whether they are exact
    Show(ShowArgs),
    /// Show what differs in the jobs of runs, and what came of each
    Compare(CompareArgs),
    /// Delete runs
    Rm(RemoveArgs),
    /// Copy a run's model, metrics and job to a place of their own
    Export(ExportArgs),
}

/// `herd train`. Values are text here; they are checked together with the other layers.
#[derive(Debug, Default, Args)]
#[command(allow_negative_numbers = true)] // A negative value gets the answer of its key.
#[command(after_help = format!("{TRAIN_EXAMPLES}\nPresets (--set preset=NAME): {}.\n\n{EXIT_CODES}", preset::names().join(", ")))]
pub struct TrainArgs {
    /// Job file; without it the default job
    #[arg(value_name = "JOB.toml")]
    pub job: Option<PathBuf>,
    /// Local worker processes; 0 = only those that connect
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// Start when so many workers are there
    #[arg(long, value_name = "N")]
    pub min_workers: Option<String>,
    /// asynchronous, synchronous or hogwild
    #[arg(long)]
    pub mode: Option<String>,
    /// Trained between pull and push: auto, batch, steps=N or epoch
    #[arg(long)]
    pub frequency: Option<String>,
    /// Merge rule: auto, nesterov, staleness, mean or sum
    #[arg(long)]
    pub strategy: Option<String>,
    /// Tensors on the wire: f16 or f32
    #[arg(long)]
    pub codec: Option<String>,
    /// How often each training row is used
    #[arg(long, value_name = "N")]
    pub epochs: Option<String>,
    /// Rows of one step
    #[arg(long, value_name = "N")]
    pub batch_size: Option<String>,
    /// Step size of the optimizer
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<String>,
    /// sgd, adam or adamw; another than the job's starts from its own defaults
    #[arg(long, value_name = "TYPE")]
    pub optimizer: Option<String>,
    /// Part of the training rows that validates; 0 = none, and the last model is the result
    #[arg(long, value_name = "PART")]
    pub validation_split: Option<String>,
    /// Decides split, order, first parameters and dropout
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Start from this model file
    #[arg(long, value_name = "MODEL")]
    pub init: Option<String>,
    /// Local workers compute on: auto, cpu, wgpu or cuda
    #[arg(long)]
    pub device: Option<String>,
    /// Address to listen on; port 0 = any free one
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Encrypt connections: self-signed makes a certificate for the run and prints its fingerprint
    #[arg(long, value_name = "self-signed")]
    pub tls: Option<String>,
    /// Encrypt connections with the certificate in this PEM file; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// Its private key; default: in the same file
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// A proxy whose X-Forwarded-For and -Proto are believed; may stand several times
    #[arg(long, value_name = "ADDRESS[/PREFIX]")]
    pub trusted_proxy: Vec<String>,
    /// A name by which browsers and workers reach this machine; may stand several times
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// Do not warn when others can reach the port and nothing is encrypted
    #[arg(long)]
    pub insecure: bool,
    /// Serve the page so long after the end while a browser has it open; default: 600
    #[arg(long, value_name = "SECONDS")]
    pub linger: Option<String>,
    /// Folder of this run; default: runs/TIME_NAME
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<String>,
    /// Name of the run
    #[arg(long)]
    pub name: Option<String>,
    /// End when validation reaches this, as accuracy=0.95, loss=0.1 or mae=2; else exit code 1
    #[arg(long, value_name = "METRIC=VALUE")]
    pub target: Option<String>,
    /// End after so much training, as 90s, 10m or 1h30m
    #[arg(long, value_name = "TIME")]
    pub max_time: Option<String>,
    /// End when the validation loss has not improved for so many epochs; also as accuracy=5
    #[arg(long, value_name = "EPOCHS")]
    pub early_stopping: Option<String>,
    /// Any key of a job, as training.epochs=5; may stand several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Synchronous, and no trace of who was faster: the same job gives the same model
    #[arg(long)]
    pub deterministic: bool,
    /// Go on with a run from its last checkpoint; without RUN the newest one
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "latest")]
    #[arg(conflicts_with_all = ["job", "dry_run"])]
    pub resume: Option<PathBuf>,
    /// Write event files for TensorBoard; without DIR into the run's folder `tensorboard`
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<Option<PathBuf>>,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object at the end on standard output
    #[arg(long)]
    pub json: bool,
}

impl TrainArgs {
    /// The flags that set keys of the job; `--set` comes last and so wins.
    ///
    /// # Errors
    /// When a `--set` is not KEY=VALUE.
    pub fn settings(&self) -> Result<Vec<Setting>, Failure> {
        let named = [
            ("workers", &self.workers),
            ("min_workers", &self.min_workers),
            ("mode", &self.mode),
            ("frequency", &self.frequency),
            ("strategy", &self.strategy),
            ("codec", &self.codec),
            ("epochs", &self.epochs),
            ("batch_size", &self.batch_size),
            ("learning_rate", &self.learning_rate),
            ("optimizer", &self.optimizer),
            ("validation_split", &self.validation_split),
            ("seed", &self.seed),
            ("init", &self.init),
            ("device", &self.device),
            ("listen", &self.listen),
            ("tls", &self.tls),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("linger", &self.linger),
            ("run_dir", &self.run_dir),
            ("name", &self.name),
            ("target", &self.target),
            ("max_time", &self.max_time),
            ("early_stopping", &self.early_stopping),
        ];
        let mut settings: Vec<Setting> = named
            .into_iter()
            .filter_map(|(key, text)| {
                let flag = format!("--{}", key.replace('_', "-"));
                Some(Setting { flag, key: key.to_owned(), text: text.clone()? })
            })
            .collect();
        if self.deterministic {
            let flag = "--deterministic".to_owned();
            let setting = |key: &str, text: &str| Setting {
                flag: flag.clone(),
                key: key.to_owned(),
                text: text.to_owned(),
            };
            settings.push(setting("deterministic", "true"));
            if self.mode.is_none() {
                settings.push(setting("mode", "synchronous"));
            }
        }
        settings.extend(self.lists());
        for text in &self.set {
            let Some((key, value)) = text.split_once('=') else {
                let message = format!("--set {text}: write KEY=VALUE, such as training.epochs=5");
                return Err(Failure::Usage(message));
            };
            settings.push(Setting {
                flag: format!("--set {text}"),
                key: key.trim().to_owned(),
                text: value.trim().to_owned(),
            });
        }
        Ok(settings)
    }
}

impl TrainArgs {
    /// The flags that may stand several times, and the one that has no value.
    fn lists(&self) -> impl Iterator<Item = Setting> {
        let lists = [
            ("--trusted-proxy", "trusted_proxies", self.trusted_proxy.join(",")),
            ("--allow-host", "allow_hosts", self.allow_host.join(",")),
            ("--insecure", "insecure", if self.insecure { "true" } else { "" }.to_owned()),
        ];
        let given = lists.into_iter().filter(|(_, _, text)| !text.is_empty());
        given.map(|(flag, key, text)| Setting { flag: flag.to_owned(), key: key.to_owned(), text })
    }
}

/// How predictions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header, then one line a row
    Csv,
    /// One JSON object a row
    Jsonl,
}

/// `herd predict`.
#[derive(Debug, Args)]
#[command(after_help = format!("{PREDICT_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct PredictArgs {
    /// Run folder, `latest`, or model file (.safetensors)
    #[arg(value_name = "RUN|MODEL")]
    pub model: PathBuf,
    /// What to predict
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// How to write predictions: csv, or jsonl (one JSON object a row)
    #[arg(long, value_enum, default_value = "csv", hide_possible_values = true)]
    pub format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `herd evaluate`.
#[derive(Debug, Args)]
#[command(after_help = format!("{EVALUATE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct EvaluateArgs {
    /// Run folder, `latest`, or model file (.safetensors)
    #[arg(value_name = "RUN|MODEL")]
    pub model: PathBuf,
    /// What to evaluate on; without it the test rows of the run's job
    #[arg(value_name = "DATA")]
    pub data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `herd runs show`.
#[derive(Debug, Args)]
#[command(after_help = format!("{SHOW_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct ShowArgs {
    /// Run folder, or `latest`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print all epochs, not only the last 20
    #[arg(long)]
    pub all: bool,
}
