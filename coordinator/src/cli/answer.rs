//! What a command answers, on standard output.

use std::io::{self, Write};

/// Writes an answer.
///
/// # Errors
/// When it cannot be written. Who has closed the pipe has seen enough, as `head` does.
pub fn answer(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
