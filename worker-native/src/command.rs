//! The worker as a command: `herd-worker`, and `herd worker`, which is the same.

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::process;

/// Runs the worker for the command `program`, and says on standard error why it ended.
#[must_use]
pub fn command(program: &str, arguments: &Arguments) -> ExitCode {
    match process::run(arguments) {
        Ok(reason) => {
            // A coordinator's own workers end with it, and it says so itself.
            if !arguments.end_with_stdin {
                say(program, &reason);
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(program, &failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

#[allow(clippy::print_stderr, reason = "this is the command line")]
fn say(program: &str, line: &dyn std::fmt::Display) {
    eprintln!("{program}: {line}");
}
