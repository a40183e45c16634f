//! The `herd-worker` command.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use worker_native::Arguments;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HERD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours would be noise in a file, or in the lines of a coordinator that passes them on.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    worker_native::command("herd-worker", &Arguments::parse())
}
