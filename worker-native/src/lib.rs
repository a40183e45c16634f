//! `herd-worker`, and `herd worker`: a native worker process around `worker-core`.
//!
//! - [`arguments`]: the command line; [`mod@command`]: what is said at the end
//! - [`process`]: sessions one after the other, and why the process ends
//! - [`session`]: one session: socket, training thread, fetches, timer
//! - [`connection`]: one WebSocket and the shards' HTTP client; `tls`: whose certificate is believed
//! - [`training`]: the training thread
//! - [`device`]: which processor trains

pub mod arguments;
pub mod command;
pub mod connection;
pub mod device;
pub mod process;
pub mod session;
mod tls;
pub mod training;

pub use arguments::Arguments;
pub use command::command;
pub use process::run;
