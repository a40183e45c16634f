//! The `herd-worker` command.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HERD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours would be noise in a file, or in the lines of a coordinator that passes them on.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = worker_native::Arguments::parse();
    match worker_native::run(&arguments) {
        Ok(reason) => {
            // A coordinator's own workers end with it, and it says so itself.
            if !arguments.end_with_stdin {
                say(&reason);
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

#[allow(clippy::print_stderr, reason = "this is the command line")]
fn say(line: &dyn std::fmt::Display) {
    eprintln!("herd-worker: {line}");
}
