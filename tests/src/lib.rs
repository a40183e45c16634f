//! What the integration tests share.
//!
//! - [`digits`]: the default job, its rows, its settings
//! - [`fleet`]: engine, merge functions and real worker sessions in one process, in virtual time
//! - [`process`]: `herd` and `herd-worker` as real processes
//! - [`raw`]: WebSockets and HTTP as bare bytes
//! - [`stranger`]: a session that says what a test wants said

pub mod digits;
pub mod fleet;
pub mod process;
pub mod raw;
pub mod stranger;
