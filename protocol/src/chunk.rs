//! Payloads over 1 MiB: cut into pieces by the sender, put together by the receiver.

use bytes::{Bytes, BytesMut};

use crate::limits::CHUNK_BYTES_MAX;

/// How long the pieces of a payload over [`CHUNK_BYTES_MAX`] are cut: sockets keep buffers for the
/// longest message that they have seen, and a coordinator has many sockets.
pub const PIECE_BYTES: usize = 64 << 10;

/// Why a piece of a transfer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Another transfer's piece, or none is under way.
    #[error("a chunk of transfer {0} came, which is not under way")]
    Transfer(u32),
    /// Pieces come in order, without gap or overlap.
    #[error("a chunk at byte {got} came where byte {expected} was due")]
    Offset {
        /// Where the next piece starts.
        expected: u64,
        /// Where this one claims to start.
        got: u64,
    },
    /// More bytes than were announced.
    #[error("a transfer of {total} bytes ran over by {over}")]
    Over {
        /// What was announced.
        total: u64,
        /// How many came too many.
        over: u64,
    },
    /// The announced size is over what the receiver takes.
    #[error("a transfer of {total} bytes is over the {limit} that are expected")]
    TooLong {
        /// What was announced.
        total: u64,
        /// What is taken.
        limit: u64,
    },
}

/// The pieces of a payload with their offsets; the first travels with the message that announces
/// the transfer, the others as `Chunk`s.
pub fn pieces(payload: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let bytes = if payload.len() > CHUNK_BYTES_MAX { PIECE_BYTES } else { CHUNK_BYTES_MAX };
    payload.chunks(bytes).enumerate().map(move |(index, piece)| ((index * bytes) as u64, piece))
}

/// Puts one transfer together. At most one is under way per direction of a session.
#[derive(Debug)]
pub struct Assembly {
    transfer: u32,
    total: u64,
    received: BytesMut,
}

/// What a piece leads to.
#[derive(Debug)]
pub enum Progress {
    /// More pieces are due.
    Partial(Assembly),
    /// The payload is complete.
    Complete(Bytes),
}

impl Assembly {
    /// Starts with the announcing message's piece. A payload that fits one piece is not copied.
    ///
    /// # Errors
    /// When `total` is over `limit` bytes or the piece is longer than `total`.
    pub fn start(
        transfer: u32,
        total: u64,
        limit: u64,
        piece: Bytes,
    ) -> Result<Progress, ChunkError> {
        if total > limit {
            return Err(ChunkError::TooLong { total, limit });
        }
        if piece.len() as u64 == total {
            return Ok(Progress::Complete(piece));
        }
        let empty = Self { transfer, total, received: BytesMut::with_capacity(total as usize) };
        empty.push(transfer, 0, &piece)
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// When it is another transfer's, out of order, or too long; the transfer is then lost.
    pub fn push(
        mut self,
        transfer: u32,
        offset: u64,
        piece: &[u8],
    ) -> Result<Progress, ChunkError> {
        if transfer != self.transfer {
            return Err(ChunkError::Transfer(transfer));
        }
        let expected = self.received.len() as u64;
        if offset != expected {
            return Err(ChunkError::Offset { expected, got: offset });
        }
        let end = expected + piece.len() as u64;
        if end > self.total {
            return Err(ChunkError::Over { total: self.total, over: end - self.total });
        }
        self.received.extend_from_slice(piece);
        if end == self.total {
            Ok(Progress::Complete(self.received.freeze()))
        } else {
            Ok(Progress::Partial(self))
        }
    }
}
