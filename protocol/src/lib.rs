//! Herd's wire types and codecs. No IO, no tokio, no burn; native and wasm32.
//!
//! - [`message`]: one enum per direction, [`frame`]: how a message and its payload become bytes
//! - [`tensor`]: the shape table; [`codec`]: how tensors become payload bytes; [`pieces`]: how those
//!   are read a little at a time
//! - [`chunk`]: payloads over 1 MiB, [`buffers`]: their memory, [`checksum`]: whether they came whole
//! - [`shard`]: blocks of samples
//! - [`order`]: the order of an epoch's samples, computed alike on both ends
//! - [`limits`]: every limit of the wire; [`vectors`]: loops over many values

pub mod buffers;
pub mod checksum;
pub mod chunk;
pub mod codec;
pub mod frame;
mod halves;
pub mod id;
pub mod lease;
pub mod limits;
pub mod message;
pub mod order;
pub mod pieces;
pub mod shard;
pub mod tensor;
pub mod vectors;

pub use checksum::Checksum;
pub use codec::Codec;
pub use id::{Digest, Identity, LeaseId, RunId, SessionId, Version};
pub use lease::{Lease, Outcome, Reason, Report, Segment};
pub use message::{Assignment, Hello, ToCoordinator, ToWorker};
pub use tensor::{Role, TensorInfo, TensorTable};

/// The WebSocket subprotocol; its number is the protocol's version.
pub const SUBPROTOCOL: &str = "herd.1";
