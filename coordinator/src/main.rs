//! The `herd` command.

use std::io::IsTerminal;
use std::process::ExitCode;

use coordinator::cli::{self, Command, DataCommand, ModelCommand, RunsCommand, TokenCommand};
use coordinator::{doctor, inspect, new, predict, runs, survey, tokens, train};

/// Gives the memory of large models back to the system, and does not fall into pieces of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A panic has said what happened; it is a bug, with the exit code of one.
fn main() -> ExitCode {
    std::panic::catch_unwind(command).unwrap_or(ExitCode::from(cli::EXIT_BUG))
}

fn command() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HERD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours would be noise in a file, or in the lines of a coordinator that passes them on.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = cli::parse().map_err(Into::into).and_then(|cli| carry_out(cli.command));
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(cli::exit_code(&error))
    })
}

fn carry_out(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Worker(args) => return Ok(worker_native::command("herd", &args)),
        Command::New(args) => new::new(&args),
        Command::Data(DataCommand::Check(args)) => survey::check(&args),
        Command::Train(args) => train::train(&args),
        Command::Predict(args) => predict::predict(&args),
        Command::Evaluate(args) => predict::evaluate(&args),
        Command::Runs(RunsCommand::List(args)) => runs::list(&args),
        Command::Runs(RunsCommand::Show(args)) => runs::show(&args),
        Command::Runs(RunsCommand::Compare(args)) => runs::compare(&args),
        Command::Runs(RunsCommand::Rm(args)) => runs::remove(&args),
        Command::Runs(RunsCommand::Export(args)) => runs::export(&args),
        Command::Token(TokenCommand::Make(args)) => tokens::make(&args),
        Command::Token(TokenCommand::List(args)) => tokens::list(&args),
        Command::Token(TokenCommand::Revoke(args)) => tokens::revoke(&args),
        Command::Model(ModelCommand::Show(args)) => inspect::show(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Completions(args) => cli::completions(&args),
        Command::Man(args) => cli::man(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[allow(clippy::print_stderr, reason = "this is the command line")]
fn complain(error: &anyhow::Error) {
    eprintln!("herd: {error:#}");
}
