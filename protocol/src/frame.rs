//! How a message becomes one binary WebSocket frame: a postcard header, then raw payload bytes.
//!
//! Decoding is strict: a frame is refused when it is too long, when its header does not decode or
//! breaks a limit, when bytes follow a message that has no payload, and when none follow one that
//! has.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::{CHUNK_BYTES_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::message::{MessageError, ToCoordinator, ToWorker};

/// Why a frame is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over [`MESSAGE_BYTES_MAX`].
    #[error("a frame of {0} bytes is over the limit of {MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// The header is no message of this protocol version.
    #[error("the header does not decode: {0}")]
    Header(postcard::Error),
    /// Over [`HEADER_BYTES_MAX`].
    #[error("a header of {0} bytes is over the limit of {HEADER_BYTES_MAX}")]
    HeaderTooLong(usize),
    /// A field breaks its limit.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Bytes follow a message without payload.
    #[error("{0} bytes follow a message that has no payload")]
    Trailing(usize),
    /// The payload is missing or over [`CHUNK_BYTES_MAX`].
    #[error("a payload of {0} bytes is not between 1 and {CHUNK_BYTES_MAX}")]
    Payload(usize),
}

/// A message of one direction; implemented by [`ToCoordinator`] and [`ToWorker`] alone.
pub trait Message: Serialize + DeserializeOwned + private::Sealed {
    /// Whether payload bytes follow the message in its frame.
    fn has_payload(&self) -> bool;
    /// Checks every field against its limit.
    ///
    /// # Errors
    /// When a field is out of range.
    fn check(&self) -> Result<(), MessageError>;
}

mod private {
    /// Keeps the set of directions closed.
    pub trait Sealed {}
    impl Sealed for crate::message::ToCoordinator {}
    impl Sealed for crate::message::ToWorker {}
}

impl Message for ToCoordinator {
    fn has_payload(&self) -> bool {
        self.has_payload()
    }
    fn check(&self) -> Result<(), MessageError> {
        self.check()
    }
}

impl Message for ToWorker {
    fn has_payload(&self) -> bool {
        self.has_payload()
    }
    fn check(&self) -> Result<(), MessageError> {
        self.check()
    }
}

/// Encodes a message and the payload that follows it (empty for messages without).
///
/// # Errors
/// When the message or the payload would be refused by [`decode`]: a sender checks what it says.
pub fn encode<M: Message>(message: &M, payload: &[u8]) -> Result<Bytes, FrameError> {
    message.check()?;
    check_payload(message, payload.len())?;
    let header = Vec::with_capacity(64 + payload.len());
    let mut frame = postcard::to_extend(message, header).map_err(FrameError::Header)?;
    if frame.len() > HEADER_BYTES_MAX {
        return Err(FrameError::HeaderTooLong(frame.len()));
    }
    frame.extend_from_slice(payload);
    Ok(frame.into())
}

/// The start of a chunk's frame, behind which its piece stands.
pub(crate) fn chunk_head(transfer: u32, offset: u64) -> Vec<u8> {
    let head = postcard::to_allocvec(&ToWorker::Chunk { transfer, offset });
    head.expect("invariant: two numbers can be written to memory")
}

/// Decodes a frame into its message and payload; the payload shares the frame's memory.
///
/// # Errors
/// When anything about the frame is not as this protocol version says.
pub fn decode<M: Message>(frame: &Bytes) -> Result<(M, Bytes), FrameError> {
    if frame.len() > MESSAGE_BYTES_MAX {
        return Err(FrameError::TooLong(frame.len()));
    }
    let (message, rest) = postcard::take_from_bytes::<M>(frame).map_err(FrameError::Header)?;
    let header_bytes = frame.len() - rest.len();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(FrameError::HeaderTooLong(header_bytes));
    }
    message.check()?;
    check_payload(&message, rest.len())?;
    Ok((message, frame.slice(header_bytes..)))
}

fn check_payload<M: Message>(message: &M, bytes: usize) -> Result<(), FrameError> {
    match (message.has_payload(), bytes) {
        (false, 0) | (true, 1..=CHUNK_BYTES_MAX) => Ok(()),
        (false, _) => Err(FrameError::Trailing(bytes)),
        (true, _) => Err(FrameError::Payload(bytes)),
    }
}
