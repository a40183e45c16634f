//! `cargo xtask fuzz`: libFuzzer on everything that reads bytes from outside (tests/fuzz).
//!
//! One program holds all targets. Only Herd's own crates count coverage: rustc is called through
//! this program for them, which adds LLVM's instructions, and Burn stays as every other build has
//! it. Cargo keeps the two kinds of a crate apart by the wrapper's path.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Workspace};

/// Set in the environment of the build, so that this program knows itself as a wrapper of rustc.
const WRAPPER: &str = "HERD_FUZZ_WRAPPER";

/// The crates that count coverage.
const CRATES: [&str; 7] =
    ["protocol", "model", "engine", "worker_core", "coordinator", "fuzz", PROGRAM_CRATE];

const PROGRAM: &str = "fuzz-target";
const PROGRAM_CRATE: &str = "fuzz_target";

/// Coverage as libFuzzer reads it; the flags are those of cargo-fuzz.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Limits of one input: length, seconds, and megabytes of the whole process.
const LIMITS: [&str; 4] =
    ["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=64"];

/// Whether cargo calls this program in place of rustc.
pub(crate) fn is_wrapper() -> bool {
    env::var_os(WRAPPER).is_some()
}

/// Calls rustc as cargo asks, with coverage where it is wanted.
pub(crate) fn wrap() -> Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let rustc = arguments.next().context("a wrapper is called with rustc's path")?;
    let arguments: Vec<_> = arguments.collect();
    let name = arguments.windows(2).find(|pair| pair[0] == "--crate-name").map(|pair| &pair[1]);
    let mut command = Command::new(rustc);
    command.args(&arguments);
    if name.is_some_and(|name| CRATES.iter().any(|known| name == known)) {
        command.args(COVERAGE);
    }
    let status = command.status().context("cannot start rustc")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fuzzes the targets named, or all, for some seconds each; or runs one with one input.
pub(crate) fn run(
    workspace: &Workspace,
    targets: &[String],
    seconds: u32,
    input: Option<&Path>,
) -> Result<()> {
    let corpora = workspace.root.join("tests/fuzz/corpus");
    let known = folders(&corpora)?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}; there are: {}", known.join(", "));
    }
    // The fuzzer runs elsewhere: what it writes unasked must not land in the project.
    let input = input
        .map(|path| path.canonicalize().with_context(|| format!("{}", path.display())))
        .transpose()?;
    if input.is_some() && targets.len() != 1 {
        bail!("--input needs the name of one target: {}", known.join(", "));
    }
    build(workspace)?;
    let targets = if targets.is_empty() { &known } else { targets };
    let mut failed = Vec::new();
    for target in targets {
        let folder = workspace.target.join("fuzz").join(target);
        let (found, crashes) = (folder.join("corpus"), folder.join("crashes"));
        for folder in [&found, &crashes] {
            fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        }
        let mut fuzzer = Command::new(workspace.binary(PROGRAM));
        fuzzer.current_dir(&folder).env("HERD_FUZZ_TARGET", target).args(LIMITS);
        fuzzer.arg(format!("-artifact_prefix={}/", crashes.display()));
        match &input {
            Some(path) => fuzzer.arg(path),
            None => fuzzer
                .arg(format!("-max_total_time={seconds}"))
                .arg("-print_final_stats=1")
                .args([&found, &corpora.join(target)]),
        };
        eprintln!("== {target}");
        if let Err(error) = run_quietly(&mut fuzzer) {
            eprintln!("error: {error:#}");
            failed.push((target, crashes));
        }
    }
    report(&failed)
}

/// Runs the fuzzer without its line for each new input, of which there are thousands.
fn run_quietly(fuzzer: &mut Command) -> Result<()> {
    let line = workspace::line(fuzzer);
    let mut child =
        fuzzer.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot start {line}"))?;
    let news = ["\tNEW ", "\tREDUCE ", "\tRELOAD ", "\tNEW_FUNC["];
    if let Some(stderr) = child.stderr.take() {
        // Inputs that are printed need not be text.
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line.context("the fuzzer's messages cannot be read")?;
            let line = String::from_utf8_lossy(&line);
            if !news.iter().any(|word| line.contains(word)) {
                eprintln!("{line}");
            }
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for {line}"))?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}

fn report(failed: &[(&String, std::path::PathBuf)]) -> Result<()> {
    for (target, crashes) in failed {
        eprintln!("{target}: the newest of these is what it stumbled over; to try it again:");
        for name in files(crashes)? {
            let path = crashes.join(name);
            eprintln!("  cargo xtask fuzz {target} --input {}", path.display());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = failed.iter().map(|(target, _)| target.as_str()).collect();
    bail!("fuzzing found something in {}", names.join(", "))
}

/// The same selection of crates as ever, so that Burn is not built again with other features.
fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--locked", "--workspace", "--bin", PROGRAM]);
    cargo.args(["--features", "fuzz/libfuzzer"]);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", env::current_exe().context("xtask knows its own path")?);
    workspace::run(cargo.env(WRAPPER, "1"))
}

fn folders(parent: &Path) -> Result<Vec<String>> {
    let names = files(parent)?;
    Ok(names.into_iter().filter(|name| parent.join(name).is_dir()).collect())
}

/// Names of what lies in a folder, sorted.
fn files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
