//! The text of a new job file.

use std::path::{Path, PathBuf};

use crate::survey::{Column, Role, Survey, Task, quoted};

/// How the job file calls the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By the name of an embedded data set.
    Embedded(String),
    /// By paths.
    Files {
        /// The CSV file, or the IDX file of images.
        data: PathBuf,
        /// The IDX file of labels; of a CSV file, what its label is called, which is no path.
        labels: Option<PathBuf>,
    },
}

/// Part of the rows that tests.
const TEST: f64 = 0.2;

/// Part of the rest that validates.
const VALIDATION: f64 = 0.2;

/// Optimizer steps in which a small network learns what a small table can teach.
const STEPS: u64 = 4000;

/// Epochs of a new job, however few or many rows there are.
const EPOCHS: std::ops::RangeInclusive<u64> = 20..=200;

/// More inputs than this are scaled by whoever makes the file: workers are told two numbers of each.
const SCALED_MAX: u64 = 3000;

/// Rows from which on a second layer has enough to learn from.
const ROWS_MANY: u64 = 2000;

/// What the numbers of a job follow from.
struct Sizes {
    inputs: u64,
    units: u64,
    layers: u64,
    batch: u64,
    epochs: u64,
    patience: u64,
}

impl Sizes {
    fn of(survey: &Survey) -> Self {
        let inputs = inputs(survey);
        let rows = survey.scan.rows;
        let units = match inputs {
            0..=16 => 32,
            17..=64 => 64,
            _ => 128,
        };
        let batch = match rows {
            0..1000 => 16,
            1000..10_000 => 32,
            _ => 64,
        };
        let trained = (rows as f64 * (1.0 - TEST) * (1.0 - VALIDATION)).max(1.0) as u64;
        let epochs = (STEPS * batch / trained).clamp(*EPOCHS.start(), *EPOCHS.end());
        let layers = if rows < ROWS_MANY { 1 } else { 2 };
        Self { inputs, units, layers, batch, epochs, patience: (epochs / 5).max(5) }
    }
}

/// Values of one sample.
fn inputs(survey: &Survey) -> u64 {
    if !survey.scan.shape.is_empty() {
        return survey.scan.shape.iter().map(|side| u64::from(*side)).product();
    }
    let columns = survey.scan.columns.iter().zip(&survey.roles);
    let values = columns.map(|(column, role)| match role {
        Role::Number => 1,
        Role::Words => column.distinct().unwrap_or(1) as u64,
        Role::Label | Role::Ignored(_) => 0,
    });
    values.sum()
}

/// The job file of a survey without errors.
#[must_use]
pub fn text(survey: &Survey, task: Task, place: &Place, out: &str) -> String {
    let sizes = Sizes::of(survey);
    let name = match place {
        Place::Embedded(name) => name.clone(),
        Place::Files { data, .. } => stem(data),
    };
    let what = match task {
        Task::Classification => "classes",
        Task::Regression => "numbers",
    };
    format!(
        "# Predicts {what} from {} rows. Made by `herd new`; all of it may be changed.\n#\n\
         #   herd train {out} --target {}\n\
         #   herd predict latest ROWS\n\n\
         name = {}\n\
         # Decides which rows test and validate, the order of the others, and the first parameters.\n\
         seed = 1\n\n{}\n{}\n{}",
        survey.scan.rows,
        match task {
            Task::Classification => "accuracy=0.9",
            Task::Regression => "mae=1.0",
        },
        quoted(&name),
        data(survey, task, place, &sizes),
        model(survey, task, &sizes),
        training(survey, &sizes),
    )
}

fn stem(path: &Path) -> String {
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let stem = stem.as_deref().and_then(|name| name.split('.').next()).unwrap_or("job");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = stem.chars().take(40).map(|c| if allowed(c) { c } else { '-' }).collect();
    if name.is_empty() { "job".to_owned() } else { name }
}

fn data(survey: &Survey, task: Task, place: &Place, sizes: &Sizes) -> String {
    let mut text = "[data]\n".to_owned();
    let is_table = survey.scan.shape.is_empty();
    match place {
        Place::Embedded(name) => {
            text.push_str(&format!("source = {0}\ntest = {0}\n", quoted(name)));
        }
        Place::Files { data, labels: Some(labels) } if !is_table => {
            let (images, labels) = (path(data), path(labels));
            text.push_str(&format!("source = {{ images = {images}, labels = {labels} }}\n"));
        }
        Place::Files { data, .. } => {
            text.push_str(&format!("source = {}\n", path(data)));
        }
    }
    if let Some(label) = survey.label().filter(|_| is_table) {
        let reason = reason(label, task);
        text.push_str(&format!(
            "# The column to predict{reason}.\nlabel = {}\n",
            quoted(&label.name)
        ));
    }
    text.push_str(&columns(survey));
    if sizes.inputs <= SCALED_MAX || !is_table {
        let of = if is_table { "each number" } else { "all pixels" };
        text.push_str(&format!(
            "# Brings {of} to mean 0 and deviation 1, by the training rows. The model keeps it.\n\
             scaling = \"standard\"\n"
        ));
    }
    if !matches!(place, Place::Embedded(_)) {
        text.push_str(&format!(
            "# One row in five tests, once, at the end.\ntest_split = {TEST:?}\n"
        ));
    }
    text.push_str(&format!(
        "# Of the others one in five validates after each epoch, and chooses the best.\n\
         validation_split = {VALIDATION:?}\n"
    ));
    text
}

/// Why a label is taken as it is.
fn reason(label: &Column, task: Task) -> String {
    let values = label.distinct().unwrap_or_default();
    match (task, label.kind().is_number()) {
        (Task::Classification, true) => {
            format!(": {values} whole numbers, taken as classes (--task regression: as amounts)")
        }
        (Task::Classification, false) => format!(": {values} classes"),
        (Task::Regression, _) => ": a number".to_owned(),
    }
}

/// The keys for columns of words and those that are left out.
fn columns(survey: &Survey) -> String {
    let mut text = String::new();
    if !survey.scan.shape.is_empty() {
        return text;
    }
    let words = survey.columns(|role| matches!(role, Role::Words));
    let words: Vec<String> = words.map(|column| quoted(&column.name)).collect();
    if !words.is_empty() {
        text.push_str(&format!(
            "# Columns of words: each word is an input, 1 in rows that have it and 0 in others.\n\
             categorical = [{}]\n",
            words.join(", ")
        ));
    }
    let ignored: Vec<(String, &str)> = survey
        .scan
        .columns
        .iter()
        .zip(&survey.roles)
        .filter_map(|(column, role)| match role {
            Role::Ignored(reason) => Some((quoted(&column.name), *reason)),
            _ => None,
        })
        .collect();
    if !ignored.is_empty() {
        text.push_str("# Left out:\n");
        for (name, reason) in &ignored {
            text.push_str(&format!("#   {name}: {reason}\n"));
        }
        let names: Vec<&str> = ignored.iter().map(|(name, _)| name.as_str()).collect();
        text.push_str(&format!("ignore = [{}]\n", names.join(", ")));
    }
    text
}

fn model(survey: &Survey, task: Task, sizes: &Sizes) -> String {
    let Sizes { inputs, units, layers, .. } = sizes;
    let is_table = survey.scan.shape.is_empty();
    let input = if is_table {
        format!("# {inputs} numbers a row.\ninput = [{inputs}]\n")
    } else {
        format!("input = {:?}\n", survey.scan.shape)
    };
    let mut nodes = Vec::new();
    if !is_table {
        nodes.push("{ type = \"flatten\" }".to_owned());
    }
    for _ in 0..*layers {
        nodes.push(format!("{{ type = \"dense\", units = {units}, activation = \"relu\" }}"));
    }
    let label = survey.label();
    let (loss, metric, rate) = match task {
        Task::Classification => {
            let classes = label.and_then(Column::distinct).unwrap_or_default();
            nodes.push(format!(
                "{{ type = \"dense\", units = {}, activation = \"softmax\" }}",
                classes_of(survey, classes)
            ));
            ("sparse_categorical_crossentropy", "accuracy", 0.005)
        }
        Task::Regression => {
            nodes.push("{ type = \"dense\", units = 1 }".to_owned());
            let (mean, deviation) =
                label.map_or((0.0, 1.0), |label| (label.mean, label.deviation()));
            nodes.push(format!(
                "# Back to the size of the label: its deviation and mean.\n    \
                 {{ type = \"rescaling\", scale = {}, offset = {} }}",
                number(deviation),
                number(mean)
            ));
            ("mean_squared_error", "mae", 0.005)
        }
    };
    let nodes: String = nodes.iter().map(|node| format!("    {node},\n")).collect();
    format!(
        "[model]\n{input}loss = \"{loss}\"\nmetrics = [\"{metric}\"]\n\
         optimizer = {{ type = \"adam\", learning_rate = {rate} }}\nlayers = [\n{nodes}]\n"
    )
}

/// IDX labels are numbers from 0 to the highest, whether all occur or not.
fn classes_of(survey: &Survey, distinct: usize) -> u64 {
    let highest = survey.label().map_or(0.0, |label| label.max);
    if survey.scan.shape.is_empty() { distinct as u64 } else { highest as u64 + 1 }
}

fn training(survey: &Survey, sizes: &Sizes) -> String {
    let Sizes { batch, epochs, patience, .. } = sizes;
    // A small table has few batches: more of them go into each delta than an epoch has otherwise.
    let frequency = if survey.scan.rows < ROWS_MANY { "frequency = \"steps=2\"\n" } else { "" };
    let mut text = format!(
        "[training]\n{frequency}epochs = {epochs}\nbatch_size = {batch}\n\
         # Ends when the validation loss has not improved for so many epochs; the best model is kept.\n\
         early_stopping = {patience}\n"
    );
    let unbalanced = survey.problems.iter().any(|problem| problem.what.starts_with("unbalanced"));
    if unbalanced {
        text.push_str(
            "# Some classes are rare. This lets them count more: more of them are found, and others \
             are\n# taken for them more often.\n# class_weights = \"balanced\"\n",
        );
    }
    text
}

/// A number with four significant digits, as TOML wants it.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    format!("{rounded:?}")
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
