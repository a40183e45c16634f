//! What the integration tests share.
//!
//! - [`digits`]: the default job, its rows, its settings
//! - [`fleet`]: engine, merge functions and real worker sessions in one process, in virtual time
//! - [`process`]: `herd` and `herd-worker` as real processes

pub mod digits;
pub mod fleet;
pub mod process;
