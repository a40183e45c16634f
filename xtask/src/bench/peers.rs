//! Herd, Elephas and Keras alone on this machine, in one run: the same network, digits, batch size and
//! optimizer.
//!
//! Elephas comes from PyPI into a virtual environment of its own, Java from Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Bench, Report, Spread, number, verdict};
use crate::setup::{self, starts};
use crate::workspace;

/// What trains with Keras and Elephas.
const SCRIPT: &str = include_str!("peers.py");

const ELEPHAS: &str = "elephas==7.3.0";

/// TensorFlow, which Elephas 7.3 needs at 2.19 or older, exists for these.
const PYTHONS: [&str; 4] = ["3.11", "3.12", "3.10", "3.9"];

/// Rounds in which Herd and Elephas alternate.
const ROUNDS: usize = 7;

/// Herd's samples per second over Elephas's, both asynchronous at frequency epoch.
const GOAL: f64 = 10.0;

/// Epochs of the measurements of speed and accuracy.
const EPOCHS: &str = "20";

/// Test accuracy of which the time is measured, and the numbers of epochs with which it is tried.
const ACCURACY: f64 = 0.93;
const TRIED: [&str; 4] = ["5", "10", "20", "40"];

/// How something trains.
#[derive(Clone, Copy)]
enum Program {
    Keras,
    Elephas { mode: &'static str, frequency: &'static str },
    Herd { mode: &'static str, frequency: &'static str },
}

const ALL: [Program; 12] = [
    Program::Keras,
    // Its synchronous mode averages once, after the last epoch: there is no frequency.
    Program::Elephas { mode: "synchronous", frequency: "epoch" },
    Program::Elephas { mode: "asynchronous", frequency: "epoch" },
    Program::Elephas { mode: "asynchronous", frequency: "batch" },
    Program::Elephas { mode: "hogwild", frequency: "epoch" },
    Program::Elephas { mode: "hogwild", frequency: "batch" },
    Program::Herd { mode: "synchronous", frequency: "epoch" },
    Program::Herd { mode: "synchronous", frequency: "batch" },
    Program::Herd { mode: "asynchronous", frequency: "epoch" },
    Program::Herd { mode: "asynchronous", frequency: "batch" },
    Program::Herd { mode: "hogwild", frequency: "epoch" },
    Program::Herd { mode: "hogwild", frequency: "batch" },
];

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let peers = Peers::set_up(bench)?;
    let mut rates = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let (mode, frequency) = ("asynchronous", "epoch");
        let elephas = Program::Elephas { mode, frequency };
        rates.0.push(number(&peers.train(bench, elephas, EPOCHS)?.result, RATE)?);
        let herd = Program::Herd { mode, frequency };
        rates.1.push(number(&peers.train(bench, herd, EPOCHS)?.result, RATE)?);
    }
    let hogwild = ["train", "--mode", "hogwild", "--dry-run"];
    let hogwild = starts(bench.workspace.binary("herd"), &hogwild);
    let there =
        |program: &Program| hogwild || !matches!(program, Program::Herd { mode: "hogwild", .. });
    let rows: Result<Vec<_>> =
        ALL.into_iter().filter(there).map(|program| row(bench, &peers, program)).collect();
    let mut rows = rows?;
    let ratio = Spread::of_ratios(&rates.1, &rates.0);
    rows.push(vec![
        String::from("Herd over Elephas, asynchronous"),
        String::from("epoch"),
        ratio.decimal(),
        String::new(),
        format!("of samples/s, {}", verdict(ratio.median, GOAL)),
    ]);
    Ok(Report {
        head: vec!["program", "frequency", "samples/s", "test accuracy", "time to 0.93"],
        rows,
        notes: vec![format!(
            "mnist-mlp on 8,000 digits, batch 64, SGD 0.1, dropout 0.2; two workers, Keras alone in one \
             process; {EPOCHS} epochs, once each. Samples per second are those of training: of `fit` \
             with Keras and Elephas, Spark being up; from the first lease to the last merge with Herd. \
             The time to {ACCURACY} is that of the shortest training out of {} epochs whose model has \
             that accuracy on the test digits: of `fit` alone, but with Herd of the whole command, its \
             start and its test included. The ratio: median of {ROUNDS} alternations, lowest and highest \
             in brackets. {}.",
            TRIED.join(", "),
            peers.versions
        )],
    })
}

const RATE: &str = "samples_per_second";

fn row(bench: &mut Bench<'_>, peers: &Peers, program: Program) -> Result<Vec<String>> {
    let (name, frequency) = program.name();
    let trained = peers.train(bench, program, EPOCHS)?;
    let accuracy = number(&trained.result, "test_accuracy")?;
    let mut time = format!("not in {} epochs", TRIED[TRIED.len() - 1]);
    for epochs in TRIED {
        let tried;
        let once = if epochs == EPOCHS {
            &trained
        } else {
            tried = peers.train(bench, program, epochs)?;
            &tried
        };
        if number(&once.result, "test_accuracy")? >= ACCURACY {
            time = format!("{:.1} s ({epochs} epochs)", once.seconds);
            break;
        }
    }
    let rate = number(&trained.result, RATE)?;
    Ok(vec![name, frequency.to_owned(), format!("{rate:.0}"), format!("{accuracy:.4}"), time])
}

impl Program {
    fn name(self) -> (String, &'static str) {
        match self {
            Self::Keras => (String::from("Keras alone"), "-"),
            Self::Elephas { mode: "synchronous", .. } => {
                (String::from("Elephas synchronous"), "once, at the end")
            }
            Self::Elephas { mode, frequency } => (format!("Elephas {mode}"), frequency),
            Self::Herd { mode, frequency } => (format!("Herd {mode}"), frequency),
        }
    }
}

/// One training.
struct Trained {
    result: Value,
    /// What it took: see the report's note.
    seconds: f64,
}

/// Where Keras and Elephas are.
struct Peers {
    python: PathBuf,
    script: PathBuf,
    digits: PathBuf,
    versions: String,
}

impl Peers {
    /// Installs what is missing.
    fn set_up(bench: &Bench<'_>) -> Result<Self> {
        setup::java()?;
        let folder = bench.folder()?;
        let python = environment(&folder.join("elephas"))?;
        let script = folder.join("peers.py");
        fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
        let versions = workspace::output(Command::new(&python).args(["-c", VERSIONS]))?;
        let digits = bench.workspace.root.join("coordinator/data/digits");
        Ok(Self { python, script, digits, versions: versions.trim().to_owned() })
    }

    fn train(&self, bench: &mut Bench<'_>, program: Program, epochs: &str) -> Result<Trained> {
        let (mode, frequency) = match program {
            Program::Keras => ("keras", "epoch"),
            Program::Elephas { mode, frequency } => (mode, frequency),
            Program::Herd { mode, frequency } => return herd(bench, mode, frequency, epochs),
        };
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(&self.digits).args([mode, frequency, epochs]);
        let mut shown = Command::new("python");
        bench.note(shown.args(["peers.py", "coordinator/data/digits", mode, frequency, EPOCHS]));
        let result = bench.run(&mut command)?;
        let seconds = number(&result, "seconds")?;
        Ok(Trained { result, seconds })
    }
}

fn herd(bench: &mut Bench<'_>, mode: &str, frequency: &str, epochs: &str) -> Result<Trained> {
    let mut arguments = vec!["--mode", mode, "--frequency", frequency, "--workers", "2"];
    arguments.extend(["--batch-size", "64", "--validation-split", "0", "--device", "cpu"]);
    arguments.extend(["--epochs", epochs]);
    let begun = Instant::now();
    let result = bench.herd(&arguments, 1)?;
    Ok(Trained { result, seconds: begun.elapsed().as_secs_f64() })
}

/// Says which versions were measured.
const VERSIONS: &str = "\
import sys, importlib.metadata as m
names = ['elephas', 'pyspark', 'tensorflow', 'keras']
print('Python ' + sys.version.split()[0], *(n + ' ' + m.version(n) for n in names), sep=', ')";

/// The Python of a virtual environment with Elephas, which is made when it is not there.
fn environment(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let works = || starts(&python, &["-c", "import elephas, pyspark, tensorflow"]);
    if works() {
        return Ok(python);
    }
    let base = PYTHONS.iter().map(|version| format!("python{version}")).find(|name| {
        // A name may be there and lead to no Python, and one without `venv` makes no environment.
        starts(name, &["-c", "import venv, ensurepip"])
    });
    let Some(base) = base else {
        bail!(
            "Elephas needs TensorFlow, and that one of Python {} with its venv module: install one, \
             on Debian for instance python3.11 and python3.11-venv",
            PYTHONS.join(", ")
        );
    };
    eprintln!("installing {ELEPHAS} into {}", folder.display());
    workspace::run(Command::new(base).args(["-m", "venv", "--clear"]).arg(folder))?;
    workspace::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", ELEPHAS]))
        .with_context(|| format!("{ELEPHAS} cannot be installed: pip has to reach PyPI"))?;
    if !works() {
        bail!("{ELEPHAS} is installed in {}, and does not start", folder.display());
    }
    Ok(python)
}
