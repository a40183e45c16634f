//! A resolved, checked job.

use std::fmt;
use std::path::PathBuf;

use engine::{Frequency, Mode, Schedule, Strategy};
use protocol::Codec;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::error::ConfigError;
use super::reader::Reader;
use super::server::{self, ServerSection};
use super::tree::Tree;
use crate::data::{ClassWeights, Columns, Division, Scaling, Source};
use crate::goals::{Patience, Quality, Span, Target};

/// Most epochs of a run: more is a slip of the keyboard.
const EPOCHS_MAX: u32 = 1_000_000;

/// Most rows of a batch: more fits into no device's memory.
const BATCH_SIZE_MAX: u32 = 1 << 20;

/// Most local worker processes: far more than a machine has cores.
const WORKERS_MAX: u32 = 1024;

/// An hour: more work is not to be lost.
const CHECKPOINT_MAX: u32 = 3600;

/// A day.
const LINGER_MAX: u32 = 86_400;

/// Longest name of a run; it becomes part of a folder's name.
const NAME_BYTES_MAX: usize = 64;

/// Everything that a run is made from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// Name of the run.
    pub name: String,
    /// Decides split, order, first parameters and dropout.
    pub seed: u64,
    /// A model file to start from.
    #[serde(serialize_with = "path_or_none")]
    pub init: Option<PathBuf>,
    /// Folder of the run; `None` = a new one under `runs`.
    #[serde(serialize_with = "path_or_none")]
    pub run_dir: Option<PathBuf>,
    /// Rows.
    pub data: DataSection,
    /// How it is trained.
    pub training: TrainingSection,
    /// Who trains.
    pub fleet: FleetSection,
    /// How the coordinator is reached.
    pub server: ServerSection,
    /// The network, loss, metrics and inner optimizer.
    pub model: model::Spec,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataSection {
    /// Rows to train on.
    #[serde(serialize_with = "source")]
    pub source: Source,
    /// Rows to test on.
    #[serde(serialize_with = "source_or_none")]
    pub test: Option<Source>,
    /// The column of the target in a CSV file; empty for other sources.
    pub label: String,
    /// Columns of a CSV file that hold words.
    pub categorical: Vec<String>,
    /// Columns of a CSV file that are no inputs.
    pub ignore: Vec<String>,
    /// How inputs are scaled.
    pub scaling: Scaling,
    /// Part of the training rows that validates.
    pub validation_split: f64,
    /// Part of the rows that tests when `test` is not given.
    pub test_split: f64,
}

/// How a run is trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingSection {
    /// Synchronous, asynchronous or hogwild.
    pub mode: Mode,
    /// How much is trained between pull and push.
    pub frequency: Frequency,
    /// How deltas become master.
    pub strategy: Strategy,
    /// How tensors travel.
    pub codec: Codec,
    /// How often each row is used.
    pub epochs: u32,
    /// Rows of one step.
    pub batch_size: u32,
    /// Learning rate over the run.
    pub schedule: Schedule,
    /// No trace of which worker was faster.
    pub deterministic: bool,
    /// Least seconds between two checkpoints.
    pub checkpoint_interval: u32,
    /// Epochs that may pass without progress.
    #[serde(serialize_with = "text_or_none")]
    pub early_stopping: Option<Patience>,
    /// What validation is to reach.
    #[serde(serialize_with = "text_or_none")]
    pub target: Option<Target>,
    /// Longest time of training.
    #[serde(serialize_with = "text_or_none")]
    pub max_time: Option<Span>,
    /// How much the rows of each class count.
    pub class_weights: ClassWeights,
}

/// Who trains, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetSection {
    /// Local worker processes to start.
    pub workers: u32,
    /// Workers that must be there before training starts; 0 = as many as local ones.
    pub min_workers: u32,
    /// Where local workers compute.
    pub device: Device,
    /// `HOST:PORT` to listen on; port 0 = any free one.
    pub listen: String,
    /// Seconds for which the page is still served after the end, while a browser is there.
    pub linger: u32,
}

impl FleetSection {
    /// Workers that must be there before training starts, at least one.
    #[must_use]
    pub fn workers_at_start(&self) -> u32 {
        if self.min_workers > 0 { self.min_workers } else { self.workers.max(1) }
    }
}

/// Where a worker computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The faster one, by measurement.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU through Vulkan, Metal, DirectX or WebGPU.
    Wgpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

impl Job {
    /// Reads and checks the merged layers; `name` is the run's if none is set.
    pub(super) fn from_tree(tree: &Tree, name: &str) -> Result<Self, ConfigError> {
        let reader = Reader::new(tree);
        let name = reader.text("name")?.unwrap_or_else(|| tidy(name));
        if name != tidy(&name) {
            let problem = format!(
                "\"{name}\" must be at most {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`, \
                 as it becomes the name of a folder"
            );
            return Err(reader.fail("name", problem));
        }
        let job = Self {
            name,
            seed: reader.integer("seed", 0..=i64::MAX as u64)?,
            init: reader.path("init")?,
            run_dir: reader.path("run_dir")?,
            model: reader.model()?,
            data: data(&reader)?,
            training: training(&reader)?,
            fleet: fleet(&reader)?,
            server: server::server(&reader)?,
        };
        job.check_goals(&reader)?;
        Ok(job)
    }

    /// Refuses goals that nothing measures.
    fn check_goals(&self, reader: &Reader<'_>) -> Result<(), ConfigError> {
        let TrainingSection { target, early_stopping, .. } = &self.training;
        let asked = [
            ("training.target", target.map(|target| target.quality)),
            ("training.early_stopping", early_stopping.map(|patience| patience.quality)),
        ];
        for (key, quality) in asked {
            let Some(quality) = quality else { continue };
            if self.data.validation_split == 0.0 {
                let problem = "needs rows to validate on: set data.validation_split above 0";
                return Err(reader.fail(key, problem));
            }
            let loss = self.model.loss;
            let problem = match (quality, loss.is_cross_entropy()) {
                (Quality::Accuracy, false) => "has no accuracy: use mae or loss",
                (Quality::Mae, true) => "has no mae: use accuracy or loss",
                _ => continue,
            };
            return Err(reader.fail(key, format!("a model with loss {} {problem}", loss.name())));
        }
        Ok(())
    }

    /// Where the rows come from and how they are divided.
    #[must_use]
    pub fn division(&self) -> Division<'_> {
        let DataSection { source, test, validation_split, test_split, .. } = &self.data;
        let DataSection { label, categorical, ignore, .. } = &self.data;
        Division {
            source,
            test: test.as_ref(),
            columns: Columns { label, categorical, ignore },
            validation_split: *validation_split,
            test_split: *test_split,
            seed: self.seed,
        }
    }

    /// The job as a job file: every key, and nothing that depends on a preset or folder.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("invariant: a job has text keys and numbers of 63 bits")
    }
}

/// A name that can be part of a folder's name on any system.
fn tidy(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let text: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let text = text.trim_start_matches('.');
    text[..text.len().min(NAME_BYTES_MAX)].to_owned()
}

fn data(reader: &Reader<'_>) -> Result<DataSection, ConfigError> {
    let source = reader.source("data.source")?.ok_or_else(|| ConfigError::Incomplete {
        what: "data",
        remedy: "set data.source to a CSV file, to two IDX files, or to an embedded data set"
            .to_owned(),
    })?;
    let section = DataSection {
        source,
        test: reader.source("data.test")?,
        label: reader.text("data.label")?.unwrap_or_default(),
        categorical: reader.names("data.categorical")?,
        ignore: reader.names("data.ignore")?,
        scaling: reader.typed("data.scaling")?,
        validation_split: reader.fraction("data.validation_split")?,
        test_split: reader.fraction("data.test_split")?,
    };
    if section.test.is_some() && section.test_split > 0.0 {
        let problem = "must be 0 when `data.test` is given: there are rows to test on already";
        return Err(reader.fail("data.test_split", problem));
    }
    let tables = [Some(&section.source), section.test.as_ref()];
    let needs_label = tables.iter().any(|source| matches!(source, Some(Source::Table(_))));
    if needs_label && section.label.is_empty() {
        let problem = "is missing: a CSV file needs the name of the column to predict";
        return Err(reader.fail("data.label", problem));
    }
    Ok(section)
}

fn training(reader: &Reader<'_>) -> Result<TrainingSection, ConfigError> {
    Ok(TrainingSection {
        mode: reader.typed("training.mode")?,
        frequency: reader.typed("training.frequency")?,
        strategy: reader.typed("training.strategy")?,
        codec: reader.typed("training.codec")?,
        epochs: reader.count("training.epochs", 1..=EPOCHS_MAX)?,
        batch_size: reader.count("training.batch_size", 1..=BATCH_SIZE_MAX)?,
        schedule: reader.typed("training.schedule")?,
        deterministic: reader.typed("training.deterministic")?,
        checkpoint_interval: reader.count("training.checkpoint_interval", 1..=CHECKPOINT_MAX)?,
        early_stopping: reader.optional("training.early_stopping")?,
        target: reader.optional("training.target")?,
        max_time: reader.optional("training.max_time")?,
        class_weights: reader.class_weights("training.class_weights")?,
    })
}

fn fleet(reader: &Reader<'_>) -> Result<FleetSection, ConfigError> {
    let listen = reader.text("fleet.listen")?.unwrap_or_default();
    let port = listen
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok()).flatten());
    if port.is_none() {
        let problem = format!("\"{listen}\" is not HOST:PORT, such as 127.0.0.1:8080");
        return Err(reader.fail("fleet.listen", problem));
    }
    Ok(FleetSection {
        workers: reader.count("fleet.workers", 0..=WORKERS_MAX)?,
        min_workers: reader.count("fleet.min_workers", 0..=WORKERS_MAX)?,
        device: reader.typed("fleet.device")?,
        listen,
        linger: reader.count("fleet.linger", 0..=LINGER_MAX)?,
    })
}

// TOML has no null: "" stands for none, as in the defaults.
pub(super) fn path_or_none<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = path.as_ref().map(|path| path.to_string_lossy()).unwrap_or_default();
    serializer.serialize_str(&text)
}

fn text_or_none<S: Serializer>(
    text: &Option<impl fmt::Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(present) => serializer.collect_str(present),
        None => serializer.serialize_str(""),
    }
}

fn source_or_none<S: Serializer>(
    source_or_none: &Option<Source>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match source_or_none {
        Some(present) => source(present, serializer),
        None => serializer.serialize_str(""),
    }
}

fn source<S: Serializer>(source: &Source, serializer: S) -> Result<S::Ok, S::Error> {
    match source {
        Source::Embedded(name) => serializer.serialize_str(name),
        Source::Table(path) => serializer.serialize_str(&path.to_string_lossy()),
        Source::Idx { images, labels } => {
            let mut map = serializer.serialize_map(Some(2))?;
            map.serialize_entry("images", &images.to_string_lossy())?;
            map.serialize_entry("labels", &labels.to_string_lossy())?;
            map.end()
        }
    }
}
