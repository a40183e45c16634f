//! `cargo xtask test`: every check of the project, cheapest first, and the minutes of each.
//!
//! The order is also the cheapest in sum. Clippy and rustdoc share the metadata of Burn, which
//! the build cannot give them; the build and the tests share everything. The page is built after
//! them and embedded by a build of the coordinator alone.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::workspace::{self, Workspace};
use crate::{browser, page, setup};

/// One check.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// The tools that the others need
    Setup,
    /// rustfmt
    Format,
    /// clippy on all targets, warnings are errors
    Clippy,
    /// rustdoc, warnings are errors
    Doc,
    /// Everything native is built
    Build,
    /// Unit, integration and documentation tests
    Test,
    /// Seeded runs of the engine, and bugs on purpose that they must find
    Sim,
    /// The worker of browsers has no clippy warnings, and the page is built
    Wasm,
    /// Its scripts have the types that they claim
    Types,
    /// It works in a real browser
    Browser,
}

/// What became of a check.
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped,
    NotReached,
}

/// Runs the checks up to the first failure and prints a table.
pub(crate) fn run(workspace: &Workspace, skip: &[Check]) -> Result<ExitCode> {
    let mut failed = false;
    let mut rows = Vec::new();
    for &check in Check::value_variants() {
        let outcome = if skip.contains(&check) {
            Outcome::Skipped
        } else if failed {
            Outcome::NotReached
        } else {
            eprintln!("== {}", name(check));
            let start = Instant::now();
            let result = check.run(workspace);
            let time = start.elapsed();
            failed = result.is_err();
            match result {
                Ok(()) => Outcome::Passed(time),
                Err(error) => {
                    eprintln!("error: {error:#}");
                    Outcome::Failed(time)
                }
            }
        };
        rows.push((check, outcome));
    }
    print(&rows);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Check {
    fn run(self, workspace: &Workspace) -> Result<()> {
        let mut cargo = workspace.cargo();
        match self {
            Self::Setup => {
                setup::proxies();
                return setup::vulkan();
            }
            Self::Wasm => return page::lint(workspace).and_then(|()| page::build(workspace)),
            Self::Types => return page::check_types(workspace),
            Self::Browser => return browser::run(workspace, &[]),
            Self::Build => return workspace.build(),
            Self::Format => {
                component("rustfmt")?;
                cargo.args(["fmt", "--all", "--check"])
            }
            Self::Clippy => {
                component("clippy")?;
                let arguments = ["clippy", "--release", "--locked", "--workspace", "--all-targets"];
                cargo.args(arguments).args(["--", "-D", "warnings"])
            }
            Self::Doc => cargo
                // Private items too: who reads these pages works on them, and links lead there.
                .args(["doc", "--release", "--locked", "--workspace", "--no-deps"])
                .arg("--document-private-items")
                .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"),
            Self::Test => cargo.args(["test", "--release", "--locked", "--workspace"]),
            Self::Sim => cargo
                .args(["test", "--release", "--locked", "--package", "simulation"])
                .args(["--features", "sabotage"]),
        };
        workspace::run(&mut cargo)
    }
}

/// rustup's minimal profile lacks rustfmt and clippy.
fn component(name: &str) -> Result<()> {
    let program = if name == "clippy" { "cargo-clippy" } else { name };
    if setup::starts(program, &["--version"])
        || (setup::starts("timeout", &["120", "rustup", "component", "add", name])
            && setup::starts(program, &["--version"]))
    {
        return Ok(());
    }
    bail!("{name} is missing: run `rustup component add {name}`")
}

fn name(check: Check) -> String {
    check.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn print(rows: &[(Check, Outcome)]) {
    println!("\n| check | minutes | result |\n| --- | ---: | --- |");
    for (check, outcome) in rows {
        let (time, result) = match outcome {
            Outcome::Passed(time) => (minutes(*time), "passed"),
            Outcome::Failed(time) => (minutes(*time), "FAILED"),
            Outcome::Skipped => (String::new(), "skipped: asked for by --skip"),
            Outcome::NotReached => (String::new(), "not reached"),
        };
        println!("| {} | {time} | {result} |", name(*check));
    }
}

fn minutes(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() / 60.0)
}
