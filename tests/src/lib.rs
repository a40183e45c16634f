//! What the integration tests share.
//!
//! - [`coordinator`]: `herd train` for programs that load it
//! - [`digits`]: the default job, its rows, its settings
//! - [`fleet`]: engine, merge functions and real worker sessions in one process, in virtual time
//! - [`https`]: HTTP over TLS as bare text
//! - [`process`]: `herd` and `herd-worker` as real processes; [`random`]: seeds that are printed
//! - [`raw`]: WebSockets and HTTP as bare bytes; [`stranger`]: a session that says what it is told

pub mod coordinator;
pub mod digits;
pub mod fleet;
pub mod https;
pub mod process;
pub mod random;
pub mod raw;
pub mod stranger;
