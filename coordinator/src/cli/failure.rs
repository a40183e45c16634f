//! Exit codes: what kind of thing went wrong, for scripts.

use crate::config::ConfigError;
use crate::data::DataError;
use crate::storage::StorageError;

/// A panic, or an error that nobody classified.
pub const EXIT_BUG: u8 = 70;

/// A failure whose kind is known where it happens.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A target that was asked for was not reached.
    #[error("{0}")]
    Target(String),
    /// The command line or the configuration.
    #[error("{0}")]
    Usage(String),
    /// Data or files.
    #[error("{0}")]
    Data(String),
    /// The network.
    #[error("{0}")]
    Network(String),
    /// Ctrl-C.
    #[error("stopped by Ctrl-C")]
    Interrupted,
    /// Whoever controls the run.
    #[error("stopped by its admin")]
    Stopped,
    /// SIGTERM.
    #[error("stopped by SIGTERM")]
    Terminated,
}

/// The exit code of an error: that of the first cause in its chain whose kind is known.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code).unwrap_or(EXIT_BUG)
}

fn code(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(match failure {
            Failure::Target(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Data(_) => 3,
            Failure::Network(_) => 4,
            Failure::Interrupted | Failure::Stopped => 130,
            Failure::Terminated => 143,
        });
    }
    if cause.is::<ConfigError>()
        || cause.is::<model::SpecError>()
        || cause.is::<engine::ConfigError>()
    {
        return Some(2);
    }
    if cause.is::<DataError>() || cause.is::<StorageError>() || cause.is::<std::io::Error>() {
        return Some(3);
    }
    None
}
