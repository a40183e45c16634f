//! Payloads over 1 MiB: cut into pieces by the sender, put together by the receiver.

use std::sync::Arc;

use bytes::Bytes;

use crate::frame;
use crate::id::Digest;
use crate::limits::CHUNK_BYTES_MAX;

/// How long the pieces of a payload over [`CHUNK_BYTES_MAX`] are cut: sockets keep buffers for the
/// longest message that they have seen, and a coordinator has many sockets.
pub const PIECE_BYTES: usize = 64 << 10;

/// A transfer up to so many bytes has its place from the start.
const RESERVED_BYTES_MAX: usize = 32 << 20;

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

/// Parameters that are cut into pieces while they are encoded. The first piece travels with the
/// message that announces the transfer, which differs from worker to worker; each further one stands
/// in its whole frame, which is the same for all.
#[derive(Debug)]
pub struct Framing {
    transfer: u32,
    /// Bytes of a piece.
    piece: usize,
    first: Vec<u8>,
    further: Vec<Bytes>,
    /// The frame under way, and the bytes of its piece that are still to come.
    open: Vec<u8>,
    room: usize,
    written: u64,
    digest: blake3::Hasher,
}

/// A payload in frames.
#[derive(Debug, Clone)]
pub struct Framed {
    /// The first piece.
    pub first: Bytes,
    /// The frames of the others, chunks of this payload, to be sent as they are.
    pub further: Arc<[Bytes]>,
    /// Bytes of the payload.
    pub total: u64,
    /// Digest of the payload.
    pub digest: Digest,
}

impl Framing {
    /// A payload of `total` bytes; `transfer` names it in its chunks.
    #[must_use]
    pub fn new(transfer: u32, total: usize) -> Self {
        let piece = if total > CHUNK_BYTES_MAX { PIECE_BYTES } else { CHUNK_BYTES_MAX };
        Self {
            transfer,
            piece,
            first: Vec::with_capacity(total.min(piece)),
            further: Vec::with_capacity(total / piece),
            open: Vec::new(),
            room: 0,
            written: 0,
            digest: blake3::Hasher::new(),
        }
    }

    /// Writes more of the payload.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.first.len() < self.piece {
                let (now, later) = bytes.split_at(bytes.len().min(self.piece - self.first.len()));
                self.first.extend_from_slice(now);
                self.written += now.len() as u64;
                bytes = later;
                continue;
            }
            if self.room == 0 {
                self.close();
                self.open = frame::chunk_head(self.transfer, self.written, self.piece);
                self.room = self.piece;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.room));
            self.open.extend_from_slice(now);
            self.room -= now.len();
            self.written += now.len() as u64;
            bytes = later;
        }
    }

    /// Ends the frame under way. Its piece is digested while it is in the cache.
    fn close(&mut self) {
        if self.open.is_empty() {
            self.digest.update(&self.first);
        } else {
            let piece = self.open.len() - (self.piece - self.room);
            self.digest.update(&self.open[piece..]);
            self.further.push(std::mem::take(&mut self.open).into());
        }
    }

    /// The payload in frames.
    #[must_use]
    pub fn end(mut self) -> Framed {
        self.close();
        Framed {
            first: self.first.into(),
            further: self.further.into(),
            total: self.written,
            digest: Digest(*self.digest.finalize().as_bytes()),
        }
    }
}

/// Puts one transfer together. At most one is under way per direction of a session.
#[derive(Debug)]
pub struct Assembly {
    transfer: u32,
    total: u64,
    received: Vec<u8>,
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
    /// Starts with the announcing message's piece. A payload that fits one piece is not copied, and
    /// memory is taken as pieces come, whatever `total` promises.
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
        let empty = Self { transfer, total, received: Vec::new() };
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
        self.reserve(piece.len());
        self.received.extend_from_slice(piece);
        if end == self.total {
            Ok(Progress::Complete(self.received.into()))
        } else {
            Ok(Progress::Partial(self))
        }
    }

    /// Makes room for `more` bytes: for all of a transfer that is not too long, as memory is taken
    /// only where it is written to; otherwise twice what is there, so that few copies are made, and
    /// never more than the whole.
    fn reserve(&mut self, more: usize) {
        let (length, needed) = (self.received.len(), self.received.len() + more);
        if needed > self.received.capacity() {
            let total = usize::try_from(self.total).unwrap_or(usize::MAX);
            let room = needed.max((2 * length).max(RESERVED_BYTES_MAX).min(total));
            self.received.reserve_exact(room - length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_has_come_and_not_what_is_promised() {
        let piece = vec![7; 1 << 20];
        let total = 1 << 40;
        let mut progress = Assembly::start(1, total, total, piece.clone().into()).unwrap();
        for number in 1..100 {
            let Progress::Partial(assembly) = progress else { panic!("complete after {number}") };
            let capacity = assembly.received.capacity();
            let most = RESERVED_BYTES_MAX.max(2 * piece.len() * number);
            assert!(capacity <= most, "{capacity} bytes for {number} pieces");
            progress = assembly.push(1, (piece.len() * number) as u64, &piece).unwrap();
        }
        let start = |total| Assembly::start(1, total, total, vec![7; 1000].into()).unwrap();
        let Progress::Partial(assembly) = start(1500) else { panic!("500 bytes are to come") };
        let Progress::Partial(assembly) = assembly.push(1, 1000, &[7; 499]).unwrap() else {
            panic!("a byte is to come")
        };
        assert_eq!(assembly.received.capacity(), 1500, "never more than the whole");
    }
}
