//! Configuration: layers of text become one checked [`Job`].
//!
//! Precedence: default (`default.toml`, which documents every key) < preset < job file <
//! environment (`HERD_EPOCHS`) < flag. [`Job::to_toml`] prints the resolved job; reading that text
//! gives an equal job.

mod error;
mod job;
mod layers;
pub mod preset;
mod reader;
mod reference;
mod server;
mod tree;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, Origin};
pub use job::{DataSection, Device, FleetSection, Job, TrainingSection};
pub use layers::{Setting, environment, resolve, resolve_text};
pub use server::{ServerSection, TlsMode};

pub(crate) use error::did_you_mean;
pub(crate) use reference::read_text;
