//! Payloads over 1 MiB: cut into pieces by the sender, put together by the receiver.

use std::sync::Arc;

use bytes::Bytes;

use crate::buffers::{Buffer, Buffers};
use crate::checksum::{Checksum, Summing};
use crate::codec::Target;
use crate::frame;
use crate::limits::CHUNK_BYTES_MAX;

/// How long the pieces of a payload over [`CHUNK_BYTES_MAX`] are cut: sockets keep buffers for the
/// longest message that they have seen, and a coordinator has many sockets.
pub const PIECE_BYTES: usize = 64 << 10;

/// A transfer up to so many bytes has its place from the start: memory is taken only where it is
/// written to.
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

/// Whether a payload of so many bytes is cut into pieces of [`PIECE_BYTES`], instead of going whole.
#[must_use]
pub fn is_cut(bytes: usize) -> bool {
    bytes > CHUNK_BYTES_MAX
}

fn piece_bytes(total: usize) -> usize {
    if is_cut(total) { PIECE_BYTES } else { CHUNK_BYTES_MAX }
}

/// The pieces of a payload with their offsets; the first travels with the message that announces
/// the transfer, the others as `Chunk`s.
pub fn pieces(payload: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let bytes = piece_bytes(payload.len());
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
    /// The first piece, then the frames of the others.
    frames: Buffer,
    /// Where the frames begin.
    begins: Vec<usize>,
    /// Where the piece under way begins.
    open: usize,
    written: u64,
    checksum: Summing,
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
    /// Of the payload.
    pub checksum: Checksum,
}

/// Most bytes of a chunk's head: the message's number, and two numbers.
const HEAD_BYTES_MAX: usize = 16;

impl Framing {
    /// A payload of `total` bytes; `transfer` names it in its chunks.
    #[must_use]
    pub fn new(buffers: &Buffers, transfer: u32, total: usize) -> Self {
        let piece = piece_bytes(total);
        let further = total / piece;
        Self {
            transfer,
            piece,
            frames: buffers.take(total + further * HEAD_BYTES_MAX),
            begins: Vec::with_capacity(further + 1),
            open: 0,
            written: 0,
            checksum: Summing::new(),
        }
    }

    /// Ends the piece under way. It is summed while it is in the cache.
    fn close(&mut self) {
        self.checksum.add(&self.frames[self.open..]);
    }

    /// The payload in frames.
    #[must_use]
    pub fn end(mut self) -> Framed {
        self.close();
        let bytes = self.frames.into_bytes();
        let ends = self.begins.iter().skip(1).copied().chain([bytes.len()]);
        let further = self.begins.iter().zip(ends).map(|(begin, end)| bytes.slice(*begin..end));
        let further = further.collect();
        let first = bytes.slice(..self.begins.first().copied().unwrap_or(bytes.len()));
        Framed { first, further, total: self.written, checksum: self.checksum.end() }
    }
}

impl Target for Framing {
    fn space(&mut self, most: usize) -> &mut [u8] {
        if self.frames.len() == self.open + self.piece {
            self.close();
            self.begins.push(self.frames.len());
            self.frames.write(&frame::chunk_head(self.transfer, self.written));
            self.open = self.frames.len();
        }
        let count = most.min(self.open + self.piece - self.frames.len());
        self.written += count as u64;
        self.frames.space(count)
    }
}

/// Puts one transfer together. At most one is under way per direction of a session.
#[derive(Debug)]
pub struct Assembly {
    transfer: u32,
    total: u64,
    received: Buffer,
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
    /// memory is taken as pieces come, whatever `total` promises; it comes from `buffers`.
    ///
    /// # Errors
    /// When `total` is over `limit` bytes or the piece is longer than `total`.
    pub fn start(
        buffers: &Buffers,
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
        let room = usize::try_from(total).unwrap_or(usize::MAX).min(RESERVED_BYTES_MAX);
        let empty = Self { transfer, total, received: buffers.take(room) };
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
        self.received.write(piece);
        if end == self.total {
            Ok(Progress::Complete(self.received.into_bytes()))
        } else {
            Ok(Progress::Partial(self))
        }
    }

    /// What has come so far.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Makes room for `more` bytes of a long transfer: twice what is there, so that few copies are
    /// made, and never more than the whole.
    fn reserve(&mut self, more: usize) {
        let (length, needed) = (self.received.len(), self.received.len() + more);
        if needed > self.received.capacity() {
            let total = usize::try_from(self.total).unwrap_or(usize::MAX);
            let room = needed.max((2 * length).min(total));
            self.received.reserve(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_has_come_and_not_what_is_promised() {
        let buffers = Buffers::default();
        let piece = vec![7; 1 << 20];
        let total = 1 << 40;
        let mut progress =
            Assembly::start(&buffers, 1, total, total, piece.clone().into()).unwrap();
        for number in 1..100 {
            let Progress::Partial(assembly) = progress else { panic!("complete after {number}") };
            let capacity = assembly.received.capacity();
            let most = RESERVED_BYTES_MAX.max(2 * piece.len() * number);
            assert!(capacity <= most, "{capacity} bytes for {number} pieces");
            progress = assembly.push(1, (piece.len() * number) as u64, &piece).unwrap();
        }
        let begun = Assembly::start(&buffers, 1, 1500, 1500, vec![7; 1000].into()).unwrap();
        let Progress::Partial(assembly) = begun else { panic!("500 bytes are to come") };
        let Progress::Partial(assembly) = assembly.push(1, 1000, &[7; 499]).unwrap() else {
            panic!("a byte is to come")
        };
        assert_eq!(assembly.received.capacity(), 1500, "never more than the whole");
    }
}
